/* exec.c - run a tool: text in, text out, bounded in size and time
 * WHY    posix_spawn, because the agent is large and a fork would copy its page tables. The input
 *        is a memfd, so there is nothing to feed and no pipe to fill up. The end is read from a
 *        pidfd: no SIGCHLD, which would be shared with the rest of the program.
 *        To start and link a tool takes 1.5 to 2 ms, so one that will surely be needed can be had
 *        ready (a spare): it waits for its input on a socket, whose end, should we be gone, is its
 *        end, too.
 * SPEC   pidfd_open(2) is of Linux 5.3 */
#include "dataplane/exec.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/str.h"

enum { READ_SIZE = 65536, ENV_MAX = 8 };

struct stream {
	struct exec *x;
	int fd;
	struct str text;
	size_t max;
	struct event *ev;
};

struct exec {
	pid_t pid;
	int pidfd;
	struct stream out, err;
	struct event *ended, *timer;
	uint64_t start;
	int code; /* why we killed it, 0: we did not */
	exec_fn fn;
	void *arg;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- the program and its surroundings ---- */

static bool find_in(const char *dirs, const char *name, char *out, size_t size)
{
	while (dirs && *dirs) {
		size_t n = strcspn(dirs, ":");

		if (n && snprintf(out, size, "%.*s/%s", (int)n, dirs, name) < (int)size &&
		    access(out, X_OK) == 0)
			return true;
		dirs += n + (dirs[n] == ':');
	}
	return false;
}

/* In PATH, and where administrators' tools are even if PATH does not say so. */
static bool tool_find(const char *name, char *out, size_t size)
{
	if (strchr(name, '/'))
		return str_copy(out, size, name);
	return find_in(getenv("PATH"), name, out, size) ||
	       find_in("/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin", name, out, size);
}

static void env_make(char **env)
{
	static const char *const pass[] = { "XTABLES_LOCKFILE", "XTABLES_LIBDIR" };
	const char *path = getenv("PATH");
	int n = 0;

	env[n++] = xasprintf("PATH=%s", path ? path : "/usr/sbin:/usr/bin:/sbin:/bin");
	env[n++] = xstrdup("LC_ALL=C");
	for (size_t i = 0; i < ARRAY_SIZE(pass); i++)
		if (getenv(pass[i]))
			env[n++] = xasprintf("%s=%s", pass[i], getenv(pass[i]));
	env[n] = NULL;
}

static void env_free(char **env)
{
	while (*env)
		free(*env++);
}

/* ---- the child ---- */

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

/* A descriptor from which the input can be read, or -errno. */
static int input_fd(const struct exec_cmd *cmd)
{
	int fd, rc;

	if (!cmd->in_len)
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	else
		fd = memfd_create("margay-exec", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = write_all(fd, cmd->in, cmd->in_len);
	if (cmd->in_len && (rc < 0 || lseek(fd, 0, SEEK_SET) < 0)) {
		rc = rc < 0 ? rc : -errno;
		close(fd);
		return rc;
	}
	return fd;
}

/* The caller of dup2 must not find its source overwritten: all of ours are above 2. */
static int above_2(int fd)
{
	int high;

	if (fd < 0 || fd > 2)
		return fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	close(fd);
	return high;
}

static int spawn(const char *path, const struct exec_cmd *cmd, const int fds[3], pid_t *pid)
{
	char *env[ENV_MAX], *argv[EXEC_ARGS_MAX + 1];
	posix_spawn_file_actions_t act;
	posix_spawnattr_t attr;
	sigset_t all, none;
	int rc;

	posix_spawn_file_actions_init(&act);
	for (int i = 0; i < 3; i++)
		posix_spawn_file_actions_adddup2(&act, fds[i], i);
	posix_spawn_file_actions_addclosefrom_np(&act, 3);
	posix_spawnattr_init(&attr);
	sigfillset(&all);
	sigemptyset(&none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	env_make(env);
	for (int i = 0; i <= EXEC_ARGS_MAX; i++)
		argv[i] = xstrdup(cmd->argv[i]);
	rc = posix_spawn(pid, path, &act, &attr, argv, env);
	for (int i = 0; i <= EXEC_ARGS_MAX; i++)
		free(argv[i]);
	env_free(env);
	posix_spawn_file_actions_destroy(&act);
	posix_spawnattr_destroy(&attr);
	return -rc;
}

static int watch(struct exec *x)
{
	int rc;

	x->pidfd = (int)syscall(SYS_pidfd_open, x->pid, 0);
	if (x->pidfd >= 0)
		return 0;
	rc = -errno;
	kill(x->pid, SIGKILL);
	waitpid(x->pid, NULL, 0);
	return rc;
}

/* in: what the child reads; consumed, also when it is -errno. */
static int child_start(struct exec *x, const struct exec_cmd *cmd, int in, struct err *e)
{
	int out[2] = { -1, -1 }, err[2] = { -1, -1 }, fds[3] = { -1, -1, -1 }, rc = 0;
	char path[512];

	if (!tool_find(cmd->argv[0], path, sizeof(path))) {
		closep(&in);
		return err_set(e, -ENOENT, "%s: no such program in PATH", cmd->argv[0]);
	}
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
		rc = -errno;
	fds[0] = above_2(in);
	fds[1] = out[1] = above_2(out[1]);
	fds[2] = err[1] = above_2(err[1]);
	if (!rc)
		rc = fds[0] < 0 ? fds[0] : spawn(path, cmd, fds, &x->pid);
	for (int i = 0; i < 3; i++)
		closep(&fds[i]);
	if (!rc)
		rc = watch(x);
	x->out.fd = out[0];
	x->err.fd = err[0];
	if (rc < 0)
		return err_set(e, rc, "%s: %s", cmd->argv[0], strerror(-rc));
	fcntl(x->out.fd, F_SETFL, O_NONBLOCK);
	fcntl(x->err.fd, F_SETFL, O_NONBLOCK);
	return 0;
}

static void exec_free(struct exec *x)
{
	struct event *evs[] = { x->out.ev, x->err.ev, x->ended, x->timer };

	for (size_t i = 0; i < ARRAY_SIZE(evs); i++)
		if (evs[i])
			event_free(evs[i]);
	closep(&x->pidfd);
	closep(&x->out.fd);
	closep(&x->err.fd);
	str_done(&x->out.text);
	str_done(&x->err.text);
	free(x);
}

/* ---- what it says, and its end ---- */

static void child_kill(struct exec *x, int code)
{
	if (!x->code)
		x->code = code;
	syscall(SYS_pidfd_send_signal, x->pidfd, SIGKILL, NULL, 0);
}

/* Read what there is. Of stderr the beginning is kept; too much on stdout ends the child. */
static void stream_read(struct stream *s)
{
	static char buf[READ_SIZE];
	ssize_t n;

	while ((n = read(s->fd, buf, sizeof(buf))) > 0) {
		size_t room = s->max - s->text.len, take = (size_t)n < room ? (size_t)n : room;

		str_addn(&s->text, buf, take);
		if (take < (size_t)n && s == &s->x->out)
			child_kill(s->x, -EFBIG);
	}
	if (n == 0 && s->ev)
		event_del(s->ev);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	stream_read(arg);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	child_kill(arg, -ETIMEDOUT);
}

static int exit_code(const struct exec *x, const siginfo_t *si)
{
	if (x->code)
		return x->code;
	return si->si_code == CLD_EXITED ? si->si_status : -EINTR;
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
	struct exec *x = arg;
	siginfo_t si = { 0 };
	struct exec_result r;

	if (waitid(P_PIDFD, (id_t)x->pidfd, &si, WEXITED) < 0 && errno == EINTR)
		return;
	stream_read(&x->out);
	stream_read(&x->err);
	r = (struct exec_result) { .code = exit_code(x, &si),
				   .out = str_text(&x->out.text),
				   .out_len = x->out.text.len,
				   .err = str_text(&x->err.text),
				   .ms = (unsigned)(now_ms() - x->start) };
	x->fn(x->arg, &r);
	exec_free(x);
}

/* ---- starting ---- */

static struct exec *exec_new(void)
{
	struct exec *x = xcalloc(1, sizeof(*x));

	x->pidfd = x->out.fd = x->err.fd = -1;
	x->out.x = x->err.x = x;
	x->out.max = EXEC_OUT_MAX;
	x->err.max = EXEC_ERR_MAX;
	return x;
}

/* From here on its time runs. */
static void listen_to(struct exec *x, struct event_base *base, unsigned timeout_ms, exec_fn fn,
		      void *arg)
{
	unsigned ms = timeout_ms ? timeout_ms : EXEC_TIMEOUT_MS;
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };

	x->start = now_ms();
	x->fn = fn;
	x->arg = arg;
	x->out.ev = event_new(base, x->out.fd, EV_READ | EV_PERSIST, on_readable, &x->out);
	x->err.ev = event_new(base, x->err.fd, EV_READ | EV_PERSIST, on_readable, &x->err);
	x->ended = event_new(base, x->pidfd, EV_READ | EV_PERSIST, on_end, x);
	x->timer = event_new(base, -1, 0, on_timer, x);
	event_add(x->out.ev, NULL);
	event_add(x->err.ev, NULL);
	event_add(x->ended, NULL);
	event_add(x->timer, &tv);
}

struct exec *exec_start(struct event_base *base, const struct exec_cmd *cmd, exec_fn fn, void *arg,
			struct err *e)
{
	struct exec *x = exec_new();

	if (child_start(x, cmd, input_fd(cmd), e) < 0) {
		exec_free(x);
		return NULL;
	}
	listen_to(x, base, cmd->timeout_ms, fn, arg);
	return x;
}

void exec_stop(struct exec *x)
{
	siginfo_t si;

	if (!x)
		return;
	child_kill(x, -ECANCELED);
	while (waitid(P_PIDFD, (id_t)x->pidfd, &si, WEXITED) < 0 && errno == EINTR)
		;
	exec_free(x);
}

pid_t exec_pid(const struct exec *x)
{
	return x->pid;
}

/* ---- ahead of need ---- */

struct exec_spare {
	struct exec *x;
	int in; /* what is sent here it reads; never blocks */
	const char *told;
	char *argv[EXEC_ARGS_MAX + 1];
};

/* Two ends with room for the longest input; fds[0] is the child's. */
static int input_pair(int fds[2])
{
	int size = EXEC_SPARE_IN_MAX * 2; /* the kernel counts what surrounds the bytes, too */

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	if (setsockopt(fds[1], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

struct exec_spare *exec_spare_new(const struct exec_cmd *cmd, struct err *e)
{
	struct exec_spare *s;
	int fds[2], rc = input_pair(fds);
	struct exec *x;

	if (rc < 0) {
		err_set(e, rc, "%s: %s", cmd->argv[0], strerror(-rc));
		return NULL;
	}
	x = exec_new();
	if (child_start(x, cmd, fds[0], e) < 0) {
		close(fds[1]);
		exec_free(x);
		return NULL;
	}
	s = xcalloc(1, sizeof(*s));
	*s = (struct exec_spare) { .x = x, .in = fds[1], .told = "" };
	for (int i = 0; i < EXEC_ARGS_MAX && cmd->argv[i]; i++)
		s->argv[i] = xstrdup(cmd->argv[i]);
	return s;
}

static void spare_done(struct exec_spare *s)
{
	closep(&s->in);
	for (int i = 0; s->argv[i]; i++)
		free(s->argv[i]);
	free(s);
}

void exec_spare_free(struct exec_spare *s)
{
	if (!s)
		return;
	exec_stop(s->x);
	spare_done(s);
}

pid_t exec_spare_pid(const struct exec_spare *s)
{
	return exec_pid(s->x);
}

bool exec_spare_ended(const struct exec_spare *s)
{
	struct pollfd p = { .fd = s->x->pidfd, .events = POLLIN };

	return poll(&p, 1, 0) != 0;
}

static bool tell(const struct exec_spare *s, const char *p, size_t n)
{
	return send(s->in, p, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n;
}

bool exec_spare_tell(struct exec_spare *s, const char *text)
{
	s->told = text;
	return tell(s, text, strlen(text));
}

bool exec_spare_told(const struct exec_spare *s)
{
	return *s->told;
}

bool exec_spare_fits(const struct exec_spare *s, const struct exec_cmd *cmd)
{
	size_t told = strlen(s->told);
	int i = 0;

	while (s->argv[i] && cmd->argv[i] && strcmp(s->argv[i], cmd->argv[i]) == 0)
		i++;
	return !s->argv[i] && !cmd->argv[i] && cmd->in_len > told &&
	       cmd->in_len <= EXEC_SPARE_IN_MAX && memcmp(cmd->in, s->told, told) == 0;
}

struct exec *exec_start_spare(struct event_base *base, struct exec_spare *s,
			      const struct exec_cmd *cmd, exec_fn fn, void *arg)
{
	size_t told = strlen(s->told);
	struct exec *x = s->x;

	/* Before the end of its input is to be seen, so that it never takes a part for the whole. */
	if (!tell(s, cmd->in + told, cmd->in_len - told)) {
		exec_spare_free(s);
		return NULL;
	}
	spare_done(s);
	listen_to(x, base, cmd->timeout_ms, fn, arg);
	return x;
}

int exec_run(const struct exec_cmd *cmd, exec_fn fn, void *arg, struct err *e)
{
	struct event_base *base = event_base_new();
	struct exec *x;

	if (!base)
		return err_set(e, -ENOMEM, "no event loop");
	x = exec_start(base, cmd, fn, arg, e);
	if (x)
		event_base_dispatch(base);
	event_base_free(base);
	return x ? 0 : -EIO;
}

static const char *code_words(int code)
{
	switch (code) {
	case -ETIMEDOUT:
		return "took too long and was stopped";
	case -EFBIG:
		return "printed too much and was stopped";
	case -EINTR:
		return "was killed";
	default:
		return "failed";
	}
}

void exec_words(const struct exec_cmd *cmd, const struct exec_result *r, char *out, size_t size)
{
	struct str s = { 0 };
	const char *gap = ": ", *before = gap;

	if (r->code < 0)
		str_addf(&s, "%s %s", cmd->argv[0], code_words(r->code));
	else
		str_addf(&s, "%s: exit code %d", cmd->argv[0], r->code);
	for (const char *p = r->err; *p; p++) {
		if (*p == '\n') {
			gap = before;
			continue;
		}
		if (gap)
			str_add(&s, gap);
		gap = NULL;
		before = "; ";
		str_addc(&s, (unsigned char)*p < ' ' || *p == 127 ? '?' : *p);
	}
	str_copy(out, size, str_text(&s));
	str_done(&s);
}
