#include "timing.h"
#include "net.h"
#include <stdio.h>
#include <stdlib.h>

struct timing timing_start(double warmup, double seconds) {
    double from = now() + warmup;
    return (struct timing){.from = from, .until = from + seconds};
}

void timing_add(struct timing *timing, double sent, double answered) {
    timing->all++;
    if (answered < timing->from) return;
    if (timing->count == timing->room) {
        timing->room = timing->room ? 2 * timing->room : 1 << 16;
        timing->trips = realloc(timing->trips, timing->room * sizeof *timing->trips);
        if (!timing->trips) die("out of memory");
    }
    timing->trips[timing->count++] = (float)((answered - sent) * 1e6);
}

static int ascending(const void *left, const void *right) {
    float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

void timing_report(struct timing *timing) {
    double seconds = now() - timing->from;
    size_t count = timing->count;
    if (!count) die("no answer within the time");
    qsort(timing->trips, count, sizeof *timing->trips, ascending);
    printf("{\"all\": %zu, \"count\": %zu, \"seconds\": %.4f, \"rate\": %.2f, \"p50\": %.1f, \"p99\": %.1f}\n", timing->all, count, seconds,
           (double)count / seconds, (double)timing->trips[count / 2], (double)timing->trips[count * 99 / 100]);
}
