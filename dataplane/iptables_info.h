/* iptables_info.h - has somebody changed a table of iptables-legacy? Its kernel part tells nobody, but
 * it answers how many rules a table has, how large it is and where its chains begin: microseconds,
 * without copying a rule. A rule replaced by another of the same size goes unseen. */
#pragma once

#include "dataplane/iptables.h"

enum { IPT_INFO_SIZE = 84 }; /* struct ipt_getinfo */

struct ipt_info {
	int fd;	   /* -1: not open, nothing is ever seen */
	int names; /* of the tables that are there */
	enum ip_family family;
	bool known[IPT_TABLES_];
	uint8_t last[IPT_TABLES_][IPT_INFO_SIZE];
};

/* Must be able to fail without harm: then only the refresh interval notices. */
void ipt_info_open(struct ipt_info *i, enum ip_family family);
void ipt_info_close(struct ipt_info *i);
/* Take the tables as they are now for right: after reading them or writing to them. */
void ipt_info_note(struct ipt_info *i);
/* Is one of them other than noted? */
bool ipt_info_differs(struct ipt_info *i);
