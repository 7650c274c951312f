/* filter.c - what iptables-save and ipset save may print: any bytes give a state or an error, and what
 * is then written is bounded by what was read */
#include "dataplane/ipset.h"
#include "dataplane/iptables.h"

#include <string.h>

static void rules(const char *text, size_t len, enum ipt_backend backend)
{
	struct ipt_config cfg = { .family = IP_V4, .backend = backend };
	struct ipt_rule r = { "0123456789abcdef", "--jump DROP" };
	struct ipt_rule jump = { "0123456789abcdeg", "--jump cali-x" };
	struct exec_result out = { .out = text, .out_len = len, .err = text };
	struct ipt *t = ipt_new(&cfg);
	struct exec_cmd cmd;

	ipt_hook(t, IPT_FILTER, "INPUT", IPT_FIRST, &jump, 1, NULL);
	ipt_chain(t, IPT_FILTER, "cali-x", &r, 1, NULL);
	ipt_ready(t);
	for (uint64_t now = 1; now < 20 && ipt_next(t, now, &cmd); now++) {
		if (cmd.in_len)
			out = (struct exec_result) { .code = now % 2 ? 4 : 0,
						     .out = "",
						     .err = text };
		ipt_done(t, now, &out);
		out = (struct exec_result) { .out = text, .out_len = len, .err = text };
	}
	ipt_free(t);
}

static void sets(const char *text, size_t len)
{
	struct ipset_config cfg = { .family = IP_V4 };
	struct exec_result out = { .out = text, .out_len = len, .err = text };
	struct ipsets *s = ipsets_new(&cfg);
	struct exec_cmd cmd;

	ipset_want(s, "cali40s:x", IPSET_NET, 0, NULL);
	ipsets_ready(s);
	for (uint64_t now = 1; now < 20 && ipset_next(s, IPSET_GROW, now, &cmd); now++) {
		if (cmd.in_len)
			out = (struct exec_result) { .code = now % 2, .out = "", .err = text };
		ipset_done(s, now, &out);
		out = (struct exec_result) {
			.code = (int)len % 2, .out = text, .out_len = len, .err = text
		};
	}
	ipsets_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xmalloc(size + 1);

	memcpy(text, data, size);
	text[size] = 0;
	rules(text, size, IPT_NFT);
	rules(text, size, IPT_LEGACY);
	sets(text, size);
	freep(&text);
	return 0;
}
