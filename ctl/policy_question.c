/* policy_question.c - the packet that margayctl policy explain is asked about
 * TESTS  tests/netns/test_policy_explain.py */
#include "ctl/policy_question.h"

#include <errno.h>
#include <string.h>

#include "ctl/cmd.h"
#include "ctl/policy_way.h"

/* In the order of the command's row. */
enum {
	EXPLAIN_FROM,
	EXPLAIN_TO,
	EXPLAIN_PROTO,
	EXPLAIN_PORT,
	EXPLAIN_SOURCE_PORT,
	EXPLAIN_ICMP_TYPE,
	EXPLAIN_ICMP_CODE,
	EXPLAIN_IP_VERSION,
};

/* A port that nobody restricts: clients' come from this range. */
enum { SOURCE_PORT = 50000, PROTO_ECHO_V4 = 8, PROTO_ECHO_V6 = 128 };

static int number(const struct args *a, int opt, const char *name, uint64_t max, uint64_t *out,
		  struct err *e)
{
	if (!a->opt[opt] || parse_u64(a->opt[opt], max, out))
		return 0;
	return err_set(e, -EINVAL, "--%s: must be a number from 0 to %lu, is \"%.40s\"", name,
		       (unsigned long)max, a->opt[opt]);
}

static int read_proto(struct policy_question *q, struct err *e)
{
	const char *text = q->args->opt[EXPLAIN_PROTO];
	json_t *v = json_string(text ? text : "tcp");
	int rc;

	if (!v)
		return err_set(e, -EINVAL, "--proto: is not valid UTF-8");
	rc = proto_spec_parse(v, &q->proto, NULL);
	json_decref(v);
	if (rc < 0 || !q->proto.set)
		return err_set(e, -EINVAL,
			       "--proto: must be tcp, udp, sctp, icmp, icmpv6, udplite or a number "
			       "from 1 to 255, is \"%.40s\"",
			       text);
	return 0;
}

/* "icmp" is what the family calls so. */
static void fit_proto(struct policy_question *q, enum ip_family family)
{
	if (family == IP_V6 && q->proto.number == PROTO_ICMP)
		q->proto.number = PROTO_ICMPV6;
	q->packet.proto = q->proto.number;
}

static int read_port(struct policy_question *q, struct err *e)
{
	const char *text = q->args->opt[EXPLAIN_PORT];
	uint64_t n;

	if (!proto_has_ports(q->packet.proto)) {
		if (text)
			return err_set(
				e, -EINVAL,
				"--port: protocol %u has no ports; they go with tcp, udp and "
				"sctp",
				q->packet.proto);
		return 0;
	}
	if (!text)
		return err_set(e, -EINVAL,
			       "--port is missing: the destination's, a number or a name as in its "
			       "endpoint");
	if (parse_u64(text, UINT16_MAX, &n) && n) {
		q->packet.dst_port = (uint16_t)n;
		return 0;
	}
	if (text[strspn(text, "0123456789")] == '\0')
		return err_set(e, -EINVAL, "--port: must be from 1 to 65535, is \"%.40s\"", text);
	return policy_end_port(&q->to, q->packet.proto, text, &q->packet.dst_port, e);
}

static bool is_icmp(const struct explain_packet *p)
{
	return p->proto == PROTO_ICMP || p->proto == PROTO_ICMPV6;
}

static int read_numbers(struct policy_question *q, struct err *e)
{
	uint64_t source = SOURCE_PORT, code = 0,
		 type = q->packet.proto == PROTO_ICMPV6 ? PROTO_ECHO_V6 : PROTO_ECHO_V4;
	const struct args *a = q->args;
	int rc;

	if ((a->opt[EXPLAIN_ICMP_TYPE] || a->opt[EXPLAIN_ICMP_CODE]) && !is_icmp(&q->packet))
		return err_set(e, -EINVAL, "--icmp-type and --icmp-code go with --proto icmp only");
	if (a->opt[EXPLAIN_SOURCE_PORT] && !proto_has_ports(q->packet.proto))
		return err_set(e, -EINVAL, "--source-port: goes with tcp, udp and sctp");
	if ((rc = number(a, EXPLAIN_SOURCE_PORT, "source-port", UINT16_MAX, &source, e)) < 0 ||
	    (rc = number(a, EXPLAIN_ICMP_TYPE, "icmp-type", UINT8_MAX, &type, e)) < 0 ||
	    (rc = number(a, EXPLAIN_ICMP_CODE, "icmp-code", UINT8_MAX, &code, e)) < 0)
		return rc;
	q->packet.src_port = proto_has_ports(q->packet.proto) ? (uint16_t)source : 0;
	q->packet.icmp_type = is_icmp(&q->packet) ? (int)type : -1;
	q->packet.icmp_code = is_icmp(&q->packet) ? (int)code : -1;
	return 0;
}

static int wish_of(const struct args *a, const struct proto_spec *proto, enum ip_family *out,
		   struct err *e)
{
	uint64_t version = 0;
	const char *text = a->opt[EXPLAIN_IP_VERSION];

	if (text && (!parse_u64(text, IP_V6, &version) || (version != IP_V4 && version != IP_V6)))
		return err_set(e, -EINVAL, "--ip-version: must be 4 or 6, is \"%.40s\"", text);
	*out = (enum ip_family)version;
	if (!version && proto->number == PROTO_ICMPV6)
		*out = IP_V6;
	return 0;
}

static int read_ends(struct policy_question *q, struct err *e)
{
	const char *from = q->args->opt[EXPLAIN_FROM], *to = q->args->opt[EXPLAIN_TO];
	enum ip_family wish = IP_NONE, family;
	int rc = read_proto(q, e);

	if (rc == 0 && (!from || !to))
		rc = err_set(e, -EINVAL,
			     "--%s is missing: NAMESPACE/POD, an address, or the name of a node",
			     from ? "to" : "from");
	if (rc < 0 || (rc = wish_of(q->args, &q->proto, &wish, e)) < 0)
		return rc;
	family = policy_ends_family(&q->world, from, to, wish, e);
	if (!family)
		return -ENOENT;
	policy_end_find(&q->world, from, family, &q->from, e);
	policy_end_find(&q->world, to, family, &q->to, e);
	if (q->from.at.place == EXPLAIN_OUTSIDE && q->to.at.place == EXPLAIN_OUTSIDE)
		return err_set(e, -EINVAL,
			       "neither %s nor %s is a pod or node of this cluster: nobody asks "
			       "policy about such a packet",
			       q->from.name, q->to.name);
	policy_way_between(&q->world, &q->from, &q->to, q->notes);
	q->packet.src = q->from.addr;
	q->packet.dst = q->to.addr;
	fit_proto(q, family);
	return 0;
}

int policy_question_read(struct policy_question *q, struct err *e)
{
	int rc = read_ends(q, e);

	if (rc == 0)
		rc = read_port(q, e);
	return rc == 0 ? read_numbers(q, e) : rc;
}
