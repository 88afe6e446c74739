#include "modes.h"
#include "timing.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

// Requests with HTTP/2 frames made by hand: fields without compression, so that all requests are alike but for their stream.
enum { READ_SIZE = 1 << 18, EVENTS = 256, SLOTS = 4096, FRAME_HEADER = 9, REQUEST_SIZE = 512 };
enum { DATA, HEADERS, RST_STREAM = 3, SETTINGS, PING = 6, GOAWAY };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8 };

struct connection {
    struct link link;
    uint32_t next;       // the stream that is opened next
    size_t got;          // bytes in `buffer`
    double sent[SLOTS];  // when a stream was opened, by half its number
    unsigned char *buffer;
};

static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                              "\0\0\6\4\0\0\0\0\0\0\4\x7f\xff\xff\xff"     // SETTINGS: streams may be long
                              "\0\0\4\x8\0\0\0\0\0\x7f\xfe\xff\xff";       // WINDOW_UPDATE: and so may be all of them
static unsigned char request[REQUEST_SIZE];
static size_t request_length;

static void put_literal(unsigned char name, const char *value) {
    size_t length = strlen(value);
    if (length > 120) die("too long: %s", value);
    request[request_length++] = name;
    request[request_length++] = (unsigned char)length;
    memcpy(request + request_length, value, length);
    request_length += length;
}

static void prepare(const struct options *options) {
    char authority[120];
    snprintf(authority, sizeof authority, "%s:%d", options->host, options->port);
    request_length = FRAME_HEADER;
    request[request_length++] = 0x82;  // :method GET
    request[request_length++] = 0x86;  // :scheme http
    put_literal(0x04, options->path);  // :path
    put_literal(0x01, authority);      // :authority
    request[2] = (unsigned char)(request_length - FRAME_HEADER);
    request[3] = HEADERS;
    request[4] = END_STREAM | END_HEADERS;
}

static void ask(struct connection *c) {
    for (int i = 0; i < 4; i++) request[5 + i] = (unsigned char)(c->next >> (24 - 8 * i));
    c->sent[c->next / 2 % SLOTS] = now();
    c->next += 2;
    link_write_all(&c->link, request, request_length);
}

static void upgrade(struct connection *c, const struct options *options) {
    char head[1024];
    int length = snprintf(head, sizeof head,
                          "GET %s HTTP/1.1\r\nHost: %s:%d\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                          "HTTP2-Settings: AAQA____\r\n\r\n",
                          options->path, options->host, options->port);
    link_write_all(&c->link, head, (size_t)length);
    c->sent[0] = now();
    c->next = 3;
    size_t used = link_read_101(&c->link, (char *)c->buffer, READ_SIZE, &c->got);
    c->got -= used;
    memmove(c->buffer, c->buffer + used, c->got);
    link_write_all(&c->link, PREFACE, sizeof PREFACE - 1);
}

// Take one frame; returns whether it ends an answer.
static bool take(struct connection *c, unsigned char *frame, size_t size) {
    unsigned char kind = frame[3], flags = frame[4];
    if (kind == GOAWAY || kind == RST_STREAM) die("the server gave up: frame of type %d", kind);
    if ((kind == SETTINGS || kind == PING) && !(flags & ACK)) {
        unsigned char answer[FRAME_HEADER + 8];
        memcpy(answer, frame, FRAME_HEADER + (kind == PING ? 8 : 0));
        answer[2] = kind == PING ? 8 : 0;
        answer[4] = ACK;
        link_write_all(&c->link, answer, FRAME_HEADER + answer[2]);
    }
    if (kind == HEADERS) {
        size_t at = FRAME_HEADER;
        while (at < FRAME_HEADER + size && (frame[at] & 0xe0) == 0x20) at++;  // the table's size changes
        if (frame[at] != 0x88) die("not a 200");
    }
    return (kind == DATA || kind == HEADERS) && flags & END_STREAM;
}

static void receive(struct connection *c, struct timing *timing) {
    size_t at = 0;
    while (c->got - at >= FRAME_HEADER) {
        unsigned char *frame = c->buffer + at;
        size_t size = (size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2];
        if (size > READ_SIZE / 2) die("a frame of %zu bytes", size);
        if (c->got - at < FRAME_HEADER + size) break;
        if (take(c, frame, size)) {
            uint32_t stream = (uint32_t)frame[5] << 24 | (uint32_t)frame[6] << 16 | (uint32_t)frame[7] << 8 | frame[8];
            timing_add(timing, c->sent[stream / 2 % SLOTS], now());
            ask(c);
        }
        at += FRAME_HEADER + size;
    }
    c->got -= at;
    memmove(c->buffer, c->buffer + at, c->got);
}

void run_h2c(const struct options *options) {
    prepare(options);
    struct connection *connections = calloc((size_t)options->connections, sizeof *connections);
    int epoll = epoll_create1(0);
    struct timing timing = timing_start(options->warmup, options->seconds);
    for (int i = 0; i < options->connections; i++) {
        struct connection *c = &connections[i];
        c->buffer = malloc(READ_SIZE);
        c->link = link_open(options->host, options->port, options->tls);
        upgrade(c, options);
        for (int started = 1; started < options->depth; started++) ask(c);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(epoll, EPOLL_CTL_ADD, c->link.fd, &event);
        receive(c, &timing);
    }
    struct epoll_event events[EVENTS];
    while (now() < timing.until) {
        int ready = epoll_wait(epoll, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            ssize_t n = link_read(&c->link, c->buffer + c->got, READ_SIZE - 1 - c->got);
            if (n <= 0) die("the server closed a connection");
            c->got += (size_t)n;
            receive(c, &timing);
        }
    }
    timing_report(&timing);
}
