/* ctl.c - the control socket: many clients, slow ones, and whatever they send */
#include "box.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/config.h"
#include "agent/ctl_answer.h"
#include "agent/ctl_server.h"
#include "lib/json.h"

/* Of an answer that takes a while. */
static struct {
	struct ctl_later *later;
	bool stopped;
} work;

static void work_stop(void *w)
{
	assert_ptr_equal(w, &work);
	work.stopped = true;
}

/* Answers of the parts are theirs to test: here the question comes back. */
json_t *ctl_answer(struct agent *a, const char *line, size_t len, struct ctl_later *later)
{
	json_t *o = json_object();

	if (str_starts(line, "later")) {
		json_decref(o);
		later->stop = work_stop;
		later->work = &work;
		work.later = later;
		return NULL;
	}

	js_set_bool(o, "ok", true);
	js_set_int(o, "len", (json_int_t)len);
	return o;
}

json_t *ctl_refusal(const char *msg)
{
	json_t *o = json_object();

	js_set_bool(o, "ok", false);
	js_set_str(o, "msg", msg);
	return o;
}

struct fixture {
	struct box *box;
	struct agent agent;
	struct agent_config cfg;
	char path[128];
};

static void open_server(struct box *b, struct fixture *f)
{
	struct err e = { 0 };

	memset(f, 0, sizeof(*f));
	f->box = b;
	f->cfg.run_dir = b->dir;
	f->agent.base = b->base;
	f->agent.cfg = &f->cfg;
	snprintf(f->path, sizeof(f->path), "%s/ctl.sock", b->dir);
	f->agent.ctl = ctl_server_new(&f->agent, &e);
	if (!f->agent.ctl)
		fail_msg("%s", e.msg);
}

static int dial(const struct fixture *f)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	str_copy(sun.sun_path, sizeof(sun.sun_path), f->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

/* All that comes until the server closes; the number of bytes, -1 after a reset. */
static ssize_t hear(const struct fixture *f, int fd, char *buf, size_t size)
{
	size_t n = 0;

	for (unsigned i = 0; i < 5000; i++) {
		ssize_t got = read(fd, buf + n, size - 1 - n);

		if (got == 0 || (got < 0 && errno != EAGAIN)) {
			buf[n] = '\0';
			close(fd);
			return got == 0 ? (ssize_t)n : -1;
		}
		if (got > 0)
			n += (size_t)got;
		else
			poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 1);
		event_base_loop(f->box->base, EVLOOP_NONBLOCK);
	}
	fail_msg("the server does not close");
	return -1;
}

static void said(const struct fixture *f, const char *bytes, size_t len, bool finish, char *out,
		 size_t size)
{
	int fd = dial(f);
	size_t sent = 0;

	/* A little at a time, so that the server sees it in pieces. */
	for (unsigned i = 0; sent < len && i < 10000; i++) {
		ssize_t n =
			send(fd, bytes + sent, len - sent < 700 ? len - sent : 700, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			break;
		sent += n > 0 ? (size_t)n : 0;
		event_base_loop(f->box->base, EVLOOP_NONBLOCK);
	}
	if (finish)
		shutdown(fd, SHUT_WR);
	if (hear(f, fd, out, size) < 0)
		*out = '\0';
}

static void a_line_gets_a_line(void **state)
{
	struct fixture f;
	struct stat st;
	char out[256];

	open_server(*state, &f);
	assert_int_equal(stat(f.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	said(&f, "{\"cmd\":1}\n", 10, false, out, sizeof(out));
	assert_string_equal(out, "{\"ok\":true,\"len\":9}\n");
	/* Without the newline, but with an end. */
	said(&f, "{\"cmd\":1}", 9, true, out, sizeof(out));
	assert_string_equal(out, "{\"ok\":true,\"len\":9}\n");
	/* Two lines: the first is answered, and that is it. */
	said(&f, "a\nbb\n", 5, false, out, sizeof(out));
	assert_string_equal(out, "{\"ok\":true,\"len\":1}\n");
	said(&f, "", 0, true, out, sizeof(out));
	assert_string_equal(out, "");
	ctl_server_free(f.agent.ctl);
	assert_int_equal(access(f.path, F_OK), -1);
}

static void too_long_a_line(void **state)
{
	struct fixture f;
	char big[20000], out[256];

	memset(big, 'x', sizeof(big));
	open_server(*state, &f);
	said(&f, big, sizeof(big), false, out, sizeof(out));
	if (out[0])
		assert_non_null(strstr(out, "longer than 4096"));
	said(&f, "{}\n", 3, false, out, sizeof(out));
	assert_string_equal(out, "{\"ok\":true,\"len\":2}\n");
	ctl_server_free(f.agent.ctl);
}

/* The silent do not keep others out, however many they are. */
static void silent_clients_make_room(void **state)
{
	struct fixture f;
	int idle[3 * CTL_CONNS_MAX];
	char out[256];

	open_server(*state, &f);
	for (size_t i = 0; i < ARRAY_SIZE(idle); i++) {
		idle[i] = dial(&f);
		event_base_loop(f.box->base, EVLOOP_NONBLOCK);
	}
	said(&f, "{}\n", 3, false, out, sizeof(out));
	assert_string_equal(out, "{\"ok\":true,\"len\":2}\n");
	for (size_t i = 0; i < ARRAY_SIZE(idle); i++)
		close(idle[i]);
	box_settle(f.box);
	ctl_server_free(f.agent.ctl);
}

/* Somebody who asks and goes, or goes in the middle. */
static void clients_that_go(void **state)
{
	struct fixture f;
	char out[256];

	open_server(*state, &f);
	for (unsigned i = 0; i < 200; i++) {
		int fd = dial(&f);

		if (i % 3)
			assert_true(send(fd, i % 3 == 1 ? "{}\n" : "{", i % 3 == 1 ? 3 : 1,
					 MSG_NOSIGNAL) > 0);
		if (i % 2)
			event_base_loop(f.box->base, EVLOOP_NONBLOCK);
		close(fd);
		event_base_loop(f.box->base, EVLOOP_NONBLOCK);
	}
	said(&f, "{}\n", 3, false, out, sizeof(out));
	assert_string_equal(out, "{\"ok\":true,\"len\":2}\n");
	ctl_server_free(f.agent.ctl);
}

static void a_left_over_socket_is_replaced(void **state)
{
	struct fixture f;
	struct box *b = *state;
	char out[256];

	CLEANUP(freep) char *path = xasprintf("%s/ctl.sock", b->dir);
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	close(fd);
	open_server(b, &f);
	said(&f, "{}\n", 3, false, out, sizeof(out));
	assert_string_equal(out, "{\"ok\":true,\"len\":2}\n");
	ctl_server_free(f.agent.ctl);
}

/* Ask for what takes a while; shut: say at once that nothing more will be asked. */
static int ask_later(const struct fixture *f, bool shut)
{
	int fd = dial(f);

	memset(&work, 0, sizeof(work));
	assert_int_equal(send(fd, "later\n", 6, MSG_NOSIGNAL), 6);
	if (shut)
		shutdown(fd, SHUT_WR);
	for (unsigned i = 0; !work.later && i < 5000; i++) {
		poll(NULL, 0, 1);
		event_base_loop(f->box->base, EVLOOP_NONBLOCK);
	}
	assert_non_null(work.later);
	/* The end of the questions is no reason to go. */
	for (unsigned i = 0; i < 20; i++)
		event_base_loop(f->box->base, EVLOOP_NONBLOCK);
	assert_false(work.stopped);
	return fd;
}

static void an_answer_that_takes_a_while(void **state)
{
	struct fixture f;
	char buf[256];

	open_server(*state, &f);
	for (int shut = 0; shut < 2; shut++) {
		int fd = ask_later(&f, shut);

		work.later->work = NULL;
		work.later->fn(work.later->arg, ctl_refusal("at last"));
		assert_true(hear(&f, fd, buf, sizeof(buf)) > 0);
		assert_non_null(strstr(buf, "at last"));
		assert_false(work.stopped);
	}
	ctl_server_free(f.agent.ctl);
}

static void the_end_stops_what_is_under_way(void **state)
{
	struct fixture f;
	int fd;

	open_server(*state, &f);
	fd = ask_later(&f, true);
	ctl_server_free(f.agent.ctl);
	assert_true(work.stopped);
	close(fd);
}

static void a_path_that_is_too_long(void **state)
{
	struct box *b = *state;
	struct agent_config cfg = { 0 };
	struct agent a = { .base = b->base, .cfg = &cfg };
	char dir[200];
	struct err e = { 0 };

	memset(dir, 'd', sizeof(dir) - 1);
	dir[sizeof(dir) - 1] = '\0';
	cfg.run_dir = dir;
	assert_null(ctl_server_new(&a, &e));
	assert_non_null(strstr(e.msg, "shorter runDir"));
}

int main(void)
{
#define BOX(f) cmocka_unit_test_setup_teardown(f, box_open, box_close)
	const struct CMUnitTest tests[] = {
		BOX(a_line_gets_a_line),
		BOX(too_long_a_line),
		BOX(silent_clients_make_room),
		BOX(clients_that_go),
		BOX(a_left_over_socket_is_replaced),
		BOX(an_answer_that_takes_a_while),
		BOX(the_end_stops_what_is_under_way),
		BOX(a_path_that_is_too_long),
	};

	signal(SIGPIPE, SIG_IGN); /* as main.c does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
