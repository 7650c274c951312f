/* ipam/repair_handles.h - the second half of repair. */
#pragma once

#include "ipam/machine.h"

/* Compare handles with blocks, when that was asked for, and finish. */
enum ipam_state repair_handles(struct ipam_op *op);
/* Note op->err as something that could not be mended, and go on. */
void repair_note(struct ipam_op *op);
