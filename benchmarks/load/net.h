// One client connection: plain TCP, or TLS when built with -DWITH_TLS.
#ifndef NET_H
#define NET_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct link {
    int fd;
    void *tls;  // SSL *, NULL on plain TCP
};

// Print a message and end the process: a benchmark has no use for a run that went wrong.
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
// Monotonic clock, seconds.
double now(void);
// Connect (blocking) with TCP_NODELAY; `tls` adds a TLS handshake without verifying the certificate.
struct link link_open(const char *host, int port, bool tls);
void link_nonblocking(struct link *link);
// Bytes read; 0 at the end of the stream; -1 when nothing is there yet (non-blocking links only).
ssize_t link_read(struct link *link, void *buffer, size_t size);
// Bytes written, perhaps fewer than `size`; -1 when the socket's buffer is full (non-blocking links only).
ssize_t link_write(struct link *link, const void *buffer, size_t size);
// Write everything on a blocking link.
void link_write_all(struct link *link, const void *buffer, size_t size);
// Read the head of a 101 into `buffer`, with what came behind it, and end it with a zero; returns the length of the
// head, and in `got` the length of everything.
size_t link_read_101(struct link *link, char *buffer, size_t size, size_t *got);
void link_close(struct link *link);
#endif
