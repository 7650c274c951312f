/* tunnel_peers.c - forwarding entries and neighbours of tunnel devices
 * SHAPE  Each peer is two keys of one delta: MAC -> host (forwarding) and address -> MAC
 *        (neighbour). All permanent entries of our devices are ours; what the kernel learnt or
 * asked for itself counts as absent, and is overwritten where we want the key. COST   Two messages
 * a peer, 256 in one sendmsg. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/tunnel_table.h"
#include "lib/vec.h"

static bool same(void *ctx, void *want, void *have)
{
	const struct peer_value *a = want, *b = have;

	return b && addr_eq(&a->addr, &b->addr) && memcmp(a->mac, b->mac, sizeof(a->mac)) == 0;
}

static void ref(void *ctx, void *value)
{
	((struct peer_value *)value)->refs++;
}

static void unref(void *ctx, void *value)
{
	if (--((struct peer_value *)value)->refs == 0)
		free(value);
}

const struct delta_type tunnel_peer_type = {
	.key_size = sizeof(struct peer_key),
	.same = same,
	.ref = ref,
	.unref = unref,
};

_Static_assert(sizeof(struct peer_key) == 28, "compared as bytes: no hidden padding");

static struct peer_value *value_new(const struct addr *addr, const uint8_t mac[static 6])
{
	struct peer_value *v = xcalloc(1, sizeof(*v));

	v->refs = 1;
	if (addr)
		v->addr = *addr;
	memcpy(v->mac, mac, sizeof(v->mac));
	return v;
}

static struct peer_key key_of(enum tunnel_kind k, bool fdb, const struct addr *addr,
			      const uint8_t mac[static 6])
{
	struct peer_key key;

	memset(&key, 0, sizeof(key));
	key.tunnel = (uint8_t)k;
	key.fdb = fdb;
	if (fdb)
		memcpy(key.mac, mac, sizeof(key.mac));
	else
		key.addr = *addr;
	return key;
}

/* The value of a key repeats the half that the key has not. */
static struct peer_value *value_of(bool fdb, const struct addr *addr, const uint8_t mac[static 6])
{
	static const uint8_t none[6];

	return fdb ? value_new(addr, none) : value_new(NULL, mac);
}

/* ---- wants ---- */

static void want(struct tunnels *t, const struct peer_key *key, struct peer_value *v)
{
	delta_want(&t->peers, key, v, 0);
	unref(t, v);
}

static void unwant(struct tunnels *t, const struct peer_key *key, const struct peer_value *only)
{
	uint32_t id = delta_find(&t->peers, key);
	void *held = id == DELTA_NONE ? NULL : delta_want_of(&t->peers, id);

	if (held && (!only || same(t, held, (void *)(uintptr_t)only)))
		delta_unwant(&t->peers, id);
}

static const struct peer_value *wanted(const struct tunnels *t, const struct peer_key *key)
{
	uint32_t id = delta_find(&t->peers, key);

	return id == DELTA_NONE ? NULL : delta_want_of(&t->peers, id);
}

static bool is_usable(const struct tunnel_peer *p)
{
	return p->vtep.family && p->host.family && !(p->mac[0] & 1);
}

int tunnel_peer_want(struct tunnels *t, enum tunnel_kind k, const struct tunnel_peer *p,
		     struct err *e)
{
	struct peer_key arp = key_of(k, false, &p->vtep, p->mac),
			fdb = key_of(k, true, &p->vtep, p->mac);
	const struct peer_value *old = wanted(t, &arp), *behind = wanted(t, &fdb);
	bool other = (old && memcmp(old->mac, p->mac, sizeof(p->mac)) != 0) ||
		     (behind && !addr_eq(&behind->addr, &p->host));

	if (!is_usable(p))
		return err_set(e, -EINVAL,
			       "a peer needs a tunnel address, a node address and a MAC for one "
			       "host");
	if (!old && t->peers.wanted / 2 >= TUNNEL_PEERS_MAX)
		return err_set(e, -ENOSPC, "more than %d peers", TUNNEL_PEERS_MAX);
	if (old && memcmp(old->mac, p->mac, sizeof(p->mac)) != 0) {
		struct peer_key gone = key_of(k, true, NULL, old->mac);

		unwant(t, &gone, NULL);
	}
	want(t, &fdb, value_of(true, &p->host, p->mac));
	want(t, &arp, value_of(false, &p->vtep, p->mac));
	return other;
}

void tunnel_peer_forget(struct tunnels *t, enum tunnel_kind k, const struct tunnel_peer *p)
{
	struct peer_key arp = key_of(k, false, &p->vtep, p->mac),
			fdb = key_of(k, true, &p->vtep, p->mac);
	struct peer_value *mac = value_of(false, &p->vtep, p->mac),
			  *host = value_of(true, &p->host, p->mac);

	unwant(t, &arp, mac);
	unwant(t, &fdb, host);
	unref(t, mac);
	unref(t, host);
}

void tunnel_peers_unwant(struct tunnels *t, enum tunnel_kind k)
{
	uint32_t next;

	for (uint32_t id = delta_next(&t->peers, DELTA_NONE); id != DELTA_NONE; id = next) {
		const struct peer_key *key = delta_key(&t->peers, id);

		next = delta_next(&t->peers, id);
		if (key->tunnel == k && delta_want_of(&t->peers, id))
			delta_unwant(&t->peers, id);
	}
}

/* ---- what is there ---- */

void tunnel_peers_moved(struct tunnels *t, enum tunnel_kind k)
{
	uint32_t next;

	for (uint32_t id = delta_next(&t->peers, DELTA_NONE); id != DELTA_NONE; id = next) {
		const struct peer_key *key = delta_key(&t->peers, id);

		next = delta_next(&t->peers, id);
		if (key->tunnel == k)
			delta_seen_id(&t->peers, id, NULL);
	}
	delta_release(&t->peers, NOTE_DEVICE);
	/* A device that was there before us may have entries. */
	if (t->dev[k].status.index)
		t->resync_peers = true;
}

/* The tunnel on whose device the entry is; TUNNEL_MAX_ is none of ours. */
static enum tunnel_kind kind_of(const struct tunnels *t, uint32_t index)
{
	unsigned k = 0;

	while (k < TUNNEL_MAX_ && (!index || t->dev[k].status.index != index))
		k++;
	return (enum tunnel_kind)k;
}

static void seen(struct tunnels *t, const struct tunnel_entry *en)
{
	enum tunnel_kind k = kind_of(t, en->index);
	struct peer_key key = key_of(k, en->fdb, &en->addr, en->mac);
	bool there = en->permanent && !en->gone;
	struct peer_value *v = there ? value_of(en->fdb, &en->addr, en->mac) : NULL;

	if (k == TUNNEL_MAX_ || k == TUNNEL_IPIP) {
		free(v);
		return;
	}
	if (there || delta_find(&t->peers, &key) != DELTA_NONE)
		delta_seen(&t->peers, &key, v);
	if (v)
		unref(t, v);
}

void tunnel_peers_event(struct tunnels *t, const struct nlmsghdr *h)
{
	struct tunnel_entry en;

	/* Our own writes: known from their answers. The kernel tells of forwarding entries without
	 * saying who, and then an event may be older than what was written since: one write more.
	 */
	if (h->nlmsg_pid == t->requests.port)
		return;
	if (tunnel_entry_parse(h, &en))
		seen(t, &en);
}

static void on_dumped(void *arg, const struct nlmsghdr *h)
{
	struct tunnel_entry en;

	if (tunnel_entry_parse(h, &en) && !en.gone)
		seen(arg, &en);
}

static int dump(struct tunnels *t, struct err *e)
{
	int rc = 0;

	delta_resync_begin(&t->peers);
	for (unsigned k = TUNNEL_VXLAN; k < TUNNEL_MAX_ && rc == 0; k++) {
		uint32_t index = t->dev[k].status.index;
		enum ip_family family = k == TUNNEL_VXLAN_V6 ? IP_V6 : IP_V4;

		for (int fdb = 0; fdb < 2 && rc == 0 && index; fdb++) {
			tunnel_put_entry_dump(&t->out, fdb, family, index);
			rc = nl_dump(&t->requests, &t->out, on_dumped, t, e);
			nl_buf_clear(&t->out);
		}
	}
	return rc;
}

static int resync(struct tunnels *t, struct err *e)
{
	int rc = -EINTR;

	for (int i = 0; i < 5 && rc == -EINTR; i++)
		rc = dump(t, e);
	if (rc < 0)
		return err_wrap(e, "listing the entries of tunnels");
	delta_resync_end(&t->peers);
	t->resync_peers = false;
	return 0;
}

/* ---- writing ---- */

struct batch {
	struct tunnels *t;
	unsigned n;
	uint32_t id[TUNNEL_BATCH];
	int code[TUNNEL_BATCH];
};

static void queue(struct batch *b, uint32_t id, bool add)
{
	struct tunnels *t = b->t;
	const struct peer_key *key = delta_key(&t->peers, id);
	const struct peer_value *v =
		add ? delta_want_of(&t->peers, id) : delta_have_of(&t->peers, id);
	struct tunnel_entry en = { .fdb = key->fdb, .index = t->dev[key->tunnel].status.index };

	if (!en.index) {
		delta_hold(&t->peers, id, NOTE_DEVICE);
		return;
	}
	en.addr = key->fdb ? v->addr : key->addr;
	memcpy(en.mac, key->fdb ? key->mac : v->mac, sizeof(en.mac));
	tunnel_put_entry(&t->out, &en, add);
	b->id[b->n++] = id;
}

static void note_failure(void *arg, unsigned index, int code, const char *text)
{
	struct batch *b = arg;

	b->code[index] = code;
}

static void after(struct batch *b, unsigned i, bool add)
{
	struct tunnels *t = b->t;
	int code = b->code[i];

	if (!add && (code == -ENOENT || code == -ENODEV))
		code = 0;
	if (code == 0) {
		delta_seen_id(&t->peers, b->id[i], add ? delta_want_of(&t->peers, b->id[i]) : NULL);
		if (add)
			t->counts.written++;
		else
			t->counts.removed++;
		return;
	}
	delta_hold(&t->peers, b->id[i], code == -ENODEV ? NOTE_DEVICE : NOTE_REFUSED);
	if (t->retry_peers_ms == UINT64_MAX)
		t->retry_peers_ms = t->now_ms + TUNNEL_RETRY_MS;
}

static int run_batch(struct tunnels *t, enum delta_list list, unsigned limit, struct err *e)
{
	struct batch b = { .t = t };
	unsigned taken = 0;
	uint32_t id;
	int rc;

	while (b.n < TUNNEL_BATCH && taken < limit &&
	       (id = delta_pop(&t->peers, list)) != DELTA_NONE) {
		queue(&b, id, list == DELTA_SET);
		taken++;
	}
	rc = b.n ? nl_batch(&t->requests, &t->out, note_failure, &b, e) : 0;
	for (unsigned i = 0; i < b.n; i++) {
		if (rc < 0)
			delta_touch(&t->peers, b.id[i]);
		else
			after(&b, i, list == DELTA_SET);
	}
	return rc < 0 ? err_wrap(e, "writing the entries of tunnels") : (int)taken;
}

static int run_list(struct tunnels *t, enum delta_list list, unsigned *budget, struct err *e)
{
	while (t->peers.count[list] && *budget) {
		int n = run_batch(t, list, *budget, e);

		if (n < 0)
			return n;
		*budget -= (unsigned)n;
	}
	return 0;
}

int tunnel_peers_apply(struct tunnels *t, unsigned *budget, struct err *e)
{
	int rc = 0;

	if (t->now_ms >= t->retry_peers_ms) {
		t->retry_peers_ms = UINT64_MAX;
		delta_release(&t->peers, NOTE_REFUSED);
		delta_release(&t->peers, NOTE_DEVICE);
	}
	if (t->resync_peers)
		rc = resync(t, e);
	if (rc == 0)
		rc = run_list(t, DELTA_SET, budget, e);
	if (rc == 0 && t->ready)
		rc = run_list(t, DELTA_DEL, budget, e);
	return rc;
}

bool tunnel_peers_dirty(const struct tunnels *t)
{
	return t->peers.count[DELTA_SET] || (t->ready && t->peers.count[DELTA_DEL]);
}
