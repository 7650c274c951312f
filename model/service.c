/* service.c - Service: table and rules
 * TESTS  tests/unit/model/kinds.c, tests/unit/ctl/kube.c */
#include "model/service.h"

#include <errno.h>
#include <string.h>

#include "model/object.h"

static const char *const type_words[] = { "ClusterIP", "NodePort", "LoadBalancer", "ExternalName",
					  NULL };
static const char *const traffic_words[] = { "Cluster", "Local", NULL };

/* What kube-proxy needs, and we do not. */
static const char *const spec_others[] = { "allocateLoadBalancerNodePorts",
					   "externalName",
					   "healthCheckNodePort",
					   "internalTrafficPolicy",
					   "ipFamilies",
					   "ipFamilyPolicy",
					   "loadBalancerClass",
					   "loadBalancerSourceRanges",
					   "ports",
					   "publishNotReadyAddresses",
					   "selector",
					   "sessionAffinity",
					   "sessionAffinityConfig",
					   "trafficDistribution",
					   NULL };
static const struct field rows[] = {
	FIELD_ENUM(struct service, type, "type", .words = type_words, .def = "ClusterIP",
		   .doc = "How it is reached."),
	FIELD_STRING(struct service, cluster_ip, "clusterIP",
		     .doc = "Its address in the cluster; None: it has none."),
	FIELD_STRINGS(struct service, cluster_ips, "clusterIPs",
		      .doc = "One for each family, the first as clusterIP."),
	FIELD_STRINGS(struct service, external_ips, "externalIPs",
		      .doc = "Addresses that lead to the nodes from outside."),
	FIELD_STRING(struct service, load_balancer_ip, "loadBalancerIP",
		     .doc = "The load balancer's address that is asked for."),
	FIELD_ENUM(struct service, traffic, "externalTrafficPolicy", .words = traffic_words,
		   .def = "Cluster", FIELD_HAS(struct service, has_traffic),
		   .doc = "Whether a node passes on to endpoints of other nodes."),
};
const struct fields service_fields = FIELDS("spec", struct service, rows, .kept = spec_others);

static const char *const ingress_others[] = { "hostname", "ipMode", "ports", NULL };
static const struct field ingress_rows[] = {
	FIELD_STRING(struct service_ingress, ip, "ip", .doc = "An address that it has."),
};
static const struct fields ingress_fields =
	FIELDS("ingress", struct service_ingress, ingress_rows, .kept = ingress_others);

static const struct field balancer_rows[] = {
	FIELD_OBJECTS(struct service_balancer, ingress, ingress_fields, "ingress",
		      .doc = "Where it is reached."),
};
static const struct fields balancer_fields =
	FIELDS("loadBalancer", struct service_balancer, balancer_rows);

static const char *const status_others[] = { "conditions", NULL };
static const struct field status_rows[] = {
	FIELD_OBJECT(struct service_status, balancer, balancer_fields, "loadBalancer",
		     .doc = "What the load balancer gave it."),
};
const struct fields service_status_fields =
	FIELDS("status", struct service_status, status_rows, .kept = status_others);

int service_decode(const struct object *o, struct service *out, struct service_status *status,
		   struct err *e)
{
	json_t *v = json_object_get(o->json, "status");
	int rc = object_spec(o, FIELDS_LENIENT, out, e);

	if (rc < 0)
		return err_wrap(e, "Service %s/%s", o->ns ? o->ns : "", o->name);
	if (!json_is_object(v) ||
	    fields_decode(&service_status_fields, v, FIELDS_LENIENT, status, NULL) < 0)
		*status = (struct service_status) { 0 };
	return 0;
}

void service_done(struct service *s, struct service_status *status)
{
	fields_done(&service_fields, s);
	fields_done(&service_status_fields, status);
}

/* ---- checks ---- */

static int check_one(const char *text, const char *where, struct err *e)
{
	struct addr a;

	if (addr_parse(text, &a))
		return 0;
	return err_set(e, -EINVAL, "%s: must be an address, is \"%.60s\"", where, text);
}

static int check_list(const struct field_strings *list, const char *name, size_t max, struct err *e)
{
	char where[64];
	int rc = 0;

	if (list->n > max)
		return err_set(e, -EINVAL, "spec.%s: has %zu elements, at most %zu are allowed",
			       name, list->n, max);
	for (size_t i = 0; rc == 0 && i < list->n; i++) {
		snprintf(where, sizeof(where), "spec.%s[%zu]", name, i);
		rc = check_one(list->p[i], where, e);
	}
	return rc;
}

static bool is_none(const char *text)
{
	return !text || !*text || strcmp(text, "None") == 0;
}

int service_check(const struct object *o, const void *spec, struct err *e)
{
	const struct service *s = spec;
	bool headless = s->cluster_ips.n == 1 && is_none(s->cluster_ips.p[0]);
	int rc = 0;

	if (!is_none(s->cluster_ip))
		rc = check_one(s->cluster_ip, "spec.clusterIP", e);
	if (rc == 0 && !headless)
		rc = check_list(&s->cluster_ips, "clusterIPs", SERVICE_CLUSTER_IPS_MAX, e);
	if (rc == 0)
		rc = check_list(&s->external_ips, "externalIPs", SERVICE_ADDRESSES_MAX, e);
	if (rc == 0 && s->load_balancer_ip && *s->load_balancer_ip)
		rc = check_one(s->load_balancer_ip, "spec.loadBalancerIP", e);
	if (rc == 0 && s->cluster_ip && s->cluster_ips.n &&
	    strcmp(s->cluster_ip, s->cluster_ips.p[0]) != 0)
		rc = err_set(e, -EINVAL,
			     "spec.clusterIPs[0]: must be the same as spec.clusterIP, \"%.60s\", "
			     "is \"%.60s\"",
			     s->cluster_ip, s->cluster_ips.p[0]);
	return rc;
}
