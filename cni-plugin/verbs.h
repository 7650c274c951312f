/* verbs.h - what `margay` does for each verb. */
#pragma once

#include "cni-plugin/conf.h"

/* One call: *out is the text for stdout, caller frees; NULL where the verb prints nothing. */
int verb_add(const struct env *env, const struct conf *c, char **out, struct cni_error *f);
int verb_del(const struct env *env, const struct conf *c, char **out, struct cni_error *f);
int verb_check(const struct env *env, const struct conf *c, char **out, struct cni_error *f);
int verb_status(const struct env *env, const struct conf *c, char **out, struct cni_error *f);
int verb_gc(const struct env *env, const struct conf *c, char **out, struct cni_error *f);
/* The result of ADD could not be handed over: take everything back. */
void verb_add_undo(const struct env *env, const struct conf *c);
