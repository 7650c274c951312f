/* service_feed.h - the datastore's Services and EndpointSlices, for what is announced of them. */
#pragma once

#include "agent/bgp/services.h"
#include "lib/str.h"

struct agent;
struct service_feed;

/* fn is called from the loop when another answer is possible, once for changes that come together. */
typedef void service_feed_fn(void *arg);
struct service_feed *service_feed_new(struct agent *a, service_feed_fn *fn, void *arg);
void service_feed_free(struct service_feed *f);

const struct services *service_feed_services(const struct service_feed *f);
/* Objects that cannot be read, a line each, appended. */
void service_feed_troubles(const struct service_feed *f, struct str *out);
