/* metrics.c - numbers for Prometheus
 * SHAPE  One scrape: sources add series to families, which are printed in the order of their names:
 *        a family's lines must stand together, whoever added them.
 * SPEC   Prometheus text format 0.0.4
 * TESTS  tests/unit/agent/metrics.c */
#include "agent/metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "lib/vec.h"

enum kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM };

struct family {
	UT_hash_handle hh;
	const char *name, *help;
	enum kind kind;
	struct str lines;
};

struct source {
	metrics_fn *fn;
	void *arg;
};

struct metrics {
	VEC(struct source) sources;
	struct family *families; /* of the scrape under way */
	size_t series, dropped;
};

void metric_observe(struct metric_histogram *h, double value)
{
	size_t i = 0;

	while (i < h->n && value > h->bound[i])
		i++;
	h->count[i]++;
	h->sum += value;
}

struct metrics *metrics_new(void)
{
	return xcalloc(1, sizeof(struct metrics));
}

static void forget_families(struct metrics *m)
{
	struct family *f, *next;

	HASH_ITER (hh, m->families, f, next) {
		HASH_DEL(m->families, f);
		str_done(&f->lines);
		free(f);
	}
	m->series = m->dropped = 0;
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	forget_families(m);
	vec_done(&m->sources);
	free(m);
}

void metrics_source(struct metrics *m, metrics_fn *fn, void *arg)
{
	if (m)
		vec_push(&m->sources, (struct source) { fn, arg });
}

/* ---- text ---- */

static bool name_ok(const char *s, bool label)
{
	if (!*s || (*s >= '0' && *s <= '9') || (label && str_starts(s, "__")))
		return false;
	for (; *s; s++)
		if (!(*s >= 'a' && *s <= 'z') && !(*s >= 'A' && *s <= 'Z') &&
		    !(*s >= '0' && *s <= '9') && *s != '_' && (label || *s != ':'))
			return false;
	return true;
}

/* Text of help and label values: a reader expects UTF-8 without raw line breaks. */
static void add_text(struct str *out, const char *text, bool quoted)
{
	for (; text && *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '\n')
			str_add(out, "\\n");
		else if (c == '\\' || (quoted && c == '"'))
			str_addf(out, "\\%c", c);
		else
			str_addc(out, c < ' ' || c >= 0x7f ? '?' : (char)c);
	}
}

static void add_number(struct str *out, double v)
{
	char text[32];

	if (isnan(v)) {
		str_add(out, "NaN");
	} else if (isinf(v)) {
		str_add(out, v > 0 ? "+Inf" : "-Inf");
	} else {
		/* The shortest that reads back the same; counters are whole for long. */
		snprintf(text, sizeof(text), "%.15g", v);
		if (strtod(text, NULL) < v || strtod(text, NULL) > v)
			snprintf(text, sizeof(text), "%.17g", v);
		str_add(out, text);
	}
}

/* le NULL: none. */
static void add_line(struct str *out, const char *name, const char *suffix,
		     const struct metric_label *labels, const char *le, double value)
{
	const char *before = "{";

	str_addf(out, "%s%s", name, suffix);
	for (; labels && labels->name; labels++, before = ",") {
		str_addf(out, "%s%s=\"", before, labels->name);
		add_text(out, labels->value, true);
		str_addc(out, '"');
	}
	if (le)
		str_addf(out, "%sle=\"%s\"", before, le);
	if (le || *before == ',')
		str_addc(out, '}');
	str_addc(out, ' ');
	add_number(out, value);
	str_addc(out, '\n');
}

/* ---- families ---- */

static bool labels_ok(const struct metric_label *labels)
{
	size_t n = 0;

	for (; labels && labels[n].name; n++)
		if (!name_ok(labels[n].name, true) || !strcmp(labels[n].name, "le"))
			return false;
	return n <= METRIC_LABELS_MAX;
}

/* Where `n` more series of this family go; NULL: nowhere. */
static struct family *family_of(struct metrics *m, const char *name, const char *help,
				enum kind kind, const struct metric_label *labels, size_t n)
{
	struct family *f;

	HASH_FIND_STR(m->families, name, f);
	if (!name_ok(name, false) || !labels_ok(labels) || (f && f->kind != kind) ||
	    m->series + n > METRICS_SERIES_MAX) {
		m->dropped += n;
		return NULL;
	}
	m->series += n;
	if (f)
		return f;
	f = xcalloc(1, sizeof(*f));
	f->name = name;
	f->help = help;
	f->kind = kind;
	HASH_ADD_KEYPTR(hh, m->families, f->name, strlen(f->name), f);
	return f;
}

void metrics_add(struct metrics *m, const char *name, const char *help, enum metric_type type,
		 const struct metric_label *labels, double value)
{
	enum kind kind = type == METRIC_COUNTER ? KIND_COUNTER : KIND_GAUGE;
	struct family *f = family_of(m, name, help, kind, labels, 1);

	if (f)
		add_line(&f->lines, name, "", labels, NULL, value);
}

void metrics_add_histogram(struct metrics *m, const char *name, const char *help,
			   const struct metric_label *labels, const struct metric_histogram *h)
{
	struct family *f = family_of(m, name, help, KIND_HISTOGRAM, labels, h->n + 3);
	uint64_t below = 0;

	if (!f)
		return;
	for (size_t i = 0; i < h->n; i++) {
		struct str le = { 0 };

		below += h->count[i];
		add_number(&le, h->bound[i]);
		add_line(&f->lines, name, "_bucket", labels, str_text(&le), (double)below);
		str_done(&le);
	}
	below += h->count[h->n];
	add_line(&f->lines, name, "_bucket", labels, "+Inf", (double)below);
	add_line(&f->lines, name, "_sum", labels, NULL, h->sum);
	add_line(&f->lines, name, "_count", labels, NULL, (double)below);
}

/* ---- a scrape ---- */

static int by_name(const struct family *a, const struct family *b)
{
	return strcmp(a->name, b->name);
}

static void print_family(const struct family *f, struct str *out)
{
	static const char *const types[] = { "counter", "gauge", "histogram" };

	str_addf(out, "# HELP %s ", f->name);
	add_text(out, f->help, false);
	str_addf(out, "\n# TYPE %s %s\n", f->name, types[f->kind]);
	str_addn(out, str_text(&f->lines), f->lines.len);
}

void metrics_scrape(struct metrics *m, struct str *out)
{
	size_t dropped;

	forget_families(m);
	for (size_t i = 0; i < m->sources.n; i++)
		m->sources.p[i].fn(m->sources.p[i].arg, m);
	dropped = m->dropped;
	m->series = 0; /* there is room for this one */
	metrics_add(m, "margay_metrics_dropped_series",
		    "Series of this scrape that were left out: too many, or not well-formed.",
		    METRIC_GAUGE, NULL, (double)dropped);
	HASH_SORT(m->families, by_name);
	for (const struct family *f = m->families; f; f = f->hh.next)
		print_family(f, out);
	forget_families(m);
}
