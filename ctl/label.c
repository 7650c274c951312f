/* label.c - margayctl label: set and remove labels of a resource
 * TESTS  tests/netns/test_policy.py */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "lib/json.h"

enum { LABEL_NAMESPACE, LABEL_REMOVE, LABEL_OVERWRITE };

enum {
	TRIES = 5, /* when somebody else writes at the same time */
	KEY_MAX = 317,
	VALUE_MAX = 63,
};

static bool chars_ok(const char *s, size_t n, size_t max, const char *extra)
{
	if (n > max)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
		      (s[i] >= '0' && s[i] <= '9') || strchr(extra, s[i])))
			return false;
	return true;
}

static int check_word(const char *word, bool remove, struct err *e)
{
	const char *eq = strchr(word, '=');
	size_t key = eq ? (size_t)(eq - word) : strlen(word);

	if (!remove && !eq && word[key - 1] == '-')
		key--;
	else if (!remove && !eq)
		return err_set(e, -EINVAL, "%.80s: must be KEY=VALUE, or KEY- to remove it", word);
	if (!key || !chars_ok(word, key, KEY_MAX, "-_./"))
		return err_set(e, -EINVAL, "%.80s: a key is letters, digits, - _ . and one /",
			       word);
	if (eq && !chars_ok(eq + 1, strlen(eq + 1), VALUE_MAX, "-_."))
		return err_set(e, -EINVAL,
			       "%.80s: a value is at most %d letters, digits, - _ and .", word,
			       VALUE_MAX);
	return 0;
}

static json_t *labels_of(struct object *o)
{
	json_t *meta = json_object_get(o->json, "metadata"), *labels;

	labels = json_object_get(meta, "labels");
	if (json_is_object(labels))
		return labels;
	labels = json_object();
	js_set(meta, "labels", labels);
	return labels;
}

static int change_one(json_t *labels, const char *word, const struct args *a, struct err *e)
{
	const char *eq = strchr(word, '=');
	bool remove = a->opt[LABEL_REMOVE] || !eq;
	CLEANUP(freep)
	char *key = xstrndup(word, eq ? (size_t)(eq - word)
				      : strlen(word) - (a->opt[LABEL_REMOVE] ? 0 : 1));
	const char *now = json_string_value(json_object_get(labels, key));

	if (remove) {
		json_object_del(labels, key);
		return 0;
	}
	if (now && strcmp(now, eq + 1) != 0 && !a->opt[LABEL_OVERWRITE])
		return err_set(e, -EEXIST, "label %s is \"%s\" already; --overwrite changes it", key,
			       now);
	js_set_str(labels, key, eq + 1);
	return 0;
}

static int change(struct ctl *c, const struct kind *kind, const char *ns, const char *name,
		  const struct args *a, struct err *e)
{
	struct object o;
	int rc = ctl_get(c, kind, ns, name, &o, e);

	if (rc < 0)
		return rc;
	for (size_t i = 2; rc == 0 && i < a->n_words; i++)
		rc = change_one(labels_of(&o), a->word[i], a, e);
	if (rc == 0)
		rc = object_check(&o, e);
	if (rc == 0)
		rc = ctl_update(c, &o, e);
	object_done(&o);
	return rc;
}

static int check_words(const struct args *a, struct err *e)
{
	int rc = 0;

	if (a->n_words < 3)
		return err_set(e, -EINVAL, "must be KIND NAME KEY=VALUE [KEY=VALUE...] [KEY-...]");
	for (size_t i = 2; rc == 0 && i < a->n_words; i++)
		rc = check_word(a->word[i], a->opt[LABEL_REMOVE], e);
	return rc;
}

int cmd_label(struct ctl *c, const struct args *a)
{
	const char *ns = a->opt[LABEL_NAMESPACE] ? a->opt[LABEL_NAMESPACE] : CTL_NAMESPACE_DEFAULT;
	const struct kind *kind;
	struct err e = { 0 };
	int rc = check_words(a, &e);

	if (rc == 0)
		rc = kind_get(a->word[0], &kind, &e);
	if (rc == 0)
		rc = ctl_open(c, CTL_WRITE, &e);
	for (int i = 0; rc == 0; i++) {
		rc = change(c, kind, ns, a->word[1], a, &e);
		if (rc != -ESTALE || i == TRIES)
			break;
		rc = 0;
	}
	if (rc < 0)
		return ctl_error("%s", e.msg);
	printf("Successfully labelled '%s' %s\n", kind->name, a->word[1]);
	return CTL_OK;
}
