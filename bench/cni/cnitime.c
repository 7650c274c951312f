/* cnitime.c - run CNI plugins as a runtime does and say how long each took
 *
 * SHAPE  A line of standard input is BINARY VERB CONTAINERID NETNS IFNAME ARGS CONFIGFILE, separated by
 *        tabs; the answer is a line MICROSECONDS STATUS. The clock runs from before the process is
 *        made to after it has ended, as a runtime sees it.
 * WHY    In C, because the start of a process from Python costs as much as a plugin. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = 7 };

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int split(char *line, char *word[WORDS])
{
	int n = 0;

	line[strcspn(line, "\n")] = 0;
	for (char *w; n < WORDS && (w = strsep(&line, "\t"));)
		word[n++] = w;
	return n;
}

static pid_t start(char *const word[WORDS], posix_spawn_file_actions_t *files)
{
	static const char *const keys[] = { "CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME",
					    "CNI_ARGS" };
	static char text[8][1024];
	char *env[9] = { 0 }, *argv[2] = { word[0], NULL };
	pid_t pid;
	int rc;

	for (int i = 0; i < 5; i++) {
		snprintf(text[i], sizeof(text[i]), "%s=%s", keys[i], word[i + 1]);
		env[i] = text[i];
	}
	snprintf(text[5], sizeof(text[5]), "CNI_PATH=%s", getenv("CNI_PATH"));
	snprintf(text[6], sizeof(text[6]), "PATH=%s", getenv("PATH"));
	env[5] = text[5];
	env[6] = text[6];
	rc = posix_spawn(&pid, word[0], files, NULL, argv, env);
	if (rc) {
		fprintf(stderr, "cnitime: %s: %s\n", word[0], strerror(rc));
		exit(1);
	}
	return pid;
}

static void run(char *const word[WORDS], const char *out)
{
	posix_spawn_file_actions_t files;
	double begin;
	int status;
	pid_t pid;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, word[6], O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	begin = now_us();
	pid = start(word, &files);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	printf("%.0f %d\n", now_us() - begin, WIFEXITED(status) ? WEXITSTATUS(status) : 128);
	fflush(stdout);
	posix_spawn_file_actions_destroy(&files);
}

int main(int argc, char **argv)
{
	char *word[WORDS], *line = NULL;
	size_t size = 0;

	if (argc != 2) {
		fprintf(stderr, "usage: CNI_PATH=... cnitime OUTPUTFILE < requests\n");
		return 2;
	}
	while (getline(&line, &size, stdin) > 0) {
		if (split(line, word) != WORDS) {
			fprintf(stderr, "cnitime: a request has %d words, tabs between\n", WORDS);
			return 2;
		}
		run(word, argv[1]);
	}
	free(line);
	return 0;
}
