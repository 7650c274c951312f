/* source.c - where paths come from: this node, and the life of each session */
#include "bgp/rib.h"

#include <assert.h>
#include <stdlib.h>

void bgp_sources_init(struct bgp_sources *s)
{
	*s = (struct bgp_sources) { 0 };
	bgp_source_new(s); /* number 0 */
}

void bgp_sources_done(struct bgp_sources *s)
{
	vec_foreach (&s->all, src)
		free(*src);
	vec_done(&s->all);
}

struct bgp_source *bgp_source_new(struct bgp_sources *s)
{
	struct bgp_source *src;
	size_t i = 0;

	while (i < s->all.n && s->all.p[i])
		i++;
	if (i >= BGP_SOURCES_MAX)
		return NULL;
	src = xcalloc(1, sizeof(*src));
	src->index = (uint16_t)i;
	src->serial = ++s->serial;
	if (i == s->all.n)
		vec_push(&s->all, src);
	else
		s->all.p[i] = src;
	return src;
}

uint32_t bgp_source_paths(const struct bgp_source *src)
{
	uint32_t n = 0;

	for (unsigned af = 0; af < BGP_AF_MAX_; af++)
		n += src->af[af].paths;
	return n;
}

void bgp_source_free(struct bgp_sources *s, struct bgp_source *src)
{
	assert(src->index != 0 && bgp_source_paths(src) == 0);
	s->all.p[src->index] = NULL;
	free(src);
}
