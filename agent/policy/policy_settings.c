/* policy_settings.c - what is set about the packet filter
 * SHAPE  FelixConfiguration as it holds here -> owned copies, the renderer's configuration that points
 *        into them, and a text of all of it to compare by.
 * TESTS  tests/unit/agent/policy_settings.c */
#include "agent/policy/policy_settings.h"

#include <stdlib.h>
#include <string.h>

static const char *const allow_words[] = { "ACCEPT", "RETURN" };
static const char *const deny_words[] = { "DROP", "REJECT" };
static const enum ipt_wish wishes[] = {
	[FELIX_BACKEND_AUTO] = IPT_WISH_AUTO,
	[FELIX_BACKEND_NFT] = IPT_WISH_NFT,
	[FELIX_BACKEND_LEGACY] = IPT_WISH_LEGACY,
};

/* ---- prefixes of pod interfaces ---- */

enum { IF_NAME_LEN = 15 };

static bool is_prefix(const char *text, size_t n)
{
	if (!n || n >= IF_NAME_LEN)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-",
			    text[i]))
			return false;
	return true;
}

static bool has_prefix(const struct policy_settings *s, const char *text, size_t n)
{
	for (size_t i = 0; i < s->n_prefix; i++)
		if (strlen(s->prefix[i]) == n && !strncmp(s->prefix[i], text, n))
			return true;
	return false;
}

static void add_prefix(struct policy_settings *s, const char *text, size_t n, struct str *wrong)
{
	if (has_prefix(s, text, n))
		return;
	if (!is_prefix(text, n))
		str_addf(wrong,
			 "interfacePrefix: \"%.*s\" must be 1 to %d letters, digits and _ . -\n",
			 (int)(n < 40 ? n : 40), text, IF_NAME_LEN - 1);
	else if (s->n_prefix == POLICY_PREFIXES_MAX)
		str_addf(wrong, "interfacePrefix: has more than %d\n", POLICY_PREFIXES_MAX);
	else
		s->prefix[s->n_prefix++] = xstrndup(text, n);
}

static void read_prefixes(struct policy_settings *s, const char *own, const char *list,
			  struct str *wrong)
{
	add_prefix(s, own, strlen(own), wrong);
	for (const char *p = list; *p;) {
		size_t n = strcspn(p, ",");

		if (n)
			add_prefix(s, p, n, wrong);
		p += n + (p[n] == ',');
	}
}

bool policy_settings_is_pod(const struct policy_settings *s, const char *interface)
{
	for (size_t i = 0; i < s->n_prefix; i++)
		if (str_starts(interface, s->prefix[i]))
			return true;
	return false;
}

/* ---- the others ---- */

static void read_render(const struct felixconfig *c, struct policy_settings *s)
{
	struct render_config *r = &s->render;

	*r = render_config_default(IP_NONE);
	render_marks((uint32_t)c->mark_mask, &r->mark);
	r->filter_allow = allow_words[c->filter_allow];
	r->mangle_allow = allow_words[c->mangle_allow];
	r->filter_deny = deny_words[c->filter_deny];
	r->to_host = render_to_host(c);
	r->prefix = (const char *const *)s->prefix;
	r->n_prefix = s->n_prefix;
	r->vxlan_port = (uint16_t)c->vxlan_port;
	r->vxlan_from_pods = c->vxlan_from_pods;
	r->ipip_from_pods = c->ipip_from_pods;
	r->accept_invalid = c->accept_invalid;
	r->allow_spoofing = s->spoofing;
	if (c->has_failsafe_in) {
		r->failsafe_in = s->failsafe_in.p;
		r->n_failsafe_in = s->failsafe_in.n;
	}
	if (c->has_failsafe_out) {
		r->failsafe_out = s->failsafe_out.p;
		r->n_failsafe_out = s->failsafe_out.n;
	}
	r->log_prefix = s->log_prefix;
	r->log_rate = s->log_rate;
	r->log_burst = c->log_burst;
	r->service_net = s->services.p;
	r->n_service_net = s->services.n;
	r->service_deny = c->service_loops == FELIX_LOOPS_REJECT ? "REJECT" : "DROP";
}

static void add_failsafes(struct str *t, const char *what, const struct failsafe *list, size_t n)
{
	str_addf(t, "\n%s", what);
	for (size_t i = 0; i < n; i++) {
		char net[PREFIX_STR_MAX] = "";

		if (list[i].net.addr.family)
			prefix_format(&list[i].net, net);
		str_addf(t, " %u:%u%s%s", list[i].proto, list[i].port, *net ? "@" : "", net);
	}
}

static char *text_of(const struct policy_settings *s)
{
	const struct render_config *r = &s->render;
	struct str t = { 0 };

	str_addf(&t, "marks 0x%x 0x%x 0x%x 0x%x 0x%x", r->mark.accept, r->mark.pass, r->mark.drop,
		 r->mark.scratch0, r->mark.scratch1);
	str_addf(&t, "\nactions %s %s %s %s %s", r->filter_allow, r->mangle_allow, r->filter_deny,
		 r->to_host, r->service_deny);
	str_add(&t, "\nprefixes");
	for (size_t i = 0; i < s->n_prefix; i++)
		str_addf(&t, " %s", s->prefix[i]);
	str_addf(&t, "\nvxlan %u %d%d%d%d", r->vxlan_port, r->vxlan_from_pods, r->ipip_from_pods,
		 r->accept_invalid, s->spoofing);
	add_failsafes(&t, "in", r->failsafe_in, r->n_failsafe_in);
	add_failsafes(&t, "out", r->failsafe_out, r->n_failsafe_out);
	str_addf(&t, "\nlog %d %s %s", r->log_burst, s->log_rate ? s->log_rate : "-",
		 s->log_prefix);
	str_add(&t, "\nservices");
	for (size_t i = 0; i < s->services.n; i++) {
		char net[PREFIX_STR_MAX];

		str_addf(&t, " %s", prefix_format(&s->services.p[i], net));
	}
	str_addf(&t, "\ndrivers %d %d%d %u %u %u", s->backend, s->append, s->v6,
		 s->rules_refresh_ms, s->sets_refresh_ms, s->max_set_size);
	return str_take(&t);
}

void policy_settings_read(const struct felixconfig *c, const struct field_cidrs *services,
			  const char *own, struct policy_settings *out, struct str *wrong)
{
	*out = (struct policy_settings) { 0 };
	read_prefixes(out, own, c->interface_prefix ? c->interface_prefix : "", wrong);
	render_failsafes(c->failsafe_in.p, c->failsafe_in.n, &out->failsafe_in);
	render_failsafes(c->failsafe_out.p, c->failsafe_out.n, &out->failsafe_out);
	for (size_t i = 0; c->service_loops != FELIX_LOOPS_DISABLED && i < services->n; i++)
		vec_push(&out->services, services->p[i]);
	out->log_prefix = xstrdup(c->log_prefix ? c->log_prefix : "");
	out->log_rate = c->log_rate && *c->log_rate ? xstrdup(c->log_rate) : NULL;
	out->max_set_size = (uint32_t)c->max_set_size;
	out->backend = wishes[c->iptables_backend];
	out->append = c->chain_insert == 1;
	out->v6 = c->ipv6;
	out->rules_refresh_ms = (unsigned)c->rules_refresh_ms;
	out->sets_refresh_ms = (unsigned)c->sets_refresh_ms;
	out->spoofing = c->source_spoofing == 1;
	read_render(c, out);
	out->text = text_of(out);
}

void policy_settings_done(struct policy_settings *s)
{
	for (size_t i = 0; i < s->n_prefix; i++)
		free(s->prefix[i]);
	vec_done(&s->failsafe_in);
	vec_done(&s->failsafe_out);
	vec_done(&s->services);
	free(s->log_prefix);
	free(s->log_rate);
	free(s->text);
	*s = (struct policy_settings) { 0 };
}

struct render_config policy_settings_render(const struct policy_settings *s, enum ip_family family)
{
	struct render_config r = s->render;

	r.family = family;
	/* It lies in s, wherever s was moved to. */
	r.prefix = (const char *const *)s->prefix;
	return r;
}
