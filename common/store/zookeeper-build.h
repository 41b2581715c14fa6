/*
 * Included before every source when the npm package zookeeper is compiled (lab/bootstrap.mjs): -include with this file, in CPPFLAGS.
 *
 * Its C library resolves its hosts before each request and after each reply (zookeeper.c, update_addrs; the delay that would spare that,
 * zoo_set_servers_resolution_delay, is not offered by the binding). With AI_ADDRCONFIG the C library of the system asks the kernel for the
 * machine's addresses every time, by a new netlink socket. Without it a numeric address, as the configuration should have, costs no system
 * call. Without these lines the mirror loads at about one and a half times the cost.
 */
#include <netdb.h>
#undef AI_ADDRCONFIG

/*
 * The library's sockets are not passed on to child processes: one that lives on, such as a monitor or a server, would keep a lost connection
 * in the parent's epoll set, where it hides the next connection that gets the same number (epoll(7), "Questions and answers", 6).
 */
#ifdef __linux__
#include <sys/socket.h>
#define socket(domain, type, protocol) socket((domain), (type) | SOCK_CLOEXEC, (protocol))
#endif
