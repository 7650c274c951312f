/* journal.c - calls that are still to be carried out
 *
 * SHAPE  scan -> list of names -> run the first -> its outcome -> next ... -> idle. inotify asks
 * for another scan; one that comes during a pass is remembered. TESTS  tests/unit/agent/cni/journal.c
 */
#include "agent/cni/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/log.h"
#include "lib/str.h"
#include "lib/vec.h"

struct journal {
	struct event_base *base;
	struct event *noticed, *later, *step;
	char *dir, *bad;
	int notify;
	journal_run_fn *run;
	journal_idle_fn *idle;
	void *arg;
	VEC(char *) names; /* of this pass */
	size_t at;
	bool passing, again;
	bool kept; /* an entry of our own is about to be noticed */
	unsigned waiting, retry_s;
};

static void names_clear(struct journal *j)
{
	vec_foreach (&j->names, name)
		free(*name);
	vec_clear(&j->names);
	j->at = 0;
}

static bool is_entry(const char *name)
{
	size_t n = strlen(name);

	return n > 5 && name[0] != '.' && !strcmp(name + n - 5, ".json");
}

static void retry_later(struct journal *j)
{
	const struct timeval tv = { .tv_sec = j->retry_s };

	evtimer_add(j->later, &tv);
	j->retry_s = j->retry_s * 2 > JOURNAL_RETRY_MAX_S ? JOURNAL_RETRY_MAX_S : j->retry_s * 2;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void scan(struct journal *j)
{
	DIR *d = opendir(j->dir);
	struct dirent *de;

	names_clear(j);
	while (d && (de = readdir(d)) && j->names.n < JOURNAL_PASS_MAX)
		if (is_entry(de->d_name))
			vec_push(&j->names, xstrdup(de->d_name));
	if (d)
		closedir(d);
	if (j->names.n)
		qsort(j->names.p, j->names.n, sizeof(*j->names.p), by_name);
}

static unsigned count_files(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* What cannot be understood is kept for a person, up to a number. */
static void put_aside(struct journal *j, const char *name, const char *why)
{
	CLEANUP(freep) char *from = xasprintf("%s/%s", j->dir, name);
	CLEANUP(freep) char *to = xasprintf("%s/%s", j->bad, name);
	bool kept = false;

	mkdir(j->bad, 0700);
	if (count_files(j->bad) < JOURNAL_BAD_MAX + 2)
		kept = rename(from, to) == 0;
	if (!kept)
		unlink(from);
	log_warn("cni",
		 kept ? "journal entry cannot be replayed, it was put aside"
		      : "journal entry cannot be replayed, it was deleted",
		 "file=%s why=%s", kept ? to : from, why);
}

/* Whole text of an entry; -E2BIG, -errno. */
static int entry_read(const char *path, struct str *out)
{
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	char buf[8192];
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		str_addn(out, buf, (size_t)n);
		if (out->len > CNI_LINE_MAX + 1)
			return -E2BIG;
	}
	return n < 0 ? -errno : 0;
}

static void pass_end(struct journal *j)
{
	j->passing = false;
	j->waiting = (unsigned)(j->names.n - j->at);
	if (j->waiting)
		retry_later(j);
	else
		j->retry_s = JOURNAL_RETRY_S;
	names_clear(j);
	if (j->again) {
		j->again = false;
		event_active(j->later, EV_TIMEOUT, 0);
	}
	if (j->idle) {
		journal_idle_fn *idle = TAKE(j->idle);

		idle(j->arg);
	}
}

/* The next entry from the loop: a thousand of them must not nest. */
static void step_soon(struct journal *j)
{
	event_active(j->step, EV_TIMEOUT, 0);
}

static void on_done(void *arg, const struct cni_error *f)
{
	struct journal *j = arg;
	const char *name = j->names.p[j->at];
	CLEANUP(freep) char *path = xasprintf("%s/%s", j->dir, name);

	/* Nothing will be better for the others now: the rest waits as well. */
	if (f && (f->code == CNI_AGAIN || f->code == CNI_IO)) {
		log_warn("cni", "journal waits, it is replayed later", "file=%s why=%s", name,
			 f->msg);
		pass_end(j);
		return;
	}
	if (f) {
		put_aside(j, name, f->msg);
	} else {
		unlink(path);
		log_info("cni", "journal entry was replayed", "file=%s", name);
	}
	j->at++;
	step_soon(j);
}

static void on_step(evutil_socket_t fd, short what, void *arg)
{
	struct journal *j = arg;
	CLEANUP(freep) char *path = NULL;
	struct str text = { 0 };
	int rc;

	if (j->at >= j->names.n) {
		pass_end(j);
		return;
	}
	path = xasprintf("%s/%s", j->dir, j->names.p[j->at]);
	rc = entry_read(path, &text);
	/* A note that its writer's end left empty: nothing had been done yet. */
	if (rc == 0 && !text.len && j->notify < 0) {
		unlink(path);
		rc = -ENOENT;
	}
	if (rc == 0) {
		j->run(j->arg, str_text(&text), text.len, on_done, j);
		str_done(&text);
		return;
	}
	str_done(&text);
	if (rc != -ENOENT)
		put_aside(j, j->names.p[j->at],
			  rc == -E2BIG ? "longer than 256 KiB" : strerror(-rc));
	j->at++;
	step_soon(j);
}

static void pass(struct journal *j)
{
	if (j->passing) {
		j->again = true;
		return;
	}
	j->passing = true;
	scan(j);
	step_soon(j);
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
	pass(arg);
}

/* What came is found by looking; only that something came matters. */
static void drain(const struct journal *j)
{
	char buf[4096];

	while (read(j->notify, buf, sizeof(buf)) > 0)
		;
}

static void on_noticed(evutil_socket_t fd, short what, void *arg)
{
	struct journal *j = arg;

	drain(j);
	/* What we kept ourselves could not be done a moment ago. */
	if (j->kept)
		retry_later(j);
	else
		pass(j);
	j->kept = false;
}

/* Without inotify entries wait for the next start: worse, not wrong. */
static void watch(struct journal *j)
{
	j->notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (j->notify < 0 || inotify_add_watch(j->notify, j->dir, IN_CLOSE_WRITE | IN_MOVED_TO) < 0)
		log_warn("cni", "journal cannot be watched, it is read only at start",
			 "dir=%s why=%s", j->dir, strerror(errno));
}

int journal_new(struct journal **out, struct event_base *base, const char *dir, bool watched,
		journal_run_fn *run, void *arg, struct err *e)
{
	struct journal *j = xcalloc(1, sizeof(*j));

	*j = (struct journal) {
		.base = base, .run = run, .arg = arg, .retry_s = JOURNAL_RETRY_S, .notify = -1
	};
	j->dir = xstrdup(dir);
	j->bad = xasprintf("%s/bad", j->dir);
	j->later = evtimer_new(base, on_later, j);
	j->step = evtimer_new(base, on_step, j);
	if (mkdir(j->dir, 0700) < 0 && errno != EEXIST) {
		int rc = err_set(e, -errno, "%s: %s", j->dir, strerror(errno));

		journal_free(j);
		return rc;
	}
	if (watched)
		watch(j);
	*out = j;
	return 0;
}

void journal_start(struct journal *j, journal_idle_fn *idle)
{
	j->idle = idle;
	if (j->notify >= 0 && !j->noticed) {
		drain(j); /* the first pass sees it anyway */
		j->noticed = event_new(j->base, j->notify, EV_READ | EV_PERSIST, on_noticed, j);
		event_add(j->noticed, NULL);
	}
	pass(j);
}

void journal_free(struct journal *j)
{
	if (!j)
		return;
	if (j->noticed)
		event_free(j->noticed);
	event_free(j->later);
	event_free(j->step);
	if (j->notify >= 0)
		close(j->notify);
	names_clear(j);
	vec_done(&j->names);
	free(j->dir);
	free(j->bad);
	free(j);
}

static char *entry_path(const struct journal *j, const char *container_id, const char *ifname)
{
	return xasprintf("%s/%s-%s.json", j->dir, container_id, ifname);
}

/* 0, or -errno with words. */
static int entry_write(const char *path, const char *line, bool sync, struct err *e)
{
	CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t len = strlen(line);
	ssize_t n;

	if (fd < 0)
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	n = write(fd, line, len);
	if (n >= 0 && (size_t)n < len)
		return err_set(e, -ENOSPC, "%s: %s", path, strerror(ENOSPC));
	if (n < 0 || (sync && fdatasync(fd) < 0))
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	return 0;
}

int journal_keep(struct journal *j, const char *container_id, const char *ifname, const char *line,
		 struct err *e)
{
	CLEANUP(freep) char *path = entry_path(j, container_id, ifname);
	CLEANUP(freep) char *temp = xasprintf("%s/.%s-%s.new", j->dir, container_id, ifname);
	int rc = entry_write(temp, line, true, e);

	if (!rc && rename(temp, path) < 0)
		rc = err_set(e, -errno, "%s: %s", path, strerror(errno));
	if (rc < 0)
		unlink(temp);
	else
		j->kept = true;
	return rc;
}

int journal_note(struct journal *j, const char *container_id, const char *ifname, const char *line,
		 struct err *e)
{
	CLEANUP(freep) char *path = entry_path(j, container_id, ifname);
	int rc = entry_write(path, line, false, e);

	if (rc < 0)
		unlink(path);
	return rc;
}

void journal_drop(struct journal *j, const char *container_id, const char *ifname)
{
	CLEANUP(freep) char *path = entry_path(j, container_id, ifname);

	unlink(path);
}

bool journal_hurry(struct journal *j, const char *container_id, const char *ifname)
{
	CLEANUP(freep) char *path = entry_path(j, container_id, ifname);

	if (access(path, F_OK) < 0)
		return false;
	j->retry_s = JOURNAL_RETRY_S;
	event_active(j->later, EV_TIMEOUT, 0);
	return true;
}

unsigned journal_waiting(const struct journal *j)
{
	return j->waiting;
}
