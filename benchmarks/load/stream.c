#include "modes.h"
#include "timing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { READ_SIZE = 1 << 20, EVENTS = 256 };

struct connection {
    struct link link;
    size_t sent, got;  // bytes of the current chunk that went out, and that came back
    double when;       // when the chunk was begun
};

static void upgrade(struct link *link, const struct options *options) {
    char request[512], answer[4096];
    int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n",
                          options->path, options->host, options->port);
    link_write_all(link, request, (size_t)length);
    size_t got;
    if (link_read_101(link, answer, sizeof answer, &got) != got) die("bytes after the 101 before anything was sent");
}

// Send what fits of the chunk; epoll watches for room while something is left.
static void flush(struct connection *c, const unsigned char *chunk, size_t size, int epoll) {
    size_t before = c->sent;
    while (c->sent < size) {
        ssize_t n = link_write(&c->link, chunk + c->sent, size - c->sent);
        if (n < 0) break;
        c->sent += (size_t)n;
    }
    if (before && c->sent == before) return;
    struct epoll_event event = {.events = EPOLLIN | (c->sent < size ? EPOLLOUT : 0), .data.ptr = c};
    if (c->sent < size || before) epoll_ctl(epoll, EPOLL_CTL_MOD, c->link.fd, &event);
}

void run_stream(const struct options *options) {
    size_t size = options->segment;
    unsigned char *chunk = malloc(size), *buffer = malloc(READ_SIZE);
    for (size_t i = 0; i < size; i++) chunk[i] = (unsigned char)(i * 31 + i / 251);
    struct connection *connections = calloc((size_t)options->connections, sizeof *connections);
    int epoll = epoll_create1(0);
    for (int i = 0; i < options->connections; i++) {
        struct connection *c = &connections[i];
        c->link = link_open(options->host, options->port, options->tls);
        upgrade(&c->link, options);
        link_nonblocking(&c->link);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(epoll, EPOLL_CTL_ADD, c->link.fd, &event);
    }
    struct timing timing = timing_start(options->warmup, options->seconds);
    for (int i = 0; i < options->connections; i++) {
        connections[i].when = now();
        flush(&connections[i], chunk, size, epoll);
    }
    struct epoll_event events[EVENTS];
    while (now() < timing.until) {
        int ready = epoll_wait(epoll, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            ssize_t n = events[i].events & ~(unsigned)EPOLLOUT ? link_read(&c->link, buffer, READ_SIZE) : -1;
            if (n == 0) die("the server closed a connection");
            if (n > 0) {
                if (c->got + (size_t)n > c->sent || memcmp(buffer, chunk + c->got, (size_t)n)) die("the echo differs");
                c->got += (size_t)n;
                if (c->got == size) {
                    double when = now();
                    timing_add(&timing, c->when, when);
                    c->sent = c->got = 0;
                    c->when = when;
                }
            }
            if (c->sent < size) flush(c, chunk, size, epoll);
        }
    }
    timing_report(&timing);
}
