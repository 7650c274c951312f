/* bgp_metrics.h - the speaker in numbers, for Prometheus.
 *
 * WHY    In a mesh of n nodes a series for each neighbour is n * n series in the cluster: there are sums
 *        for the mesh, and series of their own only for sessions that somebody configured. */
#pragma once

#include <stdbool.h>

struct agent;
struct bgp_metrics;

/* Added to a->metrics; a->peering may come later. */
struct bgp_metrics *bgp_metrics_new(struct agent *a);
void bgp_metrics_free(struct bgp_metrics *bm);

/* ---- from an UPDATE to the kernel ----
 *
 * A burst is measured as one: from the first bytes that came until the kernel has acknowledged the last
 * route that followed from them. */

/* Bytes came from a peer. */
void bgp_metrics_heard(struct bgp_metrics *bm);
/* A slice of what was heard is worked off; changed: routes handed over for the kernel; more: there is
 * more to do. */
void bgp_metrics_decided(struct bgp_metrics *bm, unsigned changed, bool more);
/* The kernel has all that was handed over. */
void bgp_metrics_in_kernel(struct bgp_metrics *bm);
