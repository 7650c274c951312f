/* flow.c - one TCP connection: how many bytes a second, how many requests a second
 *
 *	flow take ADDRESS PORT			serves connections until it is killed; says "ready"
 *	flow stream ADDRESS PORT SECONDS	prints bytes a second that the other end took
 *	flow ask ADDRESS PORT SECONDS		prints microseconds of a request's round trip, p50
 *
 * The first byte of a connection says which: 's' is followed by bytes that are counted and answered
 * with their count when the sender shuts down, 'a' by single bytes that each come back. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 1 << 17, ASKS_MAX = 1 << 20 };

static char chunk[CHUNK];
static float asked[ASKS_MAX];

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct sockaddr_in address(char **arg)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((unsigned short)atoi(arg[1])) };

	if (inet_pton(AF_INET, arg[0], &a.sin_addr) != 1)
		die(arg[0]);
	return a;
}

static void no_delay(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void serve(int fd)
{
	unsigned long long count = 0;
	ssize_t n;
	char what;

	no_delay(fd);
	if (read(fd, &what, 1) == 1 && what == 'a')
		while ((n = read(fd, chunk, 1)) == 1 && write(fd, chunk, 1) == 1)
			;
	else
		while ((n = read(fd, chunk, sizeof(chunk))) > 0)
			count += (unsigned long long)n;
	if (write(fd, &count, sizeof(count)) < 0)
		perror("answer");
	close(fd);
}

static void take(char **arg)
{
	struct sockaddr_in a = address(arg);
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 8) < 0)
		die("listen");
	puts("ready");
	fflush(stdout);
	for (int c; (c = accept(fd, NULL, NULL)) >= 0;)
		serve(c);
}

static int dial(char **arg, char what)
{
	struct sockaddr_in a = address(arg);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die("connect");
	no_delay(fd);
	if (write(fd, &what, 1) != 1)
		die("write");
	return fd;
}

static void stream(char **arg)
{
	unsigned long long count = 0;
	int fd = dial(arg, 's');
	double start = now_us(), end = start + atof(arg[2]) * 1e6;

	while (now_us() < end)
		if (write(fd, chunk, sizeof(chunk)) < 0)
			die("write");
	shutdown(fd, SHUT_WR);
	if (read(fd, &count, sizeof(count)) != sizeof(count))
		die("answer");
	printf("%.0f\n", (double)count / (now_us() - start) * 1e6);
}

static int by_size(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static void ask(char **arg)
{
	int fd = dial(arg, 'a');
	double end = now_us() + atof(arg[2]) * 1e6;
	size_t n = 0;
	char c = 0;

	for (double t; (t = now_us()) < end && n < ASKS_MAX; n++) {
		if (write(fd, &c, 1) != 1 || read(fd, &c, 1) != 1)
			die("ask");
		asked[n] = (float)(now_us() - t);
	}
	qsort(asked, n, sizeof(*asked), by_size);
	printf("%.2f\n", (double)asked[n / 2]);
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "take")) {
		take(argv + 2);
	} else if (argc == 5 && !strcmp(argv[1], "stream")) {
		stream(argv + 2);
	} else if (argc == 5 && !strcmp(argv[1], "ask")) {
		ask(argv + 2);
	} else {
		fprintf(stderr, "usage: see the head of flow.c\n");
		return 2;
	}
	return 0;
}
