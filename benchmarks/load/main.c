// Load generator: measures an echo server over WebSocket or as a stream of bytes, or plain HTTP requests, from one thread.
// usage: load MODE [name=value ...]     modes: echo, sessions, idle, http, h2c, stream
//   host=127.0.0.1  port=8000  path=/  tls=0
//   connections=1  depth=1 (messages in flight on each)  seconds=2  warmup=0.25
//   frames=FILE (client frames, sent in turn)  offer=VALUE (of Sec-WebSocket-Extensions)
//   segment=BYTES (most that is written at once; for stream, the size of a chunk)  record=FILE (what the first connection receives)
#include "modes.h"
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static bool is(const char *name, size_t length, const char *wanted) {
    return strlen(wanted) == length && !strncmp(name, wanted, length);
}

static void set(struct options *options, const char *argument) {
    const char *value = strchr(argument, '=');
    if (!value) die("name=value expected, not %s", argument);
    size_t length = (size_t)(value++ - argument);
    if (is(argument, length, "host")) options->host = value;
    else if (is(argument, length, "port")) options->port = atoi(value);
    else if (is(argument, length, "path")) options->path = value;
    else if (is(argument, length, "tls")) options->tls = atoi(value);
    else if (is(argument, length, "connections")) options->connections = atoi(value);
    else if (is(argument, length, "depth")) options->depth = atoi(value);
    else if (is(argument, length, "seconds")) options->seconds = atof(value);
    else if (is(argument, length, "warmup")) options->warmup = atof(value);
    else if (is(argument, length, "frames")) options->frames = value;
    else if (is(argument, length, "offer")) options->offer = value;
    else if (is(argument, length, "segment")) options->segment = (size_t)atol(value);
    else if (is(argument, length, "record")) options->record = value;
    else die("unknown option %s", argument);
}

int main(int count, char **arguments) {
    struct options options = {
        .host = "127.0.0.1", .path = "/", .port = 8000, .connections = 1, .depth = 1, .seconds = 2, .warmup = 0.25};
    if (count < 2) die("usage: load echo|sessions|idle|http|h2c|stream [name=value ...]");
    for (int i = 2; i < count; i++) set(&options, arguments[i]);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    const char *mode = arguments[1];
    bool needs_frames = !strcmp(mode, "echo") || !strcmp(mode, "sessions");
    if (needs_frames && !options.frames) die("frames=FILE is missing");
    if (!strcmp(mode, "echo")) run_echo(&options);
    else if (!strcmp(mode, "sessions")) run_sessions(&options);
    else if (!strcmp(mode, "idle")) run_idle(&options);
    else if (!strcmp(mode, "http")) run_http(&options);
    else if (!strcmp(mode, "h2c")) run_h2c(&options);
    else if (!strcmp(mode, "stream")) run_stream(&options);
    else die("unknown mode %s", mode);
    return 0;
}
