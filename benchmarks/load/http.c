#define _GNU_SOURCE  // strcasestr
#include "modes.h"
#include "timing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { ANSWER_SIZE = 1 << 14, EVENTS = 256 };

struct connection {
    struct link link;
    double sent;
    size_t got;
    char answer[ANSWER_SIZE];
};

// Whether the answer has arrived whole; dies unless it is a 200 with a Content-Length.
static bool complete(const struct connection *c) {
    const char *end = strstr(c->answer, "\r\n\r\n");
    if (!end) return false;
    if (strncmp(c->answer, "HTTP/1.1 200", 12)) die("not a 200: %.60s", c->answer);
    const char *length = strcasestr(c->answer, "\r\ncontent-length:");
    if (!length || length > end) die("an answer without Content-Length");
    return c->got >= (size_t)(end + 4 - c->answer) + strtoul(length + 17, NULL, 10);
}

void run_http(const struct options *options) {
    char request[512];
    size_t length = (size_t)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s:%d\r\nAccept: */*\r\n\r\n", options->path,
                                     options->host, options->port);
    struct connection *connections = calloc((size_t)options->connections, sizeof *connections);
    int epoll = epoll_create1(0);
    struct timing timing = timing_start(options->warmup, options->seconds);
    for (int i = 0; i < options->connections; i++) {
        struct connection *c = &connections[i];
        c->link = link_open(options->host, options->port, options->tls);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(epoll, EPOLL_CTL_ADD, c->link.fd, &event);
        c->sent = now();
        link_write_all(&c->link, request, length);
    }
    struct epoll_event events[EVENTS];
    while (now() < timing.until) {
        int ready = epoll_wait(epoll, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            ssize_t n = link_read(&c->link, c->answer + c->got, sizeof c->answer - 1 - c->got);
            if (n <= 0) die("the server closed a connection");
            c->got += (size_t)n;
            c->answer[c->got] = 0;
            if (!complete(c)) continue;
            double when = now();
            timing_add(&timing, c->sent, when);
            c->got = 0;
            c->sent = when;
            link_write_all(&c->link, request, length);
        }
    }
    timing_report(&timing);
}
