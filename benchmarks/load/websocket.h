// The client's side of RFC 6455, as far as measuring an echo server needs it.
#ifndef WEBSOCKET_H
#define WEBSOCKET_H
#include "net.h"
#include <stdint.h>

struct options {
    const char *host, *path, *offer, *frames, *record;
    int port, connections, depth;
    double seconds, warmup;
    size_t segment;
    bool tls;
};

// The messages to send, over and over: ready-made client frames, one per message.
struct script {
    unsigned char *wire;   // the frames, repeated to at least 64 KiB so that many go out in one write
    size_t length;         // bytes in `wire`
    size_t count;          // messages in `wire`
    size_t *start;         // `count` + 1 offsets into `wire`
    unsigned char *plain;  // `wire` with its payloads unmasked
    size_t *payload;       // `count` offsets of the payloads
};

// Where the parser of one connection's replies stands.
struct replies {
    unsigned char head[10];
    size_t have;      // bytes of the frame's head that are in `head`
    uint64_t left;    // payload bytes of this frame still to come
    size_t message;   // index in the script of the message being answered
    size_t at;        // bytes of that answer seen so far
    bool compressed;  // RSV1 was set on the message's first frame
    bool closed;      // a close frame has arrived
};

struct script script_load(const char *file);
// Opening handshake on a fresh link; dies unless the answer is a correct 101 (which takes the offer up, if one is made).
void handshake(struct link *link, const struct options *options);
// Take in bytes from the server; returns how many messages they complete. Dies if an answer differs from what was sent.
size_t replies_feed(struct replies *replies, const struct script *script, const unsigned char *data, size_t size);
#endif
