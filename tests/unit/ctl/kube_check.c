/* kube_check.c - mistakes in Kubernetes' manifests, each of which would open or shut something else */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/kube_check.h"
#include "lib/json.h"

/* Apostrophes for quotes. words NULL: it is right; else what the message begins with. */
struct manifest {
	const char *text, *words;
};

static char *quoted(const char *kind, const char *rest)
{
	char *text = xasprintf("{'kind':'%s',%s}", kind, rest);

	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	return text;
}

static void check(const char *kind, const char *rest, const char *words)
{
	CLEANUP(freep) char *text = quoted(kind, rest);
	struct err e = { 0 };
	json_t *doc;
	int rc;

	assert_int_equal(js_parse(text, strlen(text), &doc, &e), 0);
	rc = kube_check(doc, &e);
	json_decref(doc);
	if (words ? rc < 0 && !strncmp(e.msg, words, strlen(words)) : rc == 0)
		return;
	fail_msg("%s\nsays: %s\nshould: %s", text, e.msg, words ? words : "be right");
}

#define META "'metadata':{'name':'web','namespace':'x'},"

static void network_policies(void **state)
{
	static const struct manifest specs[] = {
		{ "{}", NULL },
		{ "{'podSelector':{}}", NULL },
		{ "{'podSelectr':{}}", "spec.podSelectr: unknown field; did you mean" },
		{ "{'ingres':[]}", "spec.ingres: unknown field" },
		{ "{'podSelector':{'app':'web'}}", "spec.podSelector.app: unknown field" },
		{ "{'podSelector':{'matchlabels':{}}}", "spec.podSelector.matchlabels: unknown" },
		{ "{'podSelector':{'matchLabels':{'a':1}}}",
		  "spec.podSelector.matchLabels.a: must be a string" },
		{ "{'podSelector':{'matchLabels':{'a':'b c'}}}",
		  "spec.podSelector.matchLabels.a: a label's value" },
		{ "{'podSelector':{'matchLabels':{'a b':'c'}}}",
		  "spec.podSelector.matchLabels.a b: a label's key" },
		{ "{'podSelector':{'matchLabels':{'a.b/c_d':'E-f','g':''}}}", NULL },
		{ "{'policyTypes':['Ingress','Egress']}", NULL },
		{ "{'policyTypes':['ingress']}", "spec.policyTypes[0]: \"ingress\"" },
		{ "{'policyTypes':'Ingress'}", "spec.policyTypes: must be a list" },
		{ "{'ingress':{}}", "spec.ingress: must be a list" },
		{ "{'ingress':[{}]}", NULL },
		{ "{'ingress':[{'form':[]}]}", "spec.ingress[0].form: unknown field; did you" },
		{ "{'ingress':[{'to':[]}]}", "spec.ingress[0].to: unknown field" },
		{ "{'egress':[{'from':[]}]}", "spec.egress[0].from: unknown field" },
		{ "{'egress':[{},{'to':{}}]}", "spec.egress[1].to: must be a list" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		CLEANUP(freep) char *rest = xasprintf(META "'spec':%s", specs[i].text);

		check("NetworkPolicy", rest, specs[i].words);
	}
	check("NetworkPolicy", META "'status':{}", NULL);
	check("NetworkPolicy", META "'sepc':{}", "sepc: unknown field");
	check("NetworkPolicy", META "'spec':[]", "spec: must be an object");
}

static void expressions(void **state)
{
	static const struct manifest list[] = {
		{ "{'key':'a','operator':'In','values':['b','']}", NULL },
		{ "{'key':'a','operator':'Exists'}", NULL },
		{ "{'key':'a','operator':'Exists','value':'b'}", "value: unknown field" },
		{ "{'key':'a','operator':'Exists','values':['b']}", "values: Exists has none" },
		{ "{'key':'a','operator':'NotIn'}", "values: NotIn needs" },
		{ "{'key':'a','operator':'In','values':['b','c d']}", "values[1]: " },
		{ "{'key':'a','operator':'exists'}", "operator: \"exists\" is unknown" },
		{ "{'key':'a'}", "operator: is missing" },
		{ "{'operator':'Exists'}", "key: is missing" },
		{ "{'key':'a/b/c','operator':'Exists'}", "key: \"a/b/c\"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		CLEANUP(freep)
		char *rest = xasprintf(META "'spec':{'podSelector':{'matchExpressions':[%s]}}",
				       list[i].text);
		CLEANUP(freep)
		char *words = list[i].words ? xasprintf("spec.podSelector.matchExpressions[0].%s",
							list[i].words)
					    : NULL;

		check("NetworkPolicy", rest, words);
	}
}

static void peers(void **state)
{
	static const struct manifest list[] = {
		{ "{'podSelector':{}}", NULL },
		{ "{'podSelector':{},'namespaceSelector':null}", NULL },
		{ "{'namespaceSelector':{'matchLabels':{'a':'b'}}}", NULL },
		{ "{}", "podSelector: is missing" },
		{ "{'podSelector':null}", "podSelector: is missing" },
		{ "{'podSelektor':{}}", "podSelektor: unknown field" },
		{ "{'podSelector':{'app':'b'}}", "podSelector.app: unknown field" },
		{ "{'namespaceSelector':{'name':'b'}}", "namespaceSelector.name: unknown field" },
		{ "{'podSelector':{},'ipBlock':{'cidr':'10.0.0.0/8'}}", "ipBlock: cannot be" },
		{ "{'ipBlock':{'cidr':'10.1.2.3/8','except':['10.1.0.1/16']}}", NULL },
		{ "{'ipBlock':{}}", "ipBlock.cidr: is missing" },
		{ "{'ipBlock':{'cidr':'10.0.0.1'}}", "ipBlock.cidr: must be an address range" },
		{ "{'ipBlock':{'cidr':'10.0.0.0/8','exept':[]}}", "ipBlock.exept: unknown field" },
		{ "{'ipBlock':{'cidr':'10.0.0.0/8','except':'10.1.0.0/16'}}",
		  "ipBlock.except: must be a list" },
		{ "{'ipBlock':{'cidr':'10.0.0.0/8','except':['10.0.0.0/8']}}",
		  "ipBlock.except[0]: must be a part" },
		{ "{'ipBlock':{'cidr':'10.0.0.0/8','except':['10.1.0.0/16','fd00::/16']}}",
		  "ipBlock.except[1]: must be a part" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		CLEANUP(freep)
		char *rest = xasprintf(META "'spec':{'egress':[{'to':[%s]}]}", list[i].text);
		CLEANUP(freep)
		char *words =
			list[i].words ? xasprintf("spec.egress[0].to[0].%s", list[i].words) : NULL;

		check("NetworkPolicy", rest, words);
	}
}

static void ports(void **state)
{
	static const struct manifest list[] = {
		{ "{}", NULL },
		{ "{'port':80}", NULL },
		{ "{'port':80,'endPort':80,'protocol':'SCTP'}", NULL },
		{ "{'port':'web-1'}", NULL },
		{ "{'prt':80}", "prt: unknown field" },
		{ "{'port':0}", "port: must be a number" },
		{ "{'port':65536}", "port: must be a number" },
		{ "{'port':80.5}", "port: must be a number" },
		{ "{'port':'80'}", "port: must be a number" },
		{ "{'port':'Web'}", "port: must be a number" },
		{ "{'port':'sixteen-letters-'}", "port: must be a number" },
		{ "{'port':80,'endPort':79}", "endPort: needs a port" },
		{ "{'port':'web','endPort':79}", "endPort: needs a port" },
		{ "{'endPort':79}", "endPort: needs a port" },
		{ "{'protocol':'tcp'}", "protocol: \"tcp\" is unknown" },
		{ "{'protocol':'ICMP'}", "protocol: \"ICMP\" is unknown" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		CLEANUP(freep)
		char *rest = xasprintf(META "'spec':{'ingress':[{'ports':[%s]}]}", list[i].text);
		CLEANUP(freep)
		char *words = list[i].words
				      ? xasprintf("spec.ingress[0].ports[0].%s", list[i].words)
				      : NULL;

		check("NetworkPolicy", rest, words);
	}
}

static void metadata(void **state)
{
	static const struct {
		const char *kind, *text, *words;
	} list[] = {
		{ "NetworkPolicy", "'metadata':{'name':'a.b','namespace':'x'}", NULL },
		{ "NetworkPolicy", "'metadata':{'name':'A'}", "metadata.name: " },
		{ "NetworkPolicy", "'metadata':{}", "metadata.name: is missing" },
		{ "NetworkPolicy", "'spec':{}", "metadata: must be an object" },
		{ "NetworkPolicy", "'metadata':{'name':'a','namespace':'x/y'}",
		  "metadata.namespace: " },
		{ "Namespace", "'metadata':{'name':'x','labels':{'a.b/c':'d'}},'spec':{}", NULL },
		{ "Namespace", "'metadata':{'name':'x/y'}", "metadata.name: " },
		{ "Namespace", "'metadata':{'name':'x.y'}", "metadata.name: " },
		{ "Namespace", "'metadata':{'name':'x','label':{}}", "metadata.label: unknown" },
		{ "Namespace", "'metadata':{'name':'x','labels':['a']}", "metadata.labels: must" },
		{ "Namespace", "'metadata':{'name':'x','labels':{'a':1}}",
		  "metadata.labels.a: must be a string" },
		{ "Namespace", "'metadata':{'name':'x','labels':{'a b':'c'}}",
		  "metadata.labels.a b: a label's key" },
		{ "Namespace", "'metadata':{'name':'x'},'labels':{}", "labels: unknown field" },
		{ "ServiceAccount", "'metadata':{'name':'a.b','namespace':'x'},'secrets':[]",
		  NULL },
		{ "ServiceAccount", "'metadata':{'name':'a\\\\b'}", "metadata.name: " },
		{ "ServiceAccount", "'metadata':{'name':'a'},'secret':[]", "secret: unknown" },
		{ "EndpointSlice", "'metadata':{'name':'a/b','namespace':'x'}", "metadata.name: " },
		{ "Service", "'metadata':{'name':'a','namespace':'X'}", "metadata.namespace: " },
	};

	for (size_t i = 0; i < ARRAY_SIZE(list); i++)
		check(list[i].kind, list[i].text, list[i].words);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(network_policies),
		cmocka_unit_test(expressions),
		cmocka_unit_test(peers),
		cmocka_unit_test(ports),
		cmocka_unit_test(metadata),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
