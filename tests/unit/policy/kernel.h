/* kernel.h - as much of iptables and ipset as our rules use: packets run through their text. */
#pragma once

#include "policy/calc.h"
#include "policy/tables.h"
#include "tests/unit/policy/judge.h"

struct kset {
	char *id;
	bool ports;
	struct member_vec members;
};

/* What the kernel holds: built from effects alone. */
struct kernel {
	VEC(struct kset) sets;
	struct tables *tables[2]; /* IPv4, IPv6 */
	struct chains chains[2][TABLE_COUNT];
};

/* share: chains of pods as with iptables-legacy. */
void kernel_init(struct kernel *k, const struct host_interface *ifs, size_t n, bool share);
void kernel_done(struct kernel *k);
/* Carry out effects in the order that calc.h asks for, and see that nothing ever refers to what is
 * not there. */
void kernel_apply(struct kernel *k, const struct calc_effects *fx);
/* Everything, sorted; heap. */
char *kernel_dump(const struct kernel *k);

struct ktransit {
	const struct jpacket *packet;
	const char *in, *out; /* interfaces; NULL: none */
	uint32_t mark;
	int steps;
};

/* Run a hook of the kernel ("PREROUTING"). False: dropped. */
bool kernel_hook(const struct kernel *k, enum table_id table, const char *hook, struct ktransit *t);
