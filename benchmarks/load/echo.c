#include "modes.h"
#include "timing.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

enum { READ_SIZE = 1 << 20, EVENTS = 256 };

struct connection {
    struct link link;
    struct replies replies;
    size_t next;         // index in the script of the next message to queue
    size_t at, owed;     // offset in the script's wire of the next byte to write, and bytes queued from there
    double *sent;        // when each message in flight was queued: a ring of `depth`
    int newest, oldest;  // where the ring is written and read
    bool blocked;        // epoll watches for room to write
};

static void queue_messages(struct connection *c, const struct script *script, int depth, size_t count) {
    double when = now();
    for (size_t i = 0; i < count; i++) {
        c->owed += script->start[c->next + 1] - script->start[c->next];
        c->next = (c->next + 1) % script->count;
        c->sent[c->newest] = when;
        c->newest = (c->newest + 1) % depth;
    }
}

static void flush(struct connection *c, const struct script *script, size_t segment, int epoll) {
    bool blocked = false;
    while (c->owed && !blocked) {
        size_t n = script->length - c->at;
        if (n > c->owed) n = c->owed;
        if (segment && n > segment) n = segment;
        ssize_t written = link_write(&c->link, script->wire + c->at, n);
        if (written < 0) {
            blocked = true;
        } else {
            c->at = (c->at + (size_t)written) % script->length;
            c->owed -= (size_t)written;
        }
    }
    if (blocked != c->blocked) {
        c->blocked = blocked;
        struct epoll_event event = {.events = EPOLLIN | (blocked ? EPOLLOUT : 0), .data.ptr = c};
        epoll_ctl(epoll, EPOLL_CTL_MOD, c->link.fd, &event);
    }
}

void run_echo(const struct options *options) {
    struct script script = script_load(options->frames);
    FILE *record = options->record ? fopen(options->record, "wb") : NULL;
    struct connection *connections = calloc((size_t)options->connections, sizeof *connections);
    unsigned char *buffer = malloc(READ_SIZE);
    int epoll = epoll_create1(0);
    for (int i = 0; i < options->connections; i++) {
        struct connection *c = &connections[i];
        c->link = link_open(options->host, options->port, options->tls);
        c->sent = calloc((size_t)options->depth, sizeof *c->sent);
        handshake(&c->link, options);
        link_nonblocking(&c->link);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(epoll, EPOLL_CTL_ADD, c->link.fd, &event);
    }
    struct timing timing = timing_start(options->warmup, options->seconds);
    for (int i = 0; i < options->connections; i++) {
        queue_messages(&connections[i], &script, options->depth, (size_t)options->depth);
        flush(&connections[i], &script, options->segment, epoll);
    }
    struct epoll_event events[EVENTS];
    // A large message may take longer than the run was meant to: one answer there must be.
    while (now() < timing.until || !timing.count) {
        int ready = epoll_wait(epoll, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            ssize_t n = events[i].events & ~(unsigned)EPOLLOUT ? link_read(&c->link, buffer, READ_SIZE) : -1;
            if (n == 0) die("the server closed a connection");
            if (n > 0) {
                if (record && c == connections) fwrite(buffer, 1, (size_t)n, record);
                size_t answers = replies_feed(&c->replies, &script, buffer, (size_t)n);
                if (c->replies.closed) die("the server sent a close frame");
                double when = now();
                for (size_t j = 0; j < answers; j++) {
                    timing_add(&timing, c->sent[c->oldest], when);
                    c->oldest = (c->oldest + 1) % options->depth;
                }
                queue_messages(c, &script, options->depth, answers);
            }
            flush(c, &script, options->segment, epoll);
        }
    }
    timing_report(&timing);
    if (record) fclose(record);
}
