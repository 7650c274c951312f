/* config_calico.c - the variables of a calico-node pod, as settings of ours
 * TESTS  tests/unit/agent/config.c */
#include "agent/config_calico.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/config_names.h"

enum calico_form {
	FORM_PLAIN,
	FORM_LOWER,   /* words in any case */
	FORM_UPPER,   /* the same, ours are upper case */
	FORM_LEVEL,   /* Calico's log levels */
	FORM_ENABLED, /* Enabled, Disabled */
	FORM_ENCAP,   /* Off is Never */
	FORM_BACKEND, /* bird: BGP on; none, vxlan: off */
	FORM_FIRST,   /* the first of a comma list */
};

static const struct calico_var {
	const char *name, *key;
	enum calico_form form;
} calico_vars[] = {
	{ "NODENAME", "node", FORM_LOWER },
	{ "IP", "ip", FORM_PLAIN },
	{ "IP6", "ip6", FORM_PLAIN },
	{ "IP_AUTODETECTION_METHOD", "ipAutodetection", FORM_PLAIN },
	{ "AS", "asNumber", FORM_PLAIN },
	{ "CALICO_ROUTER_ID", "routerId", FORM_PLAIN },
	{ "CALICO_NETWORKING_BACKEND", "bgp", FORM_BACKEND },
	{ "CALICO_ADVERTISE_CLUSTER_IPS", "advertiseClusterIPs", FORM_PLAIN },
	{ "NO_DEFAULT_POOLS", "noDefaultPools", FORM_LOWER },
	{ "CALICO_IPV4POOL_CIDR", "defaultPoolV4.cidr", FORM_PLAIN },
	{ "CALICO_IPV4POOL_BLOCK_SIZE", "defaultPoolV4.blockSize", FORM_PLAIN },
	{ "CALICO_IPV4POOL_NODE_SELECTOR", "defaultPoolV4.nodeSelector", FORM_PLAIN },
	{ "CALICO_IPV4POOL_NAT_OUTGOING", "defaultPoolV4.natOutgoing", FORM_LOWER },
	{ "CALICO_IPV4POOL_DISABLE_BGP_EXPORT", "defaultPoolV4.disableBGPExport", FORM_LOWER },
	{ "CALICO_IPV4POOL_IPIP", "defaultPoolV4.ipipMode", FORM_ENCAP },
	{ "CALICO_IPV4POOL_VXLAN", "defaultPoolV4.vxlanMode", FORM_ENCAP },
	{ "CALICO_IPV6POOL_CIDR", "defaultPoolV6.cidr", FORM_PLAIN },
	{ "CALICO_IPV6POOL_BLOCK_SIZE", "defaultPoolV6.blockSize", FORM_PLAIN },
	{ "CALICO_IPV6POOL_NODE_SELECTOR", "defaultPoolV6.nodeSelector", FORM_PLAIN },
	{ "CALICO_IPV6POOL_NAT_OUTGOING", "defaultPoolV6.natOutgoing", FORM_LOWER },
	{ "CALICO_IPV6POOL_DISABLE_BGP_EXPORT", "defaultPoolV6.disableBGPExport", FORM_LOWER },
	{ "CALICO_IPV6POOL_VXLAN", "defaultPoolV6.vxlanMode", FORM_ENCAP },
	{ "FELIX_FELIXHOSTNAME", "node", FORM_LOWER },
	{ "FELIX_INTERFACEPREFIX", "interfacePrefix", FORM_FIRST },
	{ "FELIX_REMOVEEXTERNALROUTES", "removeExternalRoutes", FORM_LOWER },
	{ "FELIX_IPFORWARDING", "ipForwarding", FORM_ENABLED },
	{ "FELIX_IPTABLESBACKEND", "iptablesBackend", FORM_LOWER },
	{ "FELIX_IPTABLESMARKMASK", "iptablesMarkMask", FORM_PLAIN },
	{ "FELIX_DEFAULTENDPOINTTOHOSTACTION", "defaultEndpointToHostAction", FORM_UPPER },
	{ "FELIX_IPTABLESFILTERALLOWACTION", "iptablesFilterAllowAction", FORM_UPPER },
	{ "FELIX_IPTABLESMANGLEALLOWACTION", "iptablesMangleAllowAction", FORM_UPPER },
	{ "FELIX_IPTABLESFILTERDENYACTION", "iptablesFilterDenyAction", FORM_UPPER },
	{ "FELIX_CHAININSERTMODE", "chainInsertMode", FORM_LOWER },
	{ "FELIX_IPTABLESREFRESHINTERVAL", "iptablesRefreshInterval", FORM_PLAIN },
	{ "FELIX_IPSETSREFRESHINTERVAL", "ipsetsRefreshInterval", FORM_PLAIN },
	{ "FELIX_LOGSEVERITYSCREEN", "logLevel", FORM_LEVEL },
	{ "FELIX_HEALTHENABLED", "healthEnabled", FORM_LOWER },
	{ "FELIX_HEALTHHOST", "healthHost", FORM_PLAIN },
	{ "FELIX_HEALTHPORT", "healthPort", FORM_PLAIN },
	{ "FELIX_PROMETHEUSMETRICSENABLED", "metricsEnabled", FORM_LOWER },
	{ "FELIX_PROMETHEUSMETRICSHOST", "metricsHost", FORM_PLAIN },
	{ "FELIX_PROMETHEUSMETRICSPORT", "metricsPort", FORM_PLAIN },
};

/* The value in our words; caller frees. */
static char *calico_value(enum calico_form form, const char *value)
{
	static const struct {
		enum calico_form form;
		const char *from, *to;
	} words[] = {
		{ FORM_LEVEL, "warning", "warn" },
		{ FORM_LEVEL, "fatal", "error" },
		{ FORM_LEVEL, "panic", "error" },
		{ FORM_LEVEL, "none", "error" },
		{ FORM_LEVEL, "verbose", "debug" },
		{ FORM_LEVEL, "trace", "debug" },
		{ FORM_ENABLED, "enabled", "true" },
		{ FORM_ENABLED, "disabled", "false" },
		{ FORM_ENCAP, "off", "Never" },
		{ FORM_ENCAP, "never", "Never" },
		{ FORM_ENCAP, "always", "Always" },
		{ FORM_ENCAP, "cross-subnet", "CrossSubnet" },
		{ FORM_ENCAP, "crosssubnet", "CrossSubnet" },
		{ FORM_BACKEND, "bird", "true" },
		{ FORM_BACKEND, "none", "false" },
		{ FORM_BACKEND, "vxlan", "false" },
	};
	char *out;

	if (form == FORM_FIRST)
		return xstrndup(value, strcspn(value, ","));
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (words[i].form == form && strcasecmp(words[i].from, value) == 0)
			return xstrdup(words[i].to);
	out = xstrdup(value);
	for (char *p = out; (form == FORM_LOWER || form == FORM_LEVEL) && *p; p++)
		*p = (char)tolower((unsigned char)*p);
	for (char *p = out; form == FORM_UPPER && *p; p++)
		*p = (char)toupper((unsigned char)*p);
	return out;
}

/* The value of NAME in envp; NULL when it is unset or empty, which is how pod templates say
 * unset. */
static const char *env_get(char *const *envp, const char *name)
{
	size_t len = strlen(name);

	for (; envp && *envp; envp++)
		if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
			return (*envp)[len + 1] ? *envp + len + 1 : NULL;
	return NULL;
}

/* DATASTORE_TYPE and its friends make one text. */
static int load_calico_datastore(struct agent_config *c, char *const *envp, struct err *e)
{
	const char *type = env_get(envp, "DATASTORE_TYPE"), *etcd = env_get(envp, "ETCD_ENDPOINTS"),
		   *kubeconfig = env_get(envp, "KUBECONFIG");

	if (!type)
		type = env_get(envp, "FELIX_DATASTORETYPE");
	if (!type)
		return 0;
	if (strcmp(type, "kubernetes") == 0) {
		free(c->datastore);
		c->datastore = xasprintf("kubernetes%s%s", kubeconfig ? ":" : "",
					 kubeconfig ? kubeconfig : "");
		return 0;
	}
	if (strcmp(type, "etcdv3") != 0)
		return err_set(e, -EINVAL,
			       "variable DATASTORE_TYPE: must be etcdv3 or kubernetes, is \"%s\"",
			       type);
	if (!etcd)
		return err_set(
			e, -EINVAL,
			"variable ETCD_ENDPOINTS: is missing, DATASTORE_TYPE=etcdv3 needs it "
			"(http://HOST:2379[,...])");
	free(c->datastore);
	c->datastore = xasprintf("etcd:%s", etcd);
	return 0;
}

int config_calico_load(struct agent_config *c, char *const *envp, struct err *e)
{
	int rc = load_calico_datastore(c, envp, e);

	for (size_t i = 0; i < ARRAY_SIZE(calico_vars) && rc >= 0; i++) {
		const struct calico_var *v = &calico_vars[i];
		const char *value = env_get(envp, v->name);
		char where[96];

		if (!value)
			continue;
		CLEANUP(freep) char *ours = calico_value(v->form, value);

		snprintf(where, sizeof(where), "variable %s", v->name);
		rc = config_set_from(c, v->key, ours, where, e);
	}
	return rc;
}

void config_calico_help(const char *path, struct str *out)
{
	const char *before = ", Calico's ";

	for (size_t i = 0; i < ARRAY_SIZE(calico_vars); i++) {
		if (strcmp(calico_vars[i].key, path) != 0)
			continue;
		str_addf(out, "%s%s", before, calico_vars[i].name);
		before = ", ";
	}
}
