/* main.c - margay, the main CNI plugin */
#include "cni-plugin/program.h"
#include "cni-plugin/verbs.h"

int main(void)
{
	static const struct program margay = {
		.about = "CNI plugin margay " MARGAY_VERSION
			 ": a pod's interface, routed at layer 3; CNI 0.3.0 to 1.1.0",
		.add = verb_add,
		.del = verb_del,
		.check = verb_check,
		.status = verb_status,
		.gc = verb_gc,
		.add_undo = verb_add_undo,
	};

	return program_run(&margay);
}
