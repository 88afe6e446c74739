#include "net.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
#endif

void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

#ifdef WITH_TLS
static void *tls_connect(int fd) {
    static SSL_CTX *context;
    if (!context) {
        context = SSL_CTX_new(TLS_client_method());
        // A full socket may take part of a buffer, and the rest is offered again from another address.
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
    SSL *tls = SSL_new(context);
    SSL_set_fd(tls, fd);
    if (SSL_connect(tls) != 1) die("TLS handshake failed");
    return tls;
}

static ssize_t tls_result(SSL *tls, int result) {
    switch (SSL_get_error(tls, result)) {
    case SSL_ERROR_NONE: return result;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return -1;
    default: die("TLS error");
    }
}
#else
static void *tls_connect(int fd) {
    (void)fd;
    die("built without TLS");
}
#endif

struct link link_open(const char *host, int port, bool tls) {
    struct link link = {.fd = socket(AF_INET, SOCK_STREAM, 0)};
    if (link.fd < 0) die("socket: %s", strerror(errno));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) die("not an IPv4 address: %s", host);
    int on = 1;
    setsockopt(link.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(link.fd, (void *)&address, sizeof address)) die("connect: %s", strerror(errno));
    if (tls) link.tls = tls_connect(link.fd);
    return link;
}

void link_nonblocking(struct link *link) {
    fcntl(link->fd, F_SETFL, O_NONBLOCK);
}

ssize_t link_read(struct link *link, void *buffer, size_t size) {
#ifdef WITH_TLS
    if (link->tls) return tls_result(link->tls, SSL_read(link->tls, buffer, (int)size));
#endif
    ssize_t n = read(link->fd, buffer, size);
    if (n < 0 && errno != EAGAIN) die("read: %s", strerror(errno));
    return n;
}

ssize_t link_write(struct link *link, const void *buffer, size_t size) {
#ifdef WITH_TLS
    if (link->tls) return tls_result(link->tls, SSL_write(link->tls, buffer, (int)size));
#endif
    ssize_t n = send(link->fd, buffer, size, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) die("write: %s", strerror(errno));
    return n;
}

void link_write_all(struct link *link, const void *buffer, size_t size) {
    const char *at = buffer;
    while (size) {
        ssize_t n = link_write(link, at, size);
        if (n < 0) die("write_all on a non-blocking link");
        at += n;
        size -= (size_t)n;
    }
}

size_t link_read_101(struct link *link, char *buffer, size_t size, size_t *got) {
    const char *end;
    *got = 0;
    do {
        ssize_t n = link_read(link, buffer + *got, size - 1 - *got);
        if (n <= 0) die("the server closed the connection instead of switching it");
        *got += (size_t)n;
        buffer[*got] = 0;
        end = strstr(buffer, "\r\n\r\n");
    } while (!end);
    if (strncmp(buffer, "HTTP/1.1 101", 12)) die("not a 101: %.60s", buffer);
    return (size_t)(end + 4 - buffer);
}

void link_close(struct link *link) {
#ifdef WITH_TLS
    if (link->tls) SSL_free(link->tls);
#endif
    close(link->fd);
}
