/* link.c - the network interfaces of this namespace and their addresses, kept up to date
 * WHY    Routes wait for links, BGP wants to know which address it speaks from, and the workload
 * code wants to know when a pod's interface comes up: all from one place, without polling. SHAPE
 * One hash by index and one by name. A relist marks what it sees and then drops the rest, so a lost
 * event costs two dumps and yields the same callbacks. ERRORS A message that cannot be read is
 * skipped: the next relist has it right. */
#include "dataplane/link.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <uthash.h>

#include "dataplane/netlink.h"

enum {
	WATCHERS_MAX = 8,
	READS_MAX = 256,  /* datagrams a call, so that the loop stays fair */
	RELIST_TRIES = 5, /* dumps that a busy kernel interrupts */
	ADDRS_MAX = 4096, /* of one link: a load balancer's loopback may hold very many */
};

struct entry {
	struct link l;
	unsigned generation;	/* of the last relist that saw the link */
	VEC(unsigned) addr_gen; /* the same for each address of l.addrs */
	UT_hash_handle by_index, by_name;
};

struct link_table {
	struct nl_sock events, requests;
	struct entry *by_index, *by_name;
	unsigned generation;
	bool quiet; /* the first listing makes no events */
	struct {
		link_watch_fn fn;
		void *arg;
	} watchers[WATCHERS_MAX];
	unsigned n_watchers;
};

static void tell(struct link_table *t, enum link_event ev, const struct entry *en,
		 const struct prefix *addr)
{
	for (unsigned i = 0; !t->quiet && i < t->n_watchers; i++)
		t->watchers[i].fn(t->watchers[i].arg, ev, en ? &en->l : NULL, addr);
}

static struct entry *find_index(const struct link_table *t, uint32_t index)
{
	struct entry *en = NULL;

	HASH_FIND(by_index, t->by_index, &index, sizeof(index), en);
	return en;
}

static struct entry *find_name(const struct link_table *t, const char *name)
{
	struct entry *en = NULL;

	HASH_FIND(by_name, t->by_name, name, strlen(name), en);
	return en;
}

static void insert(struct link_table *t, struct entry *en)
{
	HASH_ADD(by_index, t->by_index, l.index, sizeof(en->l.index), en);
	HASH_ADD_KEYPTR(by_name, t->by_name, en->l.name, strlen(en->l.name), en);
}

static void take_out(struct link_table *t, struct entry *en)
{
	HASH_DELETE(by_index, t->by_index, en);
	HASH_DELETE(by_name, t->by_name, en);
}

static void entry_free(struct entry *en)
{
	vec_done(&en->l.addrs);
	vec_done(&en->addr_gen);
	free(en);
}

static void gone(struct link_table *t, struct entry *en)
{
	take_out(t, en);
	tell(t, LINK_GONE, en, NULL);
	entry_free(en);
}

/* One RTM_NEWLINK as a struct without addresses. */
static bool parse_link(const struct nlmsghdr *h, struct link *l)
{
	const struct nlattr *tb[IFLA_LINKINFO + 1], *info[IFLA_INFO_KIND + 1];
	const struct ifinfomsg *ifi = nl_body(h, sizeof(*ifi));
	const char *name, *kind = NULL;

	if (!ifi || ifi->ifi_family != AF_UNSPEC || !nl_attrs(h, sizeof(*ifi), tb, IFLA_LINKINFO))
		return false;
	name = nl_attr_str(tb[IFLA_IFNAME]);
	if (!name || !*name || strlen(name) >= LINK_NAME_MAX)
		return false;
	*l = (struct link) {
		.index = (uint32_t)ifi->ifi_index,
		.peer = nl_attr_u32(tb[IFLA_LINK]),
		.master = nl_attr_u32(tb[IFLA_MASTER]),
		.mtu = nl_attr_u32(tb[IFLA_MTU]),
		.up = ifi->ifi_flags & IFF_UP,
		.running = (ifi->ifi_flags & IFF_UP) && (ifi->ifi_flags & IFF_RUNNING),
		.loopback = ifi->ifi_flags & IFF_LOOPBACK,
		.has_mac = nl_attr_len(tb[IFLA_ADDRESS]) == sizeof(l->mac),
	};
	str_copy(l->name, sizeof(l->name), name);
	if (l->has_mac)
		memcpy(l->mac, nl_attr_data(tb[IFLA_ADDRESS]), sizeof(l->mac));
	if (tb[IFLA_LINKINFO] && nl_nested(tb[IFLA_LINKINFO], info, IFLA_INFO_KIND))
		kind = nl_attr_str(info[IFLA_INFO_KIND]);
	if (kind)
		str_copy(l->kind, sizeof(l->kind), kind);
	return true;
}

static bool same_facts(const struct link *a, const struct link *b)
{
	return a->peer == b->peer && a->master == b->master && a->mtu == b->mtu && a->up == b->up &&
	       a->running == b->running && a->has_mac == b->has_mac &&
	       memcmp(a->mac, b->mac, sizeof(a->mac)) == 0 && str_eq(a->kind, b->kind);
}

static void link_new(struct link_table *t, const struct link *l)
{
	struct entry *other = find_name(t, l->name), *en;

	/* Two links never share a name: the old bearer is gone or renamed, its event is on the way.
	 */
	if (other)
		gone(t, other);
	en = xcalloc(1, sizeof(*en));
	en->l = *l;
	en->generation = t->generation;
	insert(t, en);
	tell(t, LINK_NEW, en, NULL);
}

/* A rename keeps the addresses, for which there will be no events. */
static void link_renamed(struct link_table *t, struct entry *en, const struct link *l)
{
	struct entry *other = find_name(t, l->name);

	if (other && other != en)
		gone(t, other);
	take_out(t, en);
	tell(t, LINK_GONE, en, NULL);
	str_copy(en->l.name, sizeof(en->l.name), l->name);
	insert(t, en);
	tell(t, LINK_NEW, en, NULL);
}

static void on_newlink(struct link_table *t, const struct nlmsghdr *h)
{
	struct entry *en;
	struct link l;

	if (!parse_link(h, &l))
		return;
	en = find_index(t, l.index);
	if (!en) {
		link_new(t, &l);
		return;
	}
	en->generation = t->generation;
	if (!str_eq(en->l.name, l.name))
		link_renamed(t, en, &l);
	if (same_facts(&en->l, &l))
		return;
	memcpy(l.name, en->l.name, sizeof(l.name));
	memcpy(&l.addrs, &en->l.addrs, sizeof(l.addrs));
	/* The name stays where it is: the hash points at it. */
	en->l = l;
	tell(t, LINK_CHANGED, en, NULL);
}

static void on_dellink(struct link_table *t, const struct nlmsghdr *h)
{
	const struct ifinfomsg *ifi = nl_body(h, sizeof(*ifi));
	struct entry *en = ifi ? find_index(t, (uint32_t)ifi->ifi_index) : NULL;

	/* AF_BRIDGE: it has left a bridge, no more. */
	if (en && ifi->ifi_family == AF_UNSPEC)
		gone(t, en);
}

/* The address of an RTM_NEWADDR or RTM_DELADDR and the link that it is on. */
static struct entry *parse_addr(struct link_table *t, const struct nlmsghdr *h, struct prefix *p)
{
	const struct ifaddrmsg *ifa = nl_body(h, sizeof(*ifa));
	const struct nlattr *tb[IFA_LOCAL + 1];

	if (!ifa || !nl_attrs(h, sizeof(*ifa), tb, IFA_LOCAL))
		return NULL;
	/* On point-to-point links IFA_ADDRESS is the other side. */
	*p = (struct prefix) { .addr = nl_attr_addr(tb[IFA_LOCAL] ? tb[IFA_LOCAL]
								  : tb[IFA_ADDRESS]),
			       .len = ifa->ifa_prefixlen };
	if (!p->addr.family || p->len > addr_bits(p->addr.family))
		return NULL;
	return find_index(t, ifa->ifa_index);
}

static void on_newaddr(struct link_table *t, const struct nlmsghdr *h)
{
	struct prefix p;
	struct entry *en = parse_addr(t, h, &p);

	if (!en)
		return;
	for (size_t i = 0; i < en->l.addrs.n; i++)
		if (prefix_eq(&en->l.addrs.p[i], &p)) {
			en->addr_gen.p[i] = t->generation;
			return;
		}
	if (en->l.addrs.n >= ADDRS_MAX)
		return;
	vec_push(&en->l.addrs, p);
	vec_push(&en->addr_gen, t->generation);
	tell(t, LINK_ADDR_NEW, en, &p);
}

static void drop_addr(struct link_table *t, struct entry *en, size_t i)
{
	struct prefix p = en->l.addrs.p[i];

	vec_remove(&en->l.addrs, i);
	vec_remove(&en->addr_gen, i);
	tell(t, LINK_ADDR_GONE, en, &p);
}

static void on_deladdr(struct link_table *t, const struct nlmsghdr *h)
{
	struct prefix p;
	struct entry *en = parse_addr(t, h, &p);

	for (size_t i = 0; en && i < en->l.addrs.n; i++)
		if (prefix_eq(&en->l.addrs.p[i], &p)) {
			drop_addr(t, en, i);
			return;
		}
}

static void on_message(void *arg, const struct nlmsghdr *h)
{
	struct link_table *t = arg;

	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
		on_newlink(t, h);
		break;
	case RTM_DELLINK:
		on_dellink(t, h);
		break;
	case RTM_NEWADDR:
		on_newaddr(t, h);
		break;
	case RTM_DELADDR:
		on_deladdr(t, h);
		break;
	default:
		break;
	}
}

static int dump(struct link_table *t, struct err *e)
{
	struct ifinfomsg ifi = { 0 };
	struct ifaddrmsg ifa = { 0 };
	struct nl_buf b = { 0 };
	int rc;

	nl_msg(&b, RTM_GETLINK, 0, &ifi, sizeof(ifi));
	rc = nl_dump(&t->requests, &b, on_message, t, e);
	if (rc == 0) {
		nl_msg(&b, RTM_GETADDR, 0, &ifa, sizeof(ifa));
		rc = nl_dump(&t->requests, &b, on_message, t, e);
	}
	nl_buf_done(&b);
	return rc;
}

static void drop_unseen(struct link_table *t)
{
	struct entry *en, *tmp;

	HASH_ITER (by_index, t->by_index, en, tmp) {
		if (en->generation != t->generation) {
			gone(t, en);
			continue;
		}
		for (size_t i = en->l.addrs.n; i-- > 0;)
			if (en->addr_gen.p[i] != t->generation)
				drop_addr(t, en, i);
	}
}

int link_table_relist(struct link_table *t, struct err *e)
{
	int rc = -EINTR;

	for (int i = 0; i < RELIST_TRIES && rc == -EINTR; i++) {
		t->generation++;
		rc = dump(t, e);
	}
	if (rc == 0) {
		drop_unseen(t);
		tell(t, LINK_RELISTED, NULL, NULL);
	}
	return rc < 0 ? err_wrap(e, "listing interfaces") : 0;
}

struct link_table *link_table_new(struct err *e)
{
	static const unsigned groups[] = { RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
					   0 };
	struct link_table *t = xcalloc(1, sizeof(*t));

	t->events.fd = t->requests.fd = -1;
	t->quiet = true;
	/* Events first: what changes during the listing is then seen twice, not never. */
	if (nl_open_events(&t->events, groups, e) < 0 || nl_open(&t->requests, e) < 0 ||
	    link_table_relist(t, e) < 0) {
		link_table_free(t);
		return NULL;
	}
	t->quiet = false;
	return t;
}

void link_table_free(struct link_table *t)
{
	struct entry *en, *tmp;

	if (!t)
		return;
	HASH_ITER (by_index, t->by_index, en, tmp) {
		take_out(t, en);
		entry_free(en);
	}
	nl_close(&t->events);
	nl_close(&t->requests);
	free(t);
}

int link_table_fd(const struct link_table *t)
{
	return t->events.fd;
}

int link_table_read(struct link_table *t, struct err *e)
{
	int rc = nl_read_events(&t->events, READS_MAX, on_message, t);

	if (rc == -ENOBUFS) {
		rc = link_table_relist(t, e);
		return rc < 0 ? rc : 1;
	}
	return rc < 0 ? err_set(e, rc, "interface events: %s", strerror(-rc)) : 0;
}

void link_table_watch(struct link_table *t, link_watch_fn fn, void *arg)
{
	if (t->n_watchers == WATCHERS_MAX)
		abort(); /* a mistake of ours: the number of watchers is fixed by the program */
	t->watchers[t->n_watchers].fn = fn;
	t->watchers[t->n_watchers++].arg = arg;
}

void link_table_unwatch(struct link_table *t, link_watch_fn fn, void *arg)
{
	for (unsigned i = 0; i < t->n_watchers; i++)
		if (t->watchers[i].fn == fn && t->watchers[i].arg == arg) {
			memmove(&t->watchers[i], &t->watchers[i + 1],
				(t->n_watchers - i - 1) * sizeof(t->watchers[0]));
			t->n_watchers--;
			return;
		}
}

const struct link *link_by_name(const struct link_table *t, const char *name)
{
	struct entry *en = find_name(t, name);

	return en ? &en->l : NULL;
}

const struct link *link_by_index(const struct link_table *t, uint32_t index)
{
	struct entry *en = find_index(t, index);

	return en ? &en->l : NULL;
}

const struct link *link_by_addr(const struct link_table *t, const struct addr *a,
				struct prefix *subnet)
{
	struct entry *en, *tmp;

	HASH_ITER (by_index, t->by_index, en, tmp) {
		vec_foreach (&en->l.addrs, p) {
			if (!addr_eq(&p->addr, a))
				continue;
			if (subnet)
				*subnet = *p;
			return &en->l;
		}
	}
	return NULL;
}

const struct link *link_by_subnet(const struct link_table *t, const struct addr *a,
				  struct prefix *subnet)
{
	const struct link *found = NULL;
	struct prefix best = { 0 };
	struct entry *en, *tmp;

	HASH_ITER (by_index, t->by_index, en, tmp) {
		vec_foreach (&en->l.addrs, p) {
			if (!prefix_contains(p, a) || (found && p->len <= best.len))
				continue;
			found = &en->l;
			best = *p;
		}
	}
	if (found && subnet)
		*subnet = best;
	return found;
}

const struct link *link_next(const struct link_table *t, const struct link *after)
{
	uint32_t above = after ? after->index : 0;
	const struct link *next = NULL;
	struct entry *en, *tmp;

	HASH_ITER (by_index, t->by_index, en, tmp) {
		if (en->l.index > above && (!next || en->l.index < next->index))
			next = &en->l;
	}
	return next;
}
