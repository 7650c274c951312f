/* cni_world.h - a node for tests of the CNI socket: agent, embedded datastore and the kernel of a
 * network namespace of its own; the plugin's side is played by hand. */
#pragma once

#include <jansson.h>

#include "agent/agent.h"
#include "agent/config.h"
#include "agent/scopes.h"
#include "lib/base.h"

#define KIND  "/calico/resources/v3/projectcalico.org/"
#define BLOCK "/calico/ipam/v2/assignment/ipv4/block/"

struct world {
	struct agent a;
	struct agent_config cfg;
	struct scopes scopes;
	char dir[64], run_dir[80], state_dir[80], spec[128], sock[108];
};

void agent_start(struct world *w);
/* As after kill -9: nothing is tidied up that a dead process would not. */
void agent_end(struct world *w, bool killed);
void store_put(struct world *w, const char *key, const char *value);
void pool(struct world *w, const char *name, const char *cidr, int block);
void sh(const char *fmt, ...) PRINTF(1, 2);
int set_up(void **state);
int tear_down(void **state);
int dial(struct world *w);
void say(int fd, const char *text);
void turn(struct world *w);
/* The next line, or NULL when the agent closed. */
json_t *hear(struct world *w, int fd);
bool is_ok(const json_t *o);
int code(const json_t *o);
const char *msg(const json_t *o);
char *request(const char *op, const char *id, const char *pod, const char *ifname, const char *more);
/* One request, one reply on a connection of its own. */
json_t *ask(struct world *w, const char *line);
json_t *call(struct world *w, const char *op, const char *id, const char *pod);
void expect_ok(json_t *o);
void expect_fail(json_t *o, int want, const char *says);
const char *first_ip(const json_t *o);
const char *host_if(const json_t *o);
void make_veth(const char *host);
/* First half: connection kept open, reply given. */
int add_half(struct world *w, const char *id, const char *pod, json_t **reply);
void say_ready(int fd, const char *host);
/* A whole ADD; the address (heap). */
char *add(struct world *w, const char *id, const char *pod);
char *stored(struct world *w, const char *key);
unsigned count_keys(struct world *w, const char *prefix);
/* Addresses that are taken, over all blocks. */
unsigned count_taken(struct world *w);
bool route_there(const char *ip);
/* The route's removal is at the end of the loop's turn. */
void expect_no_route(struct world *w, const char *ip);
unsigned notes(struct world *w, const char *dir);
void expect_nothing_left(struct world *w);
void settle(struct world *w);

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
