/* change.c - write to the datastore as another node would, and see when the kernel has it
 *
 *	bench-policy-change DS put < KEY<TAB>JSON lines
 *	bench-policy-change DS turn nft|legacy KEY LABEL ROUNDS PAUSE_MS
 *	bench-policy-change DS churn PREFIX RATE SECONDS
 *
 * put   stores each line's object.
 * turn  gives an endpoint a label and takes it away again, ROUNDS times; prints "in" or "out" and the
 *       microseconds from before the write to when packets meet the new rules. That is asked for every
 *       0.2 ms, which the kernel answers from what is in force: with nft the generation, with legacy
 *       the table's size. (More often it would take a fifth of the processor that the agent works on;
 *       nft's events are made one by one after the rules are in force, a millisecond of them here.)
 *       Nobody else may change rules meanwhile. Run it in the node's network namespace.
 * churn changes the endpoints under PREFIX, RATE of them a second, by turns a label and the address;
 *       prints how many it wrote, and how many seconds it took. */
#include <event2/event.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "dataplane/iptables_info.h"
#include "dataplane/netlink.h"
#include "datastore/ds.h"
#include "lib/json.h"
#include "lib/str.h"

enum { PATIENCE_US = 5000000, LOOK_US = 200, LINE_MAX_ = 1 << 16 };

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void pause_us(double us)
{
	struct timespec ts = { .tv_sec = (time_t)(us / 1e6),
			       .tv_nsec = (long)(us - (double)(time_t)(us / 1e6) * 1e6) * 1000 };

	if (us > 0)
		nanosleep(&ts, NULL);
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "bench-policy-change: %s: %s\n", what, why);
	exit(1);
}

static struct store_res call(struct ds *ds, struct store_req req, const char *what)
{
	struct store_res res = ds_call(ds, req);

	if (res.status != STORE_OK)
		die(what, res.msg);
	return res;
}

static void put(struct ds *ds)
{
	static char line[LINE_MAX_];

	while (fgets(line, sizeof(line), stdin)) {
		char *tab = strchr(line, '\t');
		struct store_res res;

		if (!tab)
			die("input", "a line is KEY, a tab, JSON");
		*tab = '\0';
		tab[1 + strcspn(tab + 1, "\n")] = '\0';
		res = call(ds, store_update(line, tab + 1, 0), line);
		store_res_done(&res);
	}
}

/* ---- one pod, one label ---- */

struct eye {
	bool nft;
	struct nl_sock sock; /* nft */
	uint32_t generation;
	struct ipt_info info; /* legacy */
};

static void on_generation(void *arg, const struct nlmsghdr *h)
{
	const struct nlattr *tb[NFTA_GEN_ID + 1] = { NULL };
	uint32_t *out = arg;

	nl_attrs(h, sizeof(struct nfgenmsg), tb, NFTA_GEN_ID);
	*out = ntohl(nl_attr_u32(tb[NFTA_GEN_ID]));
}

static uint32_t generation(struct eye *eye)
{
	static const struct nfgenmsg any = { 0 };
	struct nl_buf b = { 0 };
	struct err e = { 0 };
	uint32_t now = 0;

	nl_msg(&b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, 0, &any, sizeof(any));
	if (nl_ask(&eye->sock, &b, on_generation, &now, &e) < 0)
		die("nft", e.msg);
	nl_buf_done(&b);
	return now;
}

static void eye_open(struct eye *eye)
{
	if (!eye->nft)
		ipt_info_open(&eye->info, IP_V4);
	else
		eye->sock.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
}

static void eye_close(struct eye *eye)
{
	if (eye->nft)
		nl_close(&eye->sock);
	else
		ipt_info_close(&eye->info);
}

/* What has happened up to now does not count. */
static void eye_clear(struct eye *eye)
{
	if (eye->nft)
		eye->generation = generation(eye);
	else
		ipt_info_note(&eye->info);
}

static bool eye_looks(struct eye *eye)
{
	pause_us(LOOK_US);
	return eye->nft ? generation(eye) != eye->generation : ipt_info_differs(&eye->info);
}

static char *labelled(struct ds *ds, const char *key, const char *label, bool in, int64_t *rev)
{
	struct store_res res = call(ds, store_get(key), key);
	CLEANUP(js_freep) json_t *o = NULL;
	struct err e = { 0 };
	json_t *labels;

	if (js_parse(res.kv->value, strlen(res.kv->value), &o, &e) < 0)
		die(key, e.msg);
	labels = json_object_get(json_object_get(o, "metadata"), "labels");
	if (in)
		json_object_set_new(labels, label, json_string("yes"));
	else
		json_object_del(labels, label);
	*rev = res.kv->rev;
	store_res_done(&res);
	return js_dump(o);
}

static void turn(struct ds *ds, struct eye *eye, const char *key, const char *label, bool in)
{
	struct store_res res;
	int64_t rev;
	CLEANUP(freep) char *text = labelled(ds, key, label, in, &rev);
	double start;

	eye_clear(eye);
	start = now_us();
	res = call(ds, store_update(key, text, rev), key);
	while (!eye_looks(eye))
		if (now_us() - start > PATIENCE_US)
			die(key, "the kernel did not hear of it in five seconds");
	printf("%s %.0f\n", in ? "in" : "out", now_us() - start);
	store_res_done(&res);
}

static int turns(struct ds *ds, char **arg)
{
	struct eye eye = { .nft = !strcmp(arg[0], "nft") };
	long rounds = strtol(arg[3], NULL, 10), pause = strtol(arg[4], NULL, 10);

	eye_open(&eye);
	for (long i = 0; i < rounds; i++) {
		for (int in = 1; in >= 0; in--) {
			turn(ds, &eye, arg[1], arg[2], in);
			fflush(stdout);
			pause_us((double)pause * 1e3);
		}
	}
	eye_close(&eye);
	return 0;
}

/* ---- many pods ---- */

/* Endpoint i as it is after its round-th change. */
static void change(struct ds *ds, const struct store_kv *kv, unsigned i, unsigned round)
{
	CLEANUP(js_freep) json_t *o = NULL;
	CLEANUP(freep) char *text = NULL;
	struct store_res res;
	struct err e = { 0 };
	json_t *spec;
	char word[32];

	if (js_parse(kv->value, strlen(kv->value), &o, &e) < 0)
		die(kv->key, e.msg);
	spec = json_object_get(o, "spec");
	if (round % 2) {
		snprintf(word, sizeof(word), "10.%u.%u.%u/32", 200 + round % 50, i / 250, i % 250);
		json_array_set_new(json_object_get(spec, "ipNetworks"), 0, json_string(word));
	} else {
		snprintf(word, sizeof(word), "app-%u", (i + round) % 20);
		json_object_set_new(json_object_get(json_object_get(o, "metadata"), "labels"),
				    "app", json_string(word));
	}
	text = js_dump(o);
	res = call(ds, store_update(kv->key, text, 0), kv->key);
	store_res_done(&res);
}

static void churn(struct ds *ds, char **arg)
{
	struct store_res all = call(ds, store_list(arg[0]), arg[0]);
	double rate = strtod(arg[1], NULL), seconds = strtod(arg[2], NULL), start = now_us();
	unsigned n = 0;

	if (!all.n)
		die(arg[0], "nothing there");
	while (now_us() - start < seconds * 1e6) {
		change(ds, &all.kv[n % all.n], n % (unsigned)all.n, n / (unsigned)all.n + 1);
		n++;
		pause_us(start + n / rate * 1e6 - now_us());
	}
	printf("%u %.3f\n", n, (now_us() - start) / 1e6);
	store_res_done(&all);
}

int main(int argc, char **argv)
{
	struct event_base *base = event_base_new();
	struct err e = { 0 };
	struct ds *ds = NULL;

	if (argc < 3 || ds_open(&ds, base, argv[1], 0, &e) < 0)
		die(argc < 3 ? "usage" : argv[1], argc < 3 ? "see the head of change.c" : e.msg);
	if (!strcmp(argv[2], "put"))
		put(ds);
	else if (!strcmp(argv[2], "turn") && argc == 8)
		turns(ds, argv + 3);
	else if (!strcmp(argv[2], "churn") && argc == 6)
		churn(ds, argv + 3);
	else
		die("usage", "see the head of change.c");
	ds_close(ds);
	event_base_free(base);
	return 0;
}
