// Counting answers and their round trips, leaving the warm-up out.
#ifndef TIMING_H
#define TIMING_H
#include <stdbool.h>
#include <stddef.h>

struct timing {
    double from, until;  // seconds on the clock of now(): answers count between the two
    float *trips;        // round trips, microseconds
    size_t count, room;  // round trips in `trips`, and room for them
    size_t all;          // answers in all, the warm-up's included
};

struct timing timing_start(double warmup, double seconds);
void timing_add(struct timing *timing, double sent, double answered);
// One line of JSON on stdout: answers with and without the warm-up, seconds, rate per second, median and 99th percentile in microseconds.
void timing_report(struct timing *timing);
#endif
