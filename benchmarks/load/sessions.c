#include "modes.h"
#include "timing.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { READ_SIZE = 1 << 16 };

// Send the script's first message and take its answer in.
static void echo_once(struct link *link, const struct script *script) {
    static unsigned char buffer[READ_SIZE];
    struct replies replies = {0};
    link_write_all(link, script->wire, script->start[1]);
    for (size_t answers = 0; !answers;) {
        ssize_t n = link_read(link, buffer, sizeof buffer);
        if (n <= 0) die("the server closed a connection");
        answers = replies_feed(&replies, script, buffer, (size_t)n);
        if (replies.closed) die("the server sent a close frame");
    }
}

// The closing handshake; the connection is then closed without waiting for the server to do so.
static void close_politely(struct link *link, const struct script *script) {
    static const unsigned char frame[] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8};  // code 1000
    unsigned char buffer[256];
    struct replies replies = {0};
    link_write_all(link, frame, sizeof frame);
    while (!replies.closed) {
        ssize_t n = link_read(link, buffer, sizeof buffer);
        if (n <= 0) die("the server closed a connection without a close frame");
        replies_feed(&replies, script, buffer, (size_t)n);
    }
    link_close(link);
}

void run_sessions(const struct options *options) {
    struct script script = script_load(options->frames);
    struct timing timing = timing_start(options->warmup, options->seconds);
    while (now() < timing.until) {
        double start = now();
        struct link link = link_open(options->host, options->port, options->tls);
        handshake(&link, options);
        echo_once(&link, &script);
        close_politely(&link, &script);
        timing_add(&timing, start, now());
    }
    timing_report(&timing);
}

void run_idle(const struct options *options) {
    struct script script = {0};
    if (options->frames) script = script_load(options->frames);
    for (int i = 0; i < options->connections; i++) {
        struct link link = link_open(options->host, options->port, options->tls);
        handshake(&link, options);
        if (options->frames) echo_once(&link, &script);
    }
    puts("ready");
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) continue;
}
