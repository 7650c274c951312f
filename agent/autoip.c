/* autoip.c - which of a machine's addresses is the node's
 * SPEC   Calico's methods and its list of interfaces that first-found passes over. */
#include "agent/autoip.h"

#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Interfaces of containers, tunnels and the like: they never carry the node's address. */
static const char *const passed_over[] = {
	"docker",
	"cbr",
	"dummy",
	"virbr",
	"lxcbr",
	"veth",
	"cali",
	"tunl",
	"flannel",
	"kube-ipvs",
	"cni",
	"vxlan.calico",
	"vxlan-v6.calico",
	"wireguard.cali",
	"wg-v6.cali",
	"nodelocaldns",
};

static bool is_passed_over(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(passed_over); i++)
		if (str_starts(name, passed_over[i]))
			return true;
	return false;
}

static bool is_usable(const struct prefix *p, enum ip_family family)
{
	return p->addr.family == family && !addr_is_loopback(&p->addr) &&
	       !addr_is_link_local(&p->addr) && !addr_is_multicast(&p->addr) &&
	       !addr_is_zero(&p->addr);
}

/* A choice: which links and addresses count. */
struct choice {
	regex_t only[16], skip[16];
	size_t n_only, n_skip;
	struct prefix cidrs[16];
	size_t n_cidrs;
};

static bool name_matches(const regex_t *re, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (regexec(&re[i], name, 0, NULL, 0) == 0)
			return true;
	return false;
}

static bool link_counts(const struct choice *c, const struct link *l)
{
	if (!l->up || l->loopback)
		return false;
	if (c->n_only)
		return name_matches(c->only, c->n_only, l->name);
	return !is_passed_over(l->name) && !name_matches(c->skip, c->n_skip, l->name);
}

static bool addr_counts(const struct choice *c, const struct prefix *p)
{
	bool inside = c->n_cidrs == 0;

	for (size_t i = 0; i < c->n_cidrs && !inside; i++)
		inside = prefix_contains(&c->cidrs[i], &p->addr);
	return inside;
}

static bool first_found(const struct autoip *q, const struct choice *c, struct prefix *out)
{
	for (const struct link *l = link_next(q->links, NULL); l; l = link_next(q->links, l)) {
		if (!link_counts(c, l))
			continue;
		for (size_t i = 0; i < l->addrs.n; i++) {
			if (is_usable(&l->addrs.p[i], q->family) &&
			    addr_counts(c, &l->addrs.p[i])) {
				*out = l->addrs.p[i];
				return true;
			}
		}
	}
	return false;
}

/* "a,b,c" to expressions that match whole names. */
static int compile(const char *list, regex_t re[static 16], size_t *n, struct err *e)
{
	while (*list && *n < 16) {
		size_t len = strcspn(list, ",");
		CLEANUP(freep) char *text = xasprintf("^(%.*s)$", (int)len, list);

		if (regcomp(&re[*n], text, REG_EXTENDED | REG_NOSUB) != 0)
			return err_set(e, -EINVAL,
				       "ipAutodetection: \"%.*s\" is not a regular expression",
				       (int)len, list);
		++*n;
		list += len + (list[len] == ',');
	}
	return 0;
}

static int parse_cidrs(const char *list, struct choice *c, struct err *e)
{
	while (*list && c->n_cidrs < ARRAY_SIZE(c->cidrs)) {
		size_t len = strcspn(list, ",");
		CLEANUP(freep) char *text = xstrndup(list, len);

		if (!prefix_parse_or_addr(text, &c->cidrs[c->n_cidrs]))
			return err_set(e, -EINVAL, "ipAutodetection: \"%s\" is not a CIDR", text);
		c->n_cidrs++;
		list += len + (list[len] == ',');
	}
	return 0;
}

/* Ask the kernel from which address it would speak to `to`: connecting UDP sends nothing. */
static int can_reach(const struct autoip *q, const char *to, struct prefix *out, struct err *e)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct addr a;
	unsigned n;

	if (!addr_parse(to, &a) || a.family != q->family)
		return err_set(e, -EINVAL,
			       "ipAutodetection: can-reach=%s: must be an IPv%d address", to,
			       q->family);
	n = addr_to_sockaddr(&a, 9, &ss);
	CLEANUP(closep) int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&ss, n) < 0 ||
	    getsockname(fd, (struct sockaddr *)&ss, &len) < 0 ||
	    !addr_from_sockaddr((struct sockaddr *)&ss, &a, NULL))
		return err_set(e, -ENOENT, "no IPv%d address from which %s can be reached",
			       q->family, to);
	if (!link_by_addr(q->links, &a, out))
		*out = prefix_of(&a, addr_bits(q->family));
	return 0;
}

static int choose(const struct autoip *q, struct choice *c, struct prefix *out, struct err *e)
{
	const char *eq = strchr(q->method, '=');
	const char *arg = eq ? eq + 1 : "";
	int rc = 0;

	if (str_starts(q->method, "can-reach="))
		return can_reach(q, arg, out, e);
	if (str_starts(q->method, "interface="))
		rc = compile(arg, c->only, &c->n_only, e);
	else if (str_starts(q->method, "skip-interface="))
		rc = compile(arg, c->skip, &c->n_skip, e);
	else if (str_starts(q->method, "cidr="))
		rc = parse_cidrs(arg, c, e);
	if (rc < 0)
		return rc;
	if (first_found(q, c, out))
		return 0;
	return err_set(e, -ENOENT,
		       "no IPv%d address found by \"%s\": give the node one, or name it with --ip",
		       q->family, q->method);
}

int autoip_find(const struct autoip *q, struct prefix *out, struct err *e)
{
	struct choice c = { .n_only = 0 };
	struct prefix given, found;
	int rc;

	if (prefix_parse_or_addr(q->want, &given)) {
		*out = given;
		if (!strchr(q->want, '/') && link_by_addr(q->links, &given.addr, &found))
			*out = found;
		return 0;
	}
	rc = choose(q, &c, out, e);
	for (size_t i = 0; i < c.n_only; i++)
		regfree(&c.only[i]);
	for (size_t i = 0; i < c.n_skip; i++)
		regfree(&c.skip[i]);
	return rc;
}

bool autoip_has(const struct link_table *links, const struct addr *a)
{
	return link_by_addr(links, a, NULL) != NULL;
}
