/* netlink.c - rtnetlink sockets: batches of requests, dumps, events
 * WHY    One ACK a route would cost a round trip each. The kernel works through all messages of
 *        one sendmsg before it returns, reports each failure, and acknowledges where asked: so
 *        only the last message asks, and its answer is the end of the batch.
 * SHAPE  Sequence numbers of a batch are consecutive; an error's number minus the first one is the
 *        index of the message. NETLINK_CAP_ACK keeps errors short, NETLINK_EXT_ACK adds words.
 * ERRORS Answers that do not fit our receive buffer show as ENOBUFS: the outcome of single messages
 * is unknown then, and the caller has to look (dump). SPEC   netlink(7), rtnetlink(7) */
#include "dataplane/netlink.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The kernel fills dump replies up to the size that we read with, 32 KiB at most. */
enum { RX_SIZE = 64 * 1024 };

/* Datagrams thrown away after a loss: more than the receive buffer holds. */
enum { DISCARD_MAX = 1 << 17 };

#ifndef NETLINK_GET_STRICT_CHK
#define NETLINK_GET_STRICT_CHK 12
#endif

static void set_option(int fd, int option, int value)
{
	/* Each of these is a comfort that an old kernel may lack; nothing depends on it. */
	(void)setsockopt(fd, SOL_NETLINK, option, &value, sizeof(value));
}

static int open_socket(struct nl_sock *s, int extra, struct err *e)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };
	socklen_t len = sizeof(sa);

	*s = (struct nl_sock) { .fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | extra,
					     NETLINK_ROUTE) };
	if (s->fd < 0)
		return err_set(e, -errno, "netlink socket: %s", strerror(errno));
	if (bind(s->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    getsockname(s->fd, (struct sockaddr *)&sa, &len) < 0) {
		int code = -errno;

		nl_close(s);
		return err_set(e, code, "netlink bind: %s", strerror(-code));
	}
	s->port = sa.nl_pid;
	set_option(s->fd, NETLINK_CAP_ACK, 1);
	set_option(s->fd, NETLINK_EXT_ACK, 1);
	set_option(s->fd, NETLINK_GET_STRICT_CHK, 1);
	return 0;
}

/* As root the force variant passes net.core.rmem_max. */
static void set_rcvbuf(int fd, int bytes)
{
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

int nl_open(struct nl_sock *s, struct err *e)
{
	return open_socket(s, 0, e);
}

int nl_open_events(struct nl_sock *s, const unsigned *groups, struct err *e)
{
	int rc = open_socket(s, SOCK_NONBLOCK, e);

	if (rc < 0)
		return rc;
	set_rcvbuf(s->fd, NL_RCVBUF);
	for (; *groups; groups++)
		if (setsockopt(s->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, groups,
			       sizeof(*groups)) < 0) {
			rc = err_set(e, -errno, "netlink group %u: %s", *groups, strerror(errno));
			nl_close(s);
			return rc;
		}
	return 0;
}

void nl_close(struct nl_sock *s)
{
	closep(&s->fd);
	s->fd = -1;
	free(s->rx);
	s->rx = NULL;
}

int nl_ignore_routes_from(struct nl_sock *events, uint32_t port, struct err *e)
{
	/* Filters read big-endian; the headers are in the machine's own order. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __builtin_bswap32(port), 0, 4),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __builtin_bswap16(RTM_NEWROUTE), 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __builtin_bswap16(RTM_DELROUTE), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };

	if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) {
		code[1].k = port;
		code[3].k = RTM_NEWROUTE;
		code[4].k = RTM_DELROUTE;
	}
	if (setsockopt(events->fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0)
		return err_set(e, -errno, "netlink filter: %s", strerror(errno));
	return 0;
}

static int send_all(struct nl_sock *s, const void *data, size_t len, struct err *e)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	ssize_t n;

	do
		n = sendto(s->fd, data, len, 0, (struct sockaddr *)&kernel, sizeof(kernel));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set(e, -errno, "netlink send of %zu bytes: %s", len, strerror(errno));
	return 0;
}

/* One datagram from the kernel; datagrams of others are dropped. -EAGAIN when nothing came in time.
 */
static ssize_t receive(struct nl_sock *s, int wait_ms, struct err *e)
{
	if (!s->rx)
		s->rx = xmalloc(RX_SIZE);
	for (;;) {
		struct sockaddr_nl from = { 0 };
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(s->fd, s->rx, RX_SIZE, MSG_DONTWAIT, (struct sockaddr *)&from,
				     &from_len);
		struct pollfd pfd = { .fd = s->fd, .events = POLLIN };

		if (n >= 0 && from.nl_pid == 0)
			return n;
		if (n >= 0 || errno == EINTR)
			continue;
		if (errno != EAGAIN || wait_ms == 0)
			return err_set(e, -errno, "netlink receive: %s", strerror(errno));
		if (poll(&pfd, 1, wait_ms) == 0)
			return err_set(e, -EAGAIN, "netlink: no answer from the kernel in %d ms",
				       wait_ms);
	}
}

/* The words that come with an error (NETLINK_EXT_ACK), "" when there are none. */
static const char *error_text(const struct nlmsghdr *h)
{
	const struct nlmsgerr *err = nl_body(h, sizeof(*err));
	const struct nlattr *tb[NLMSGERR_ATTR_MSG + 1];
	size_t skip = sizeof(*err);
	const char *text;

	if (!err || !(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return "";
	if (!(h->nlmsg_flags & NLM_F_CAPPED) && err->msg.nlmsg_len > sizeof(err->msg))
		skip += err->msg.nlmsg_len - sizeof(err->msg);
	if (!nl_attrs(h, skip, tb, NLMSGERR_ATTR_MSG))
		return "";
	text = nl_attr_str(tb[NLMSGERR_ATTR_MSG]);
	return text ? text : "";
}

/* Give every message of the buffer the next number and let the last one ask for an answer. */
static uint32_t number(struct nl_sock *s, struct nl_buf *b, uint16_t last_flags)
{
	const uint8_t *p = b->p;
	size_t left = b->len;
	uint32_t first = s->seq + 1;
	struct nlmsghdr *h = NULL;

	for (const struct nlmsghdr *c; (c = nl_next(&p, &left));) {
		h = (void *)(b->p + ((const uint8_t *)c - b->p));
		h->nlmsg_seq = ++s->seq;
	}
	if (h)
		h->nlmsg_flags |= last_flags;
	return first;
}

int nl_batch(struct nl_sock *s, struct nl_buf *b, nl_fail_fn fail, void *arg, struct err *e)
{
	unsigned count = b->n;
	uint32_t first, last;
	int rc;

	if (!count)
		return 0;
	first = number(s, b, NLM_F_ACK);
	last = s->seq;
	rc = send_all(s, b->p, b->len, e);
	nl_buf_clear(b);
	if (rc < 0)
		return rc;
	for (;;) {
		ssize_t n = receive(s, NL_WAIT_MS, e);
		const uint8_t *p = s->rx;
		size_t left = (size_t)n;

		if (n < 0)
			return (int)n;
		for (const struct nlmsghdr *h; (h = nl_next(&p, &left));) {
			const struct nlmsgerr *err = nl_body(h, sizeof(*err));

			/* What is not an answer of this batch is left over from one that failed. */
			if (h->nlmsg_type != NLMSG_ERROR || !err || h->nlmsg_seq - first >= count)
				continue;
			if (err->error)
				fail(arg, h->nlmsg_seq - first, err->error, error_text(h));
			if (h->nlmsg_seq == last)
				return 0;
		}
	}
}

struct first_failure {
	int code;
	struct err *e;
};

static void keep_first(void *arg, unsigned index, int code, const char *text)
{
	struct first_failure *f = arg;

	if (!f->code)
		f->code = err_set(f->e, code, "kernel: %s%s%s", strerror(-code), *text ? ": " : "",
				  text);
}

int nl_run(struct nl_sock *s, struct nl_buf *b, struct err *e)
{
	struct first_failure f = { .e = e };
	int rc = nl_batch(s, b, keep_first, &f, e);

	return rc < 0 ? rc : f.code;
}

/* Replies to request seq until the end; *more: another datagram is to come. */
static int take_replies(struct nl_sock *s, size_t len, uint32_t seq, nl_msg_fn fn, void *arg,
			bool *more, bool *interrupted, struct err *e)
{
	const uint8_t *p = s->rx;

	for (const struct nlmsghdr *h; (h = nl_next(&p, &len));) {
		if (h->nlmsg_seq != seq)
			continue;
		if (h->nlmsg_flags & NLM_F_DUMP_INTR)
			*interrupted = true;
		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR) {
			const int *code = nl_body(h, sizeof(*code));
			const char *text = h->nlmsg_type == NLMSG_ERROR ? error_text(h) : "";

			*more = false;
			if (!code || !*code)
				return 0;
			return err_set(e, *code, "kernel: %s%s%s", strerror(-*code),
				       *text ? ": " : "", text);
		}
		fn(arg, h);
		if (!(h->nlmsg_flags & NLM_F_MULTI))
			*more = false;
	}
	return 0;
}

static int converse(struct nl_sock *s, struct nl_buf *b, uint16_t flags, nl_msg_fn fn, void *arg,
		    struct err *e)
{
	uint32_t seq = number(s, b, flags);
	bool more = true, interrupted = false;
	int rc = send_all(s, b->p, b->len, e);

	nl_buf_clear(b);
	while (rc == 0 && more) {
		ssize_t n = receive(s, NL_WAIT_MS, e);

		rc = n < 0 ? (int)n
			   : take_replies(s, (size_t)n, seq, fn, arg, &more, &interrupted, e);
	}
	if (rc == 0 && interrupted)
		return err_set(e, -EINTR, "netlink dump: the table changed meanwhile");
	return rc;
}

int nl_dump(struct nl_sock *s, struct nl_buf *b, nl_msg_fn fn, void *arg, struct err *e)
{
	return converse(s, b, NLM_F_DUMP, fn, arg, e);
}

int nl_ask(struct nl_sock *s, struct nl_buf *b, nl_msg_fn fn, void *arg, struct err *e)
{
	return converse(s, b, 0, fn, arg, e);
}

/* After a loss the queue holds events that are older than what was lost: read after a dump they
 * would bring back what is gone. */
static void discard(struct nl_sock *s)
{
	for (unsigned i = 0; i < DISCARD_MAX; i++)
		if (receive(s, 0, NULL) == -EAGAIN)
			return;
}

int nl_read_events(struct nl_sock *s, unsigned max, nl_msg_fn fn, void *arg)
{
	for (unsigned i = 0; i < max; i++) {
		ssize_t n = receive(s, 0, NULL);
		const uint8_t *p = s->rx;
		size_t left = (size_t)n;

		if (n == -ENOBUFS)
			discard(s);
		if (n < 0)
			return n == -EAGAIN ? 0 : (int)n;
		for (const struct nlmsghdr *h; (h = nl_next(&p, &left));)
			fn(arg, h);
	}
	return 1;
}
