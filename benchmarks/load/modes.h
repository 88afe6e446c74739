// What the load generator can do; each runs to its end and prints its result.
#ifndef MODES_H
#define MODES_H
#include "websocket.h"

// Messages on open connections: each keeps `depth` messages in flight and sends the next when an answer has arrived.
void run_echo(const struct options *options);
// One session after the other: connect, handshake, one message and its answer, closing handshake.
void run_sessions(const struct options *options);
// Open connections and hold them until stdin ends; prints "ready" when all are open.
void run_idle(const struct options *options);
// GET requests on kept-alive HTTP/1.1 connections, the next one when the answer has arrived.
void run_http(const struct options *options);
// GET requests on connections upgraded to HTTP/2: each keeps `depth` streams open and begins the next when one has ended.
void run_h2c(const struct options *options);
// Chunks of `segment` bytes on connections upgraded to `tcp`: each sends the next one when the echo has arrived whole.
void run_stream(const struct options *options);
#endif
