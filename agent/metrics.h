/* metrics.h - numbers for Prometheus: parts say theirs when somebody asks.
 *
 *	static void my_metrics(void *arg, struct metrics *m)
 *	{
 *		metrics_add(m, "margay_bgp_flaps_total", "Sessions that were lost.", METRIC_COUNTER,
 *			    METRIC_LABELS({ "peer", text }), n);
 *	}
 *	metrics_source(a->metrics, my_metrics, part);	in the part's _new
 *
 * Sources are called at each scrape, on the loop, so they only read numbers that they have anyway.
 * The text is format 0.0.4 of Prometheus. A name's help and type are the same wherever it is
 * added; its series may come in any order and from several parts.
 *
 * Names: felix_* where Calico's agent means the same, else margay_*; counters end in _total unless
 * Calico's do not. Labels have a bounded number of values: explicit peers and families, never pods,
 * addresses of packets or prefixes. */
#pragma once

#include "lib/str.h"

enum {
	METRICS_SERIES_MAX =
		10000, /* in one scrape: 1 MB of text. What is more is counted, not shown */
	METRIC_LABELS_MAX = 8,
	METRIC_BUCKETS_MAX = 16,
};

enum metric_type {
	METRIC_COUNTER,
	METRIC_GAUGE,
};

struct metric_label {
	const char *name;  /* [a-z_]+ */
	const char *value; /* any text; NULL is "" */
};
/* A list as an argument: METRIC_LABELS({ "peer", text }, { "family", "ipv4" }). */
#define METRIC_LABELS(...)            \
	(const struct metric_label[]) \
	{                             \
		__VA_ARGS__,          \
		{                     \
			NULL, NULL    \
		}                     \
	}

/* How often something took how long. bound: upper ends, rising, at most METRIC_BUCKETS_MAX, which
 * outlive it. */
struct metric_histogram {
	const double *bound;
	size_t n;
	uint64_t count[METRIC_BUCKETS_MAX + 1]; /* the last: above all bounds */
	double sum;
};
void metric_observe(struct metric_histogram *h, double value);

struct metrics;
typedef void metrics_fn(void *arg, struct metrics *m);

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);
/* fn is called at each scrape, for as long as m lives. m NULL: nothing happens. */
void metrics_source(struct metrics *m, metrics_fn *fn, void *arg);

/* Only from within a source. name and help are constants; labels end with a NULL name, or are
 * NULL. A name that cannot be, or that was added with another type, is left out and counted. */
void metrics_add(struct metrics *m, const char *name, const char *help, enum metric_type type,
		 const struct metric_label *labels, double value);
void metrics_add_histogram(struct metrics *m, const char *name, const char *help,
			   const struct metric_label *labels, const struct metric_histogram *h);

/* Ask all sources; append the text. */
void metrics_scrape(struct metrics *m, struct str *out);
