/* policy_words.h - rules of policies in words. */
#pragma once

#include "lib/json.h"
#include "lib/str.h"

/* One rule as it is written in a manifest, as one line without control characters: "Allow TCP from
 * selector app == 'web' to ports 80, 443". Total: what is not understood is shown as JSON. */
void rule_words(const json_t *rule, struct str *out);
