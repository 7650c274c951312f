/* pod_mtu.c - the MTU of pods that are there already
 * SHAPE  The host's end of a veth says in which namespace the other end is, as a number; the files
 *        in /run/netns say which number each of them has. A grandchild matches the two, enters
 *        those namespaces and ends; its end is seen by a pipe, and only then is there another.
 * WHY    A packet larger than the receiving end's MTU is dropped without a word. So the pod's end is
 *        never larger than the host's: it shrinks first and grows last. A pod whose namespace is
 *        not found keeps both ends, and learns the smaller size of the path by ICMP.
 * TESTS  tests/netns/test_encap.py, test_encap_faults.py */
#include "agent/cni/pod_mtu.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "agent/agent.h"
#include "agent/config.h"
#include "agent/log.h"
#include "dataplane/link.h"
#include "dataplane/netlink.h"
#include "lib/vec.h"

#define NETNS_DIR "/run/netns"

enum { SEEN_MAX = 16 };

struct end {
	uint32_t host, pod; /* interface indexes, each in its own namespace */
	unsigned mtu;	    /* of the host's, as far as known */
	int nsid;	    /* of the pod's, as the host's counts; -1: not known */
};

struct ends {
	struct end *p;
	size_t n, cap;
};

struct pod_mtu {
	struct agent *agent;
	struct event *ended; /* the process under way; NULL: there is none */
	int fd;
	unsigned seen[SEEN_MAX], n_seen; /* what pods may have that are to get `to` */
	unsigned to;
	bool again; /* `to` is another one since the process began */
};

/* ---- in the grandchild ---- */

static void take_nsid(void *arg, const struct nlmsghdr *h)
{
	const struct rtgenmsg *g = nl_body(h, sizeof(*g));
	const struct nlattr *tb[NETNSA_MAX + 1];

	if (g && h->nlmsg_type == RTM_NEWNSID &&
	    nl_attrs(h, NLMSG_ALIGN(sizeof(*g)), tb, NETNSA_MAX) && tb[NETNSA_NSID])
		*(int *)arg = (int)nl_attr_u32(tb[NETNSA_NSID]);
}

static void take_link_nsid(void *arg, const struct nlmsghdr *h)
{
	const struct nlattr *tb[IFLA_LINK_NETNSID + 1];

	if (h->nlmsg_type == RTM_NEWLINK &&
	    nl_attrs(h, sizeof(struct ifinfomsg), tb, IFLA_LINK_NETNSID) && tb[IFLA_LINK_NETNSID])
		*(int *)arg = (int)nl_attr_u32(tb[IFLA_LINK_NETNSID]);
}

static int nsid_of_file(struct nl_sock *s, int fd)
{
	struct {
		struct rtgenmsg g;
		uint8_t pad[3];
	} body = { .g.rtgen_family = AF_UNSPEC };
	struct nl_buf b = { 0 };
	int nsid = -1;

	nl_msg(&b, RTM_GETNSID, 0, &body, sizeof(body));
	nl_add_u32(&b, NETNSA_FD, (uint32_t)fd);
	(void)nl_ask(s, &b, take_nsid, &nsid, NULL);
	nl_buf_done(&b);
	return nsid;
}

static int nsid_of_link(struct nl_sock *s, uint32_t index)
{
	struct ifinfomsg ifi = { .ifi_index = (int)index };
	struct nl_buf b = { 0 };
	int nsid = -1;

	nl_msg(&b, RTM_GETLINK, 0, &ifi, sizeof(ifi));
	(void)nl_ask(s, &b, take_link_nsid, &nsid, NULL);
	nl_buf_done(&b);
	return nsid;
}

static int set_mtu(struct nl_sock *s, uint32_t index, unsigned mtu)
{
	struct ifinfomsg ifi = { .ifi_index = (int)index };
	struct nl_buf b = { 0 };
	int rc;

	nl_msg(&b, RTM_NEWLINK, 0, &ifi, sizeof(ifi));
	nl_add_u32(&b, IFLA_MTU, mtu);
	rc = nl_run(s, &b, NULL);
	nl_buf_done(&b);
	return rc;
}

/* All ends whose pod lives in this namespace. */
static void change_in(struct nl_sock *host, const struct ends *ends, int fd, int nsid, int home,
		      unsigned to)
{
	struct nl_sock pod = { .fd = -1 };

	if (setns(fd, CLONE_NEWNET) < 0 || nl_open(&pod, NULL) < 0)
		return;
	for (size_t i = 0; i < ends->n; i++) {
		const struct end *en = &ends->p[i];
		bool grow = to > en->mtu;

		if (en->nsid != nsid)
			continue;
		if (grow)
			(void)set_mtu(host, en->host, to);
		if (set_mtu(&pod, en->pod, to) == 0 && !grow)
			(void)set_mtu(host, en->host, to);
	}
	nl_close(&pod);
	if (setns(home, CLONE_NEWNET) < 0)
		_exit(1);
}

static bool any_in(const struct ends *ends, int nsid)
{
	for (size_t i = 0; i < ends->n; i++)
		if (ends->p[i].nsid == nsid)
			return true;
	return false;
}

static void change_all(struct ends *ends, unsigned to)
{
	struct nl_sock host = { .fd = -1 };
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	DIR *dir = opendir(NETNS_DIR);
	const struct dirent *d;

	if (home < 0 || !dir || nl_open(&host, NULL) < 0)
		return;
	for (size_t i = 0; i < ends->n; i++)
		ends->p[i].nsid = nsid_of_link(&host, ends->p[i].host);
	while ((d = readdir(dir))) {
		int fd = openat(dirfd(dir), d->d_name, O_RDONLY | O_CLOEXEC), nsid;

		if (fd < 0)
			continue;
		nsid = nsid_of_file(&host, fd);
		if (nsid >= 0 && any_in(ends, nsid))
			change_in(&host, ends, fd, nsid, home, to);
		close(fd);
	}
}

/* ---- in the agent ---- */

static bool is_seen(const struct pod_mtu *pm, unsigned mtu)
{
	for (unsigned i = 0; i < pm->n_seen; i++)
		if (pm->seen[i] == mtu)
			return true;
	/* After an interrupted change the picture of links may be behind. */
	return pm->n_seen > 1 && mtu == pm->to;
}

static struct ends pods_to_change(const struct pod_mtu *pm)
{
	const struct agent *a = pm->agent;
	struct ends out = { 0 };

	for (const struct link *l = link_next(a->links, NULL); l; l = link_next(a->links, l))
		if (str_starts(l->name, a->cfg->interface_prefix) && is_seen(pm, l->mtu) && l->peer)
			vec_push(&out, (struct end) { l->index, l->peer, l->mtu, -1 });
	return out;
}

static void settle(struct pod_mtu *pm)
{
	pm->n_seen = 0;
	pod_mtu_remember(pm->agent, pm->to);
}

static void start(struct pod_mtu *pm);

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct pod_mtu *pm = arg;

	event_free(pm->ended);
	pm->ended = NULL;
	close(pm->fd);
	if (pm->again)
		start(pm);
	else
		settle(pm);
}

/* The child's child is nobody's: init reaps it. Its end of the pipe closes when it ends. */
static int spawn(struct ends *ends, unsigned to)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		if (fork() == 0)
			change_all(ends, to);
		_exit(0);
	}
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return -1;
	}
	waitpid(pid, NULL, 0);
	return fds[0];
}

static void start(struct pod_mtu *pm)
{
	struct ends ends = pods_to_change(pm);

	pm->again = false;
	pm->fd = -1;
	if (ends.n) {
		log_info("mtu", "bringing pods to another MTU", "pods=%zu to=%u", ends.n, pm->to);
		pm->fd = spawn(&ends, pm->to);
		if (pm->fd < 0)
			log_error("mtu", "cannot start a process; pods keep their MTU", "to=%u",
				  pm->to);
	}
	vec_done(&ends);
	if (pm->fd < 0) {
		settle(pm);
		return;
	}
	pm->ended = event_new(pm->agent->base, pm->fd, EV_READ, on_ended, pm);
	assert(pm->ended);
	event_add(pm->ended, NULL);
}

void pod_mtu_change(struct pod_mtu *pm, unsigned from, unsigned to)
{
	pm->to = to;
	/* Told by the configuration: no pool and no interface changes it. */
	if (pm->agent->cfg->mtu > 0) {
		settle(pm);
		return;
	}
	if (!is_seen(pm, from) && pm->n_seen < SEEN_MAX)
		pm->seen[pm->n_seen++] = from;
	if (pm->ended)
		pm->again = true;
	else
		start(pm);
}

struct pod_mtu *pod_mtu_new(struct agent *a)
{
	struct pod_mtu *pm = xcalloc(1, sizeof(*pm));

	pm->agent = a;
	return pm;
}

void pod_mtu_free(struct pod_mtu *pm)
{
	if (!pm)
		return;
	if (pm->ended) {
		event_free(pm->ended);
		close(pm->fd);
	}
	free(pm);
}

/* ---- across a restart ---- */

static char *last_file(const struct agent *a)
{
	return xasprintf("%s/pod-mtu", a->cfg->state_dir);
}

unsigned pod_mtu_last(const struct agent *a)
{
	CLEANUP(freep) char *path = last_file(a);
	FILE *f = fopen(path, "re");
	unsigned mtu = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%5u", &mtu) != 1)
		mtu = 0;
	fclose(f);
	return mtu;
}

void pod_mtu_remember(const struct agent *a, unsigned mtu)
{
	CLEANUP(freep) char *path = last_file(a), *fresh = xasprintf("%s.new", path);
	FILE *f = fopen(fresh, "we");
	bool ok = f && fprintf(f, "%u\n", mtu) > 0;

	ok = f && fclose(f) == 0 && ok;
	if (!ok || rename(fresh, path) < 0)
		log_from("pod-mtu", LOG_LEVEL_WARN, "mtu",
			 "cannot keep in mind what MTU pods have; should it change while no agent "
			 "runs, they keep theirs",
			 "file=%s why=%s", path, strerror(errno));
}
