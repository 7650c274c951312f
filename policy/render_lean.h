/* render_lean.h - the frame as this agent makes it where it need not be Calico's: few rules, and
 * no table that nobody needs. For one family; pure. See render_lean.c for what it leaves out and
 * why it may. */
#pragma once

#include "policy/render.h"

/* Is it this frame, with policy? Where a host endpoint is, it is Calico's. */
bool render_is_lean(const struct render_config *cfg);
/* Chains of one table, with policy; without (cfg->bare). */
void render_lean(const struct render_config *cfg, enum table_id table, struct chains *out);
void render_bare(const struct render_config *cfg, enum table_id table, struct chains *out);
/* Without policy: what is in the kernel's own chains of filter. */
void render_bare_hooks(const struct render_config *cfg, struct hooks *out);
/* At the end of FORWARD: what policy has accepted. */
void render_lean_end(const struct render_config *cfg, struct chain *c);

/* Of render_static.c, the same in both: the chains cali-wl-to-host and cali-cidr-block. */
void render_pods_to_host(const struct render_config *cfg, struct chains *out);
void render_service_loops(const struct render_config *cfg, struct chains *out);
