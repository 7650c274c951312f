/* iptables_info.c - has somebody changed a table of iptables-legacy?
 * WHY    To ask for a table that is not there would make it: only those are asked for that the kernel
 *        lists. */
#include "dataplane/iptables_info.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* struct ipt_getinfo and IPT_SO_GET_INFO, the same for both families; <linux/netfilter_ipv4/ip_tables.h>
 * does not go with <netinet/in.h>, and defines ipt_table as something else. */
enum { TABLE_NAME_MAX = 32, SO_GET_INFO = 64, NAMES_MAX = 512 };

struct getinfo {
	char name[TABLE_NAME_MAX];
	uint32_t hooks, entry[5], underflow[5], n_entries, size;
};

_Static_assert(sizeof(struct getinfo) == IPT_INFO_SIZE, "the kernel's answer");

void ipt_info_open(struct ipt_info *i, enum ip_family family)
{
	*i = (struct ipt_info) { .family = family, .names = -1 };
	i->fd = socket(family == IP_V6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
}

void ipt_info_close(struct ipt_info *i)
{
	if (i->fd >= 0)
		close(i->fd);
	if (i->fd >= 0 && i->names >= 0)
		close(i->names);
	i->fd = i->names = -1;
}

/* The file comes with the kernel's module. Read from its start it says what is there now. */
static void tables_there(struct ipt_info *i, bool there[IPT_TABLES_])
{
	char text[NAMES_MAX], *save, *name;
	ssize_t n = 0;

	if (i->names < 0)
		i->names = open(i->family == IP_V6 ? "/proc/net/ip6_tables_names"
						   : "/proc/net/ip_tables_names",
				O_RDONLY | O_CLOEXEC);
	if (i->names >= 0)
		n = pread(i->names, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	memset(there, 0, IPT_TABLES_ * sizeof(there[0]));
	for (name = strtok_r(text, "\n", &save); name; name = strtok_r(NULL, "\n", &save))
		if (ipt_table_of(name) < IPT_TABLES_)
			there[ipt_table_of(name)] = true;
}

static bool ask(const struct ipt_info *i, enum ipt_table t, uint8_t out[IPT_INFO_SIZE])
{
	struct getinfo info = { 0 };
	socklen_t len = sizeof(info);
	int level = i->family == IP_V6 ? IPPROTO_IPV6 : IPPROTO_IP;

	str_copy(info.name, sizeof(info.name), ipt_table_name(t));
	if (getsockopt(i->fd, level, SO_GET_INFO, &info, &len) < 0 || len != sizeof(info))
		return false;
	memcpy(out, &info, sizeof(info));
	return true;
}

void ipt_info_note(struct ipt_info *i)
{
	bool there[IPT_TABLES_];

	if (i->fd < 0)
		return;
	tables_there(i, there);
	for (int t = 0; t < IPT_TABLES_; t++)
		i->known[t] = there[t] && ask(i, (enum ipt_table)t, i->last[t]);
}

bool ipt_info_differs(struct ipt_info *i)
{
	uint8_t now[IPT_INFO_SIZE];
	bool there[IPT_TABLES_];

	if (i->fd < 0)
		return false;
	tables_there(i, there);
	for (int t = 0; t < IPT_TABLES_; t++) {
		if (there[t] != i->known[t])
			return true;
		if (there[t] && ask(i, (enum ipt_table)t, now) &&
		    memcmp(now, i->last[t], sizeof(now)) != 0)
			return true;
	}
	return false;
}
