/* tunnel.c - tunnel devices: what should be there against what is there
 * SHAPE  A device is looked at when it should change or somebody has touched it: one question for
 *        the device, one for its addresses, then only what differs is written. The events of our
 * own writes cost one more look, which finds all well. WHY    VNI, port, parent and local address
 * of a VXLAN device cannot be changed, so a device that differs in one of them is made anew;
 * address, MAC and MTU change in place. DIFFERS: Calico makes a VXLAN device anew for another MAC
 * as well, and on kernels up to 5.7 turns off the checksum offload of tunnels, which margay leaves
 * to the operator. TESTS  tests/unit/dataplane/tunnel.c; for ipip tests/uml/run.sh */
#include "dataplane/tunnel.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/tunnel_table.h"
#include "lib/vec.h"

static const struct tunnel_type {
	const char *name, *kind, *module;
	enum ip_family family; /* of addresses on the device and of hosts behind it */
	bool stays;	       /* cannot be taken away */
} types[TUNNEL_MAX_] = {
	[TUNNEL_IPIP] = { "tunl0", "ipip", "ipip", IP_V4, true },
	[TUNNEL_VXLAN] = { "vxlan.calico", "vxlan", "vxlan", IP_V4, false },
	[TUNNEL_VXLAN_V6] = { "vxlan-v6.calico", "vxlan", "vxlan", IP_V6, false },
};

const char *tunnel_name(enum tunnel_kind k)
{
	return types[k].name;
}

const char *tunnel_module(enum tunnel_kind k)
{
	return types[k].module;
}

/* ---- what is there ---- */

struct look {
	const struct tunnel_type *type;
	bool found;
	struct tunnel_link link;
	VEC(struct prefix) addrs;
};

static void take_link(void *arg, const struct nlmsghdr *h)
{
	struct look *l = arg;

	l->found = tunnel_link_parse(h, &l->link);
}

static void take_addr(void *arg, const struct nlmsghdr *h)
{
	struct look *l = arg;
	const struct ifaddrmsg *ifa = nl_body(h, sizeof(*ifa));
	const struct nlattr *tb[IFA_LOCAL + 1];
	struct prefix p;

	if (h->nlmsg_type != RTM_NEWADDR || !ifa || ifa->ifa_index != l->link.index ||
	    !nl_attrs(h, sizeof(*ifa), tb, IFA_LOCAL) || l->addrs.n >= TUNNEL_ADDRS_MAX)
		return;
	p = (struct prefix) { .addr = nl_attr_addr(tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS]),
			      .len = ifa->ifa_prefixlen };
	/* The kernel gives every IPv6 interface one of those itself. */
	if (p.addr.family && !(p.addr.family == IP_V6 && addr_is_link_local(&p.addr)))
		vec_push(&l->addrs, p);
}

static int look_at(struct tunnels *t, struct look *l, struct err *e)
{
	int rc;

	tunnel_put_query(&t->out, l->type->name);
	rc = nl_ask(&t->requests, &t->out, take_link, l, e);
	nl_buf_clear(&t->out);
	if (rc == -ENODEV)
		return 0;
	if (rc < 0 || !l->found)
		return rc;
	tunnel_put_addr_dump(&t->out, l->type->family, l->link.index);
	rc = nl_dump(&t->requests, &t->out, take_addr, l, e);
	nl_buf_clear(&t->out);
	return rc == -EAFNOSUPPORT ? 0 : rc;
}

static bool is_kind(const struct look *l)
{
	return l->found && str_eq(l->link.kind, l->type->kind);
}

static bool same_shape(const struct look *l, const struct tunnel_spec *s)
{
	const struct tunnel_link *k = &l->link;

	if (!is_kind(l) || l->type->stays)
		return is_kind(l);
	return k->vni == s->vni && k->port == s->port && k->parent == s->parent &&
	       addr_eq(&k->local, &s->local) && !k->learning && !k->unusual;
}

/* ---- one device ---- */

static void fail(struct tunnel_device *d, const struct tunnels *t, enum tunnel_state state,
		 const char *fmt, ...) PRINTF(4, 5);
static void fail(struct tunnel_device *d, const struct tunnels *t, enum tunnel_state state,
		 const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->status.text, sizeof(d->status.text), fmt, ap);
	va_end(ap);
	d->status.state = state;
	d->retry_ms =
		t->now_ms + (state == TUNNEL_NO_KERNEL ? TUNNEL_RETRY_MODULE_MS : TUNNEL_RETRY_MS);
}

static void set_index(struct tunnels *t, enum tunnel_kind k, uint32_t index)
{
	if (t->dev[k].status.index == index)
		return;
	t->dev[k].status.index = index;
	tunnel_peers_moved(t, k);
}

/* Make the device. 1: it is there, look again. 0: it cannot be made, the status says why. */
static int create(struct tunnels *t, enum tunnel_kind k)
{
	const struct tunnel_type *type = &types[k];
	struct tunnel_device *d = &t->dev[k];
	struct err e = { 0 };
	int rc;

	if (type->stays)
		tunnel_put_ipip(&t->out, type->name);
	else
		tunnel_put_vxlan(&t->out, type->name, &d->want);
	rc = nl_run(&t->requests, &t->out, &e);
	/* Loading the module of ipip makes tunl0. */
	if (rc == 0 || rc == -EEXIST) {
		t->counts.written++;
		return 1;
	}
	if (rc == -EOPNOTSUPP)
		fail(d, t, TUNNEL_NO_KERNEL,
		     "the kernel cannot make %s: it has no module %s; load it (modprobe %s) or "
		     "install it, or give the pool another encapsulation",
		     type->name, type->module, type->module);
	else
		fail(d, t, TUNNEL_FAILED, "cannot make %s: %s", type->name, e.msg);
	return 0;
}

/* Something else bears the name, or the device has another shape. */
static int recreate(struct tunnels *t, enum tunnel_kind k, const struct look *l)
{
	struct tunnel_device *d = &t->dev[k];
	struct err e = { 0 };
	int rc;

	if (types[k].stays) {
		fail(d, t, TUNNEL_FAILED,
		     "an interface of type \"%s\" is called %s; rename or remove it", l->link.kind,
		     types[k].name);
		return 0;
	}
	tunnel_put_delete(&t->out, l->link.index);
	rc = nl_run(&t->requests, &t->out, &e);
	if (rc < 0 && rc != -ENODEV) {
		fail(d, t, TUNNEL_FAILED, "cannot take the old %s away: %s", types[k].name, e.msg);
		return 0;
	}
	t->counts.recreated++;
	return create(t, k);
}

static struct prefix host_prefix(const struct addr *a)
{
	return (struct prefix) { .addr = *a, .len = (uint8_t)addr_bits(a->family) };
}

/* Additions first: with its last address an interface loses its routes. */
static void put_addrs(struct tunnels *t, struct look *l, const struct addr *want)
{
	struct prefix p = host_prefix(want);
	bool there = false;

	vec_foreach (&l->addrs, a)
		there = there || prefix_eq(a, &p);
	if (want->family && !there)
		tunnel_put_addr(&t->out, l->link.index, &p, true);
	vec_foreach (&l->addrs, a) {
		if (!want->family || !prefix_eq(a, &p))
			tunnel_put_addr(&t->out, l->link.index, a, false);
	}
}

/* The device has its shape: set the rest right, as far as it is not. */
static void adjust(struct tunnels *t, enum tunnel_kind k, struct look *l)
{
	struct tunnel_device *d = &t->dev[k];
	const struct tunnel_spec *s = &d->want;
	uint32_t mtu = l->link.mtu == s->mtu ? 0 : s->mtu;
	bool mac = !types[k].stays && memcmp(l->link.mac, s->mac, sizeof(s->mac)) != 0;
	struct err e = { 0 };

	if (!l->link.up || mtu || mac)
		tunnel_put_set(&t->out, l->link.index, mtu, mac ? s->mac : NULL);
	/* Until there is one of its own, what an earlier life left is as good. */
	if (s->addr.family)
		put_addrs(t, l, &s->addr);
	t->counts.written += t->out.n;
	d->status.usable = true;
	if (t->out.n && nl_run(&t->requests, &t->out, &e) < 0) {
		d->status.usable = l->link.up;
		fail(d, t, TUNNEL_FAILED, "%s is not as it should be (MTU %u): %s", types[k].name,
		     s->mtu, e.msg);
		return;
	}
	d->status.state = TUNNEL_UP;
	d->status.text[0] = '\0';
}

/* Not wanted: take away what is certainly ours. */
static void clear(struct tunnels *t, enum tunnel_kind k, struct look *l)
{
	struct err e = { 0 };

	t->dev[k].status.usable = false;
	if (!is_kind(l))
		return;
	if (!types[k].stays)
		tunnel_put_delete(&t->out, l->link.index);
	/* tunl0 may be somebody else's: Calico and margay give it /32s. */
	vec_foreach (&l->addrs, a) {
		if (types[k].stays && a->len == addr_bits(a->addr.family))
			tunnel_put_addr(&t->out, l->link.index, a, false);
	}
	t->counts.removed += t->out.n;
	if (t->out.n && nl_run(&t->requests, &t->out, &e) < 0)
		fail(&t->dev[k], t, TUNNEL_OFF, "cannot clear %s: %s", types[k].name, e.msg);
}

/* The kernel has taken the request, or said that there is one already. */
static void not_made(struct tunnels *t, enum tunnel_kind k, const struct look *l)
{
	struct tunnel_device *d = &t->dev[k];

	if (!types[k].stays && !l->found)
		fail(d, t, TUNNEL_FAILED,
		     "cannot make %s: another interface has VNI %u on port %u (ip -d link show "
		     "type vxlan): remove it, or set vxlanVNI or vxlanPort",
		     types[k].name, d->want.vni, d->want.port);
	else
		fail(d, t, TUNNEL_FAILED, "%s does not come out as it was asked for",
		     types[k].name);
}

/* Look, make, look again, adjust. */
static void work_on(struct tunnels *t, enum tunnel_kind k, struct look *l, struct err *e)
{
	struct tunnel_device *d = &t->dev[k];
	int made = 1;

	if (!d->wanted) {
		set_index(t, k, 0);
		clear(t, k, l);
		return;
	}
	if (!l->found)
		made = create(t, k);
	else if (!same_shape(l, &d->want))
		made = recreate(t, k, l);
	if (made && (!l->found || !same_shape(l, &d->want))) {
		vec_clear(&l->addrs);
		if (look_at(t, l, e) < 0 || !l->found || !same_shape(l, &d->want)) {
			not_made(t, k, l);
			made = 0;
		}
	}
	set_index(t, k, made ? l->link.index : 0);
	d->status.usable = made;
	if (made)
		adjust(t, k, l);
}

static int device_apply(struct tunnels *t, enum tunnel_kind k, struct err *e)
{
	struct tunnel_device *d = &t->dev[k];
	struct look l = { .type = &types[k] };
	int rc = look_at(t, &l, e);

	if (rc == 0) {
		d->dirty = false;
		d->retry_ms = UINT64_MAX;
		work_on(t, k, &l, e);
	}
	vec_done(&l.addrs);
	return rc;
}

/* ---- wants ---- */

void tunnel_want(struct tunnels *t, enum tunnel_kind k, const struct tunnel_spec *s)
{
	struct tunnel_device *d = &t->dev[k];

	d->wanted = d->ours = true;
	d->want = *s;
	d->dirty = true;
	if (d->status.state == TUNNEL_OFF)
		d->status.state = TUNNEL_PENDING;
}

void tunnel_unwant(struct tunnels *t, enum tunnel_kind k)
{
	struct tunnel_device *d = &t->dev[k];

	tunnel_peers_unwant(t, k);
	d->wanted = false;
	d->dirty = true;
	d->status.state = TUNNEL_OFF;
	d->status.text[0] = '\0';
}

void tunnels_ready(struct tunnels *t)
{
	t->ready = true;
}

void tunnels_leftovers(struct tunnels *t)
{
	for (unsigned k = 0; k < TUNNEL_MAX_; k++)
		t->dev[k].ours = true;
	tunnels_resync(t);
}

void tunnels_resync(struct tunnels *t)
{
	for (unsigned k = 0; k < TUNNEL_MAX_; k++)
		t->dev[k].dirty = true;
	t->resync_peers = true;
}

/* ---- loop ---- */

int tunnels_apply(struct tunnels *t, uint64_t now_ms, unsigned budget, struct err *e)
{
	int rc = 0;

	t->now_ms = now_ms;
	if (!budget)
		budget = UINT32_MAX;
	for (unsigned k = 0; k < TUNNEL_MAX_ && rc == 0; k++) {
		struct tunnel_device *d = &t->dev[k];

		if ((d->dirty && d->ours) || now_ms >= d->retry_ms)
			rc = device_apply(t, (enum tunnel_kind)k, e);
	}
	if (rc == 0)
		rc = tunnel_peers_apply(t, &budget, e);
	if (rc < 0) {
		t->retry_peers_ms = now_ms + TUNNEL_RETRY_MS;
		tunnels_resync(t);
		return rc;
	}
	return tunnel_peers_dirty(t);
}

bool tunnels_dirty(const struct tunnels *t)
{
	for (unsigned k = 0; k < TUNNEL_MAX_; k++)
		if (t->dev[k].dirty && t->dev[k].ours)
			return true;
	return t->resync_peers || tunnel_peers_dirty(t);
}

uint64_t tunnels_due(const struct tunnels *t)
{
	uint64_t due = t->retry_peers_ms;

	for (unsigned k = 0; k < TUNNEL_MAX_; k++)
		if (t->dev[k].retry_ms < due)
			due = t->dev[k].retry_ms;
	return due;
}

int tunnels_fd(const struct tunnels *t)
{
	return t->events.fd;
}

static void touched(struct tunnels *t, uint32_t index, const char *name)
{
	for (unsigned k = 0; k < TUNNEL_MAX_; k++)
		if ((index && t->dev[k].status.index == index) || str_eq(name, types[k].name))
			t->dev[k].dirty = true;
}

static void on_event(void *arg, const struct nlmsghdr *h)
{
	struct tunnels *t = arg;
	const struct ifinfomsg *ifi;
	const struct ifaddrmsg *ifa;
	const struct nlattr *tb[IFLA_IFNAME + 1] = { 0 };

	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		ifi = nl_body(h, sizeof(*ifi));
		if (ifi && nl_attrs(h, sizeof(*ifi), tb, IFLA_IFNAME))
			touched(t, (uint32_t)ifi->ifi_index, nl_attr_str(tb[IFLA_IFNAME]));
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		ifa = nl_body(h, sizeof(*ifa));
		if (ifa)
			touched(t, ifa->ifa_index, NULL);
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		tunnel_peers_event(t, h);
		break;
	default:
		break;
	}
}

int tunnels_read(struct tunnels *t, struct err *e)
{
	int rc = nl_read_events(&t->events, 1 << 14, on_event, t);

	if (rc == -ENOBUFS) {
		tunnels_resync(t);
		return 1;
	}
	return rc < 0 ? err_set(e, rc, "tunnel events: %s", strerror(-rc)) : 0;
}

/* ---- life ---- */

struct tunnels *tunnels_new(struct err *e)
{
	static const unsigned groups[] = { RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
					   RTNLGRP_NEIGH, 0 };
	struct tunnels *t = xcalloc(1, sizeof(*t));

	t->requests.fd = t->events.fd = -1;
	t->retry_peers_ms = UINT64_MAX;
	for (unsigned k = 0; k < TUNNEL_MAX_; k++)
		t->dev[k].retry_ms = UINT64_MAX;
	delta_init(&t->peers, &tunnel_peer_type, t, (uint32_t)(uintptr_t)t);
	if (nl_open(&t->requests, e) < 0 || nl_open_events(&t->events, groups, e) < 0) {
		tunnels_free(t);
		return NULL;
	}
	return t;
}

void tunnels_free(struct tunnels *t)
{
	if (!t)
		return;
	delta_done(&t->peers);
	nl_close(&t->requests);
	nl_close(&t->events);
	nl_buf_done(&t->out);
	free(t);
}

const struct tunnel_status *tunnel_status(const struct tunnels *t, enum tunnel_kind k)
{
	return &t->dev[k].status;
}

struct tunnel_counts tunnel_counts(const struct tunnels *t)
{
	struct tunnel_counts c = t->counts;

	c.peers = t->peers.wanted / 2;
	c.waiting = t->peers.noted[NOTE_DEVICE];
	c.failed = t->peers.noted[NOTE_REFUSED];
	return c;
}
