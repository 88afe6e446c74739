#define _GNU_SOURCE  // strcasestr
#include "websocket.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPEAT = 1 << 16 };

// Size of the head of the frame at `p` (RFC 6455 section 5.2), and its payload's length.
static size_t frame_head(const unsigned char *p, uint64_t *length) {
    size_t extra = (p[1] & 127) == 127 ? 8 : (p[1] & 127) == 126 ? 2 : 0;
    *length = extra ? 0 : p[1] & 127;
    for (size_t i = 0; i < extra; i++) *length = *length << 8 | p[2 + i];
    return 2 + extra + (p[1] & 128 ? 4 : 0);
}

static unsigned char *read_file(const char *name, size_t *size) {
    FILE *file = fopen(name, "rb");
    if (!file) die("cannot read %s", name);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    unsigned char *data = malloc(*size + 16);
    if (!data || fread(data, 1, *size, file) != *size) die("cannot read %s", name);
    fclose(file);
    return data;
}

struct script script_load(const char *name) {
    struct script script = {0};
    size_t size, count = 0;
    unsigned char *once = read_file(name, &size);
    for (size_t at = 0; at < size; count++) {
        uint64_t length;
        at += frame_head(once + at, &length);
        at += length;
    }
    if (!count) die("no frames in %s", name);
    size_t times = size < REPEAT ? REPEAT / size : 1;
    script.length = times * size;
    script.count = times * count;
    script.wire = malloc(script.length);
    script.plain = malloc(script.length);
    script.start = calloc(script.count + 1, sizeof(size_t));
    script.payload = calloc(script.count, sizeof(size_t));
    for (size_t i = 0; i < times; i++) memcpy(script.wire + i * size, once, size);
    memcpy(script.plain, script.wire, script.length);
    free(once);
    size_t at = 0;
    for (size_t i = 0; i < script.count; i++) {
        uint64_t length;
        script.start[i] = at;
        at += frame_head(script.wire + at, &length);
        script.payload[i] = at;
        const unsigned char *mask = script.wire + at - 4;
        for (uint64_t j = 0; j < length; j++) script.plain[at + j] ^= mask[j & 3];
        at += length;
    }
    script.start[script.count] = at;
    return script;
}

void handshake(struct link *link, const struct options *options) {
    char request[1024], answer[4096];
    int length = snprintf(
        request, sizeof request,
        "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s%s%s\r\n",
        options->path, options->host, options->port, options->offer ? "Sec-WebSocket-Extensions: " : "",
        options->offer ? options->offer : "", options->offer ? "\r\n" : "");
    link_write_all(link, request, (size_t)length);
    size_t got;
    if (link_read_101(link, answer, sizeof answer, &got) != got) die("bytes after the 101 before anything was sent");
    // The accept value belongs to the key above: both are the example of RFC 6455 section 1.3.
    if (!strstr(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")) die("wrong Sec-WebSocket-Accept");
    if (options->offer && !strcasestr(answer, "sec-websocket-extensions")) die("the server does not take the offer up");
}

static void check_payload(struct replies *replies, const struct script *script, const unsigned char *data, size_t size) {
    size_t message = replies->message;
    // What comes back compressed need not be what was sent: the recording is checked instead.
    if (replies->compressed || script->wire[script->start[message]] & 0x40) return;
    size_t length = script->start[message + 1] - script->payload[message];
    if (replies->at + size > length) die("an answer is longer than its message");
    if (memcmp(data, script->plain + script->payload[message] + replies->at, size)) die("an answer differs from its message");
}

static bool end_of_frame(struct replies *replies, const struct script *script) {
    size_t message = replies->message;
    bool data = !(replies->head[0] & 8), last = replies->head[0] & 0x80;
    replies->have = 0;
    if (!data || !last) return false;
    bool compared = !replies->compressed && !(script->wire[script->start[message]] & 0x40);
    if (compared && replies->at != script->start[message + 1] - script->payload[message]) die("an answer is shorter than its message");
    replies->message = (message + 1) % script->count;
    replies->at = 0;
    return true;
}

size_t replies_feed(struct replies *replies, const struct script *script, const unsigned char *data, size_t size) {
    size_t complete = 0;
    while (size) {
        if (!replies->left) {
            replies->head[replies->have++] = *data++;
            size--;
            if (replies->have < 2) continue;
            if (replies->have < frame_head(replies->head, &replies->left)) {
                replies->left = 0;
                continue;
            }
            unsigned char opcode = replies->head[0] & 15;
            if (opcode == 8) {
                replies->closed = true;
                return complete;
            }
            if (opcode == 1 || opcode == 2) {
                replies->compressed = replies->head[0] & 0x40;
                if (opcode != (script->wire[script->start[replies->message]] & 15)) die("text and binary are mixed up");
            }
            if (!replies->left && end_of_frame(replies, script)) complete++;
            continue;
        }
        size_t n = size < replies->left ? size : (size_t)replies->left;
        if (!(replies->head[0] & 8)) {
            check_payload(replies, script, data, n);
            replies->at += n;
        }
        data += n;
        size -= n;
        replies->left -= n;
        if (!replies->left && end_of_frame(replies, script)) complete++;
    }
    return complete;
}
