/* ipset_text.c - the language of ipset(8): members, "ipset save", batches for "ipset restore"
 * INVARIANTS  What was read and cannot be named by us (a "nomatch" member, a timeout) makes its set
 *             one to be built anew: a set that is not understood is never thought right. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/ipset_table.h"

static const char *const types[] = {
	[IPSET_NET] = "hash:net", [IPSET_IP] = "hash:ip", [IPSET_IP_PORT] = "hash:ip,port"
};

static const struct {
	const char *name;
	uint8_t number;
} protos[] = { { "tcp", 6 }, { "udp", 17 }, { "sctp", 132 }, { "udplite", 136 } };

const char *ipset_type_name(enum ipset_type t)
{
	return types[t];
}

bool ipset_type_parse(const char *text, enum ipset_type *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcmp(types[i], text) != 0)
			continue;
		*out = (enum ipset_type)i;
		return true;
	}
	return false;
}

/* ---- members ---- */

static const char *proto_name(uint8_t proto)
{
	for (size_t i = 0; i < ARRAY_SIZE(protos); i++)
		if (protos[i].number == proto)
			return protos[i].name;
	return NULL;
}

static bool proto_parse(const char *s, size_t len, uint8_t *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(protos); i++) {
		if (strlen(protos[i].name) != len || memcmp(protos[i].name, s, len) != 0)
			continue;
		*out = protos[i].number;
		return true;
	}
	return false;
}

bool ipset_key_of(enum ip_family family, enum ipset_type type, const struct ipset_member *m,
		  struct ipset_key *out)
{
	struct prefix net = prefix_mask(&m->net);

	if (m->net.addr.family != family || m->net.len > addr_bits(family))
		return false;
	if (type != IPSET_NET && m->net.len != addr_bits(family))
		return false;
	if (type == IPSET_IP_PORT && !proto_name(m->proto))
		return false;
	/* The kernel: "Null-valued element, cannot be stored in a hash type of set". */
	if (type == IPSET_IP && addr_is_zero(&net.addr))
		return false;
	*out = (struct ipset_key) { .len = net.len };
	memcpy(out->b, net.addr.b, sizeof(out->b));
	if (type == IPSET_IP_PORT) {
		out->proto = m->proto;
		out->port = m->port;
	}
	return true;
}

void ipset_key_text(enum ip_family family, enum ipset_type type, const struct ipset_key *k,
		    struct str *out)
{
	struct addr a = { .family = (uint8_t)family };
	char text[ADDR_STR_MAX];

	memcpy(a.b, k->b, sizeof(a.b));
	str_add(out, addr_format(&a, text));
	if (type == IPSET_NET && k->len != addr_bits(family))
		str_addf(out, "/%u", k->len);
	if (type == IPSET_IP_PORT)
		str_addf(out, ",%s:%u", proto_name(k->proto), k->port);
}

bool ipset_key_parse(enum ip_family family, enum ipset_type type, const char *text,
		     struct ipset_key *out)
{
	const char *comma = strchr(text, ','), *colon = comma ? strchr(comma, ':') : NULL;
	size_t n = comma ? (size_t)(comma - text) : strlen(text);
	struct ipset_member m = { 0 };
	char ip[PREFIX_STR_MAX];
	uint64_t port;

	if (n >= sizeof(ip) || !comma != (type != IPSET_IP_PORT))
		return false;
	memcpy(ip, text, n);
	ip[n] = 0;
	if (!prefix_parse_or_addr(ip, &m.net))
		return false;
	if (comma) {
		if (!colon || !proto_parse(comma + 1, (size_t)(colon - comma) - 1, &m.proto) ||
		    !parse_u64(colon + 1, UINT16_MAX, &port))
			return false;
		m.port = (uint16_t)port;
	}
	return ipset_key_of(family, type, &m, out);
}

/* ---- ipset save ---- */

void ipset_read_begin(struct ipsets *s)
{
	struct iset *set, *next;

	HASH_ITER (hh, s->sets, set, next) {
		set->seen = false;
		delta_resync_begin(&set->d);
	}
}

void ipset_read_end(struct ipsets *s)
{
	struct iset *set, *next;

	HASH_ITER (hh, s->sets, set, next) {
		set->there = set->seen;
		delta_resync_end(&set->d);
		iset_dirty(s, set);
	}
	isets_prune(s);
}

/* "create NAME TYPE family inet hashsize 1024 maxelem 65536 ..." */
static void take_create(struct ipsets *s, char *rest)
{
	char *save, *name = strtok_r(rest, " ", &save), *type = strtok_r(NULL, " ", &save), *word;
	bool family = false, odd = false;
	uint64_t max = 0;
	struct iset *set;

	if (!name || !type || !iset_name_is_ours(s, name))
		return;
	set = iset_get(s, name, strlen(name));
	set->seen = true;
	while ((word = strtok_r(NULL, " ", &save))) {
		if (strcmp(word, "family") == 0) {
			word = strtok_r(NULL, " ", &save);
			family = word &&
				 strcmp(word, s->cfg.family == IP_V6 ? "inet6" : "inet") == 0;
		} else if (strcmp(word, "maxelem") == 0) {
			word = strtok_r(NULL, " ", &save);
			odd |= !word || !parse_u64(word, UINT32_MAX, &max);
		} else if (strcmp(word, "timeout") == 0) {
			odd = true;
		}
	}
	set->have_max = (uint32_t)max;
	set->odd = odd;
	set->strange = !ipset_type_parse(type, &set->have_type) || !family;
}

/* "add NAME MEMBER" */
static void take_add(struct ipsets *s, char *rest)
{
	char *save, *name = strtok_r(rest, " ", &save), *member = strtok_r(NULL, " ", &save), *more;
	struct iset *set = name ? iset_find(s, name) : NULL;
	struct ipset_key k;

	if (!set || !set->seen || !member || set->strange)
		return;
	more = strtok_r(NULL, " ", &save);
	if ((more && strcmp(more, "nomatch") == 0) ||
	    !ipset_key_parse(s->cfg.family, set->have_type, member, &k))
		set->odd = true;
	else
		delta_seen(&set->d, &k, &ipset_is_member);
}

int ipset_read_text(struct ipsets *s, const char *out, size_t len, struct err *e)
{
	CLEANUP(freep) char *text = xstrndup(out, len);
	char *save, *l;

	if (len && out[len - 1] != '\n')
		return err_set(e, -EINVAL, "the output of ipset save ends within a line");
	for (l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		if (str_starts(l, "create "))
			take_create(s, l + 7);
		else if (str_starts(l, "add "))
			take_add(s, l + 4);
		else
			return err_set(e, -EINVAL, "not of ipset save: %.60s", l);
	}
	return 0;
}

/* ---- ipset restore ---- */

static void line_end(struct ipsets *s, enum ipset_op op, struct iset *set,
		     const struct ipset_key *k)
{
	struct ipset_item it = { .op = op, .set = set, .type = set->type, .maxelem = set->maxelem };

	str_addc(&s->batch, '\n');
	if (k)
		it.key = *k;
	set->busy = true;
	vec_push(&s->items, it);
	vec_push(&s->line_item, (uint32_t)(s->items.n - 1));
}

/* A line that has no outcome of its own. */
static void line_more(struct ipsets *s)
{
	str_addc(&s->batch, '\n');
	vec_push(&s->line_item, (uint32_t)(s->items.n - 1));
}

static void put_create(struct ipsets *s, const char *name, const struct iset *set)
{
	str_addf(&s->batch, "create %s %s family %s maxelem %u", name, types[set->type],
		 s->cfg.family == IP_V6 ? "inet6" : "inet", set->maxelem);
}

static void put_member(struct ipsets *s, const char *op, const char *name, const struct iset *set,
		       const struct ipset_key *k)
{
	str_addf(&s->batch, "%s %s ", op, name);
	ipset_key_text(s->cfg.family, set->type, k, &s->batch);
}

static void grow_members(struct ipsets *s, struct iset *set)
{
	uint32_t id;

	while ((id = delta_pop(&set->d, DELTA_SET)) != DELTA_NONE) {
		const struct ipset_key *k = delta_key(&set->d, id);

		put_member(s, "add", set->name, set, k);
		line_end(s, IPSET_OP_ADD, set, k);
	}
}

/* All wanted members into a set beside, then swap: readers see the old or the new one. */
static void grow_beside(struct ipsets *s, struct iset *set)
{
	char temp[IPSET_NAME];
	struct iset *old;

	snprintf(temp, sizeof(temp), "cali%ct0", s->cfg.family == IP_V6 ? '6' : '4');
	old = iset_find(s, temp);
	if (old && old->there && !old->busy) {
		str_addf(&s->batch, "destroy %s", temp);
		line_end(s, IPSET_OP_DESTROYED, old, NULL);
	}
	put_create(s, temp, set);
	line_end(s, IPSET_OP_MADE, set, NULL);
	for (uint32_t id = delta_next(&set->d, DELTA_NONE); id != DELTA_NONE;
	     id = delta_next(&set->d, id)) {
		if (!delta_want_of(&set->d, id))
			continue;
		put_member(s, "add", temp, set, delta_key(&set->d, id));
		line_end(s, IPSET_OP_ADD, set, delta_key(&set->d, id));
	}
	str_addf(&s->batch, "swap %s %s", temp, set->name);
	line_more(s);
	str_addf(&s->batch, "destroy %s", temp);
	line_more(s);
}

static void grow(struct ipsets *s, struct iset *set)
{
	switch (iset_have(set)) {
	case IPSET_REBUILD:
		grow_beside(s, set);
		return;
	case IPSET_REPLACE:
		str_addf(&s->batch, "destroy %s\n", set->name);
		put_create(s, set->name, set);
		line_end(s, IPSET_OP_MADE, set, NULL);
		vec_push(&s->line_item, (uint32_t)(s->items.n - 1));
		break;
	case IPSET_ABSENT:
		put_create(s, set->name, set);
		line_end(s, IPSET_OP_MADE, set, NULL);
		break;
	case IPSET_THERE:
		break;
	}
	grow_members(s, set);
}

static void shrink(struct ipsets *s, struct iset *set, unsigned *destroyed)
{
	uint32_t id;

	if (!set->wanted) {
		str_addf(&s->batch, "destroy %s", set->name);
		line_end(s, IPSET_OP_DESTROYED, set, NULL);
		++*destroyed;
		return;
	}
	while ((id = delta_pop(&set->d, DELTA_DEL)) != DELTA_NONE) {
		const struct ipset_key *k = delta_key(&set->d, id);

		put_member(s, "del", set->name, set, k);
		line_end(s, IPSET_OP_DEL, set, k);
	}
}

bool ipset_render(struct ipsets *s, enum ipset_phase phase, uint64_t now)
{
	unsigned destroyed = 0;

	str_cut(&s->batch, 0);
	vec_clear(&s->line_item);
	for (size_t i = 0; i < s->dirty.n; i++) {
		struct iset *set = s->dirty.p[i];

		if (!iset_needs(set, phase) || now < set->held_until)
			continue;
		if (phase == IPSET_GROW)
			grow(s, set);
		else if (set->wanted || (now >= s->destroy_at && destroyed < IPSET_DESTROY_BATCH))
			shrink(s, set, &destroyed);
	}
	if (destroyed)
		s->destroy_at = now + IPSET_DESTROY_WAIT_MS;
	return s->items.n > 0;
}

static void item_done(struct ipset_item *it)
{
	struct iset *set = it->set;

	switch (it->op) {
	case IPSET_OP_ADD:
		delta_seen(&set->d, &it->key, &ipset_is_member);
		break;
	case IPSET_OP_DEL:
		delta_seen(&set->d, &it->key, NULL);
		break;
	case IPSET_OP_MADE:
		/* Whatever was in it before is not in it now. */
		delta_resync_begin(&set->d);
		delta_resync_end(&set->d);
		set->there = true;
		set->strange = set->odd = false;
		set->have_type = it->type;
		set->have_max = it->maxelem;
		break;
	case IPSET_OP_DESTROYED:
		set->there = false;
		delta_resync_begin(&set->d);
		delta_resync_end(&set->d);
		break;
	}
}

void ipset_batch_done(struct ipsets *s)
{
	vec_foreach (&s->items, it) {
		item_done(it);
		it->set->busy = false;
		iset_dirty(s, it->set);
	}
	vec_clear(&s->items);
	isets_prune(s);
}

void ipset_batch_undo(struct ipsets *s)
{
	vec_foreach (&s->items, it) {
		uint32_t id = delta_find(&it->set->d, &it->key);

		if ((it->op == IPSET_OP_ADD || it->op == IPSET_OP_DEL) && id != DELTA_NONE)
			delta_touch(&it->set->d, id);
		it->set->busy = false;
		iset_dirty(s, it->set);
	}
	vec_clear(&s->items);
}
