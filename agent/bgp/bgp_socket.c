/* bgp_socket.c - TCP sockets as BGP wants them
 * SPEC   RFC 2385, RFC 5082; precedence "internetwork control" (CS6) as RFC 4271's appendix
 *        asks. */
#include "agent/bgp/bgp_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/tcp.h>

enum {
	TOS_CS6 = 0xc0,
	BACKLOG = 128, /* a whole mesh dials at once after a power cut */
};

static int fail(int fd, const char *what, struct err *e)
{
	int code = -errno;

	if (fd >= 0)
		close(fd);
	return err_set(e, code, "%s: %s", what, strerror(-code));
}

static void set_int(int fd, int level, int name, int value)
{
	/* None of these options is worth failing a session for; the ones that are have setters of
	 * their own. */
	if (setsockopt(fd, level, name, &value, sizeof(value)) < 0)
		return;
}

static int set_ttl(int fd, enum ip_family family, int ttl, int min_ttl)
{
	int level = family == IP_V6 ? IPPROTO_IPV6 : IPPROTO_IP;

	if (setsockopt(fd, level, family == IP_V6 ? IPV6_UNICAST_HOPS : IP_TTL, &ttl, sizeof(ttl)) <
	    0)
		return -errno;
	if (min_ttl && setsockopt(fd, level, family == IP_V6 ? IPV6_MINHOPCOUNT : IP_MINTTL,
				  &min_ttl, sizeof(min_ttl)) < 0)
		return -errno;
	return 0;
}

static int peer_ttl(int fd, const struct bgp_peer_config *peer, struct err *e)
{
	int rc = peer->ttl_security ? set_ttl(fd, (enum ip_family)peer->addr.family, 255,
					      256 - peer->ttl_security)
				    : set_ttl(fd, (enum ip_family)peer->addr.family, BGP_TTL, 0);

	if (rc < 0)
		return err_set(e, rc, "cannot set the TTL: %s", strerror(-rc));
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (peer->addr.family == IP_V6)
		set_int(fd, IPPROTO_IPV6, IPV6_TCLASS, TOS_CS6);
	else
		set_int(fd, IPPROTO_IP, IP_TOS, TOS_CS6);
	return 0;
}

static int set_key(int fd, const struct prefix *from, const char *password, struct err *e)
{
	struct tcp_md5sig sig = { .tcpm_flags = TCP_MD5SIG_FLAG_PREFIX,
				  .tcpm_prefixlen = from->len };
	struct sockaddr_storage ss;
	size_t len = strlen(password);
	int rc;

	if (len > sizeof(sig.tcpm_key))
		return err_set(e, -EINVAL, "the password has %zu bytes, TCP MD5 takes at most %zu",
			       len, sizeof(sig.tcpm_key));
	addr_to_sockaddr(&from->addr, 0, &ss);
	memcpy(&sig.tcpm_addr, &ss, sizeof(sig.tcpm_addr));
	sig.tcpm_keylen = (uint16_t)len;
	memcpy(sig.tcpm_key, password, len);
	rc = setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG_EXT, &sig, sizeof(sig)) < 0 ? -errno : 0;
	explicit_bzero(sig.tcpm_key, sizeof(sig.tcpm_key));
	/* Removing what was never there. */
	if (rc == 0 || (!len && rc == -ENOENT))
		return 0;
	return err_set(e, rc, "cannot set the TCP MD5 password: %s%s", strerror(-rc),
		       rc == -ENOMEM ? "; raise net.core.optmem_max" : "");
}

/* The key of one connection. */
static int set_own_key(int fd, const struct addr *remote, const char *password, struct err *e)
{
	struct prefix p = prefix_of(remote, addr_bits((enum ip_family)remote->family));

	return set_key(fd, &p, password, e);
}

static int new_socket(enum ip_family family)
{
	return socket(family == IP_V6 ? AF_INET6 : AF_INET,
		      SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
}

static int bind_source(int fd, const struct addr *source)
{
	struct sockaddr_storage ss;
	unsigned len = addr_to_sockaddr(source, 0, &ss);

	return len ? bind(fd, (struct sockaddr *)&ss, len) : 0;
}

int bgp_socket_dial(const struct bgp_peer_config *peer, struct err *e)
{
	struct sockaddr_storage to;
	unsigned len = addr_to_sockaddr(&peer->addr, peer->port, &to);
	int fd = new_socket((enum ip_family)peer->addr.family), rc;
	char text[ADDR_STR_MAX];

	if (fd < 0)
		return fail(fd, "cannot make a socket", e);
	if (peer->ifindex)
		((struct sockaddr_in6 *)&to)->sin6_scope_id = peer->ifindex;
	rc = peer_ttl(fd, peer, e);
	if (rc == 0 && peer->password[0])
		rc = set_own_key(fd, &peer->addr, peer->password, e);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	if (bind_source(fd, &peer->source) < 0) {
		rc = fail(fd, "cannot dial from", e);
		return err_wrap(e, "source %s", addr_format(&peer->source, text));
	}
	if (connect(fd, (struct sockaddr *)&to, len) < 0 && errno != EINPROGRESS)
		return fail(fd, "cannot connect", e);
	return fd;
}

int bgp_socket_result(int fd)
{
	int code = 0;
	socklen_t len = sizeof(code);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0)
		return -errno;
	return -code;
}

int bgp_socket_listen(const struct addr *addr, uint16_t port, struct err *e)
{
	struct sockaddr_storage ss;
	unsigned len = addr_to_sockaddr(addr, port, &ss);
	int fd = new_socket((enum ip_family)addr->family);
	char text[ADDR_STR_MAX];

	if (fd < 0)
		return fail(fd, "cannot make a socket", e);
	set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (addr->family == IP_V6)
		set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (bind(fd, (struct sockaddr *)&ss, len) < 0 || listen(fd, BACKLOG) < 0) {
		fail(fd, "cannot listen", e);
		return err_wrap(e, "BGP port %u on %s", port, addr_format(addr, text));
	}
	return fd;
}

int bgp_socket_listen_key(int listener, const struct prefix *from, const char *password,
			  struct err *e)
{
	return set_key(listener, from, password, e);
}

int bgp_socket_change_key(int fd, const struct addr *remote, const char *password, struct err *e)
{
	return set_own_key(fd, remote, password, e);
}

uint32_t bgp_socket_link(const struct sockaddr_storage *ss, const struct addr *remote)
{
	if (ss->ss_family != AF_INET6 || !addr_is_link_local(remote))
		return 0;
	return ((const struct sockaddr_in6 *)ss)->sin6_scope_id;
}

void bgp_socket_listen_ttl(int listener, enum ip_family family, bool security)
{
	set_ttl(listener, family, security ? 255 : BGP_TTL, 0);
}

int bgp_socket_accepted(int fd, const struct bgp_peer_config *peer, struct err *e)
{
	return peer_ttl(fd, peer, e);
}

struct addr bgp_socket_local(int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct addr a = { .family = IP_NONE };

	if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
		addr_from_sockaddr((struct sockaddr *)&ss, &a, NULL);
	return a;
}
