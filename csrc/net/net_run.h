/* What a window's run has: memory, the order of its work, and what it does with one strip. */
#ifndef DCN_NET_RUN_H
#define DCN_NET_RUN_H

#include "net_common.h"

enum { MAX_THREADS = 16, MAX_RATE = 255 };

/* A buffer's memory. A plane has some rows of places, in which its rows follow each other in turns:
 * row y lies in row y % rows. */
typedef struct {
    float *wide; /* of column 0 of the first row */
    uint16_t *narrow;
    size_t line; /* elements between rows */
    size_t rows;
} view;

/* What a thread has for itself. */
typedef struct {
    view locals[DCN_NET_MAX_BUFFERS];
} worker;

/* What a stage has to do with a row of its grid: `columns` places from `left` on in `strips` strips
 * of `length`. */
typedef struct {
    size_t left, columns, strips, length;
} strips;

/* A stage's rows of a band, its strips numbered from `start` on as tasks. */
typedef struct {
    size_t stage; /* stage_count for loading the input */
    size_t top;   /* of its grid */
    size_t start, end;
} segment;

typedef struct {
    const dcn_net *net;
    size_t rows, columns; /* of the window, in latents */
    dcn_net_part part;
    size_t band;       /* rows of latents */
    const void *zeros; /* what lies above and below a plane, from its left border on */
    view planes[DCN_NET_MAX_BUFFERS];
    worker workers[MAX_THREADS];
    const float *biases[DCN_NET_MAX_LAYERS];
    float *gains;
    strips strips[DCN_NET_MAX_LAYERS + 1]; /* by stage, at last those of the input */
    segment *segments;
    size_t segment_count;
    size_t next, finished; /* tasks that are taken, and those that are done */
    unsigned threads_started;
    const int16_t *latents;
    size_t channel_step, row_step;
    dcn_net_means means;
    dcn_net_memo memo;
    size_t kept[DCN_NET_MAX_LAYERS]; /* where a layer's part of it begins, in bytes */
    const uint8_t *pixels;
    uint8_t *to_pixels;
    float *to_latents; /* NULL where a gradient is not wanted */
    size_t pitch;
    float *to_errors;
    const uint8_t *counted;
    int grey;
} run;

/* Whether a window can have so many rows and columns. */
int dcn_net_window_fits(size_t rows, size_t columns);

/* Hand out the workspace for some threads, at most MAX_THREADS, or only count its bytes where
 * `memory` is NULL. */
size_t dcn_net_divide(run *r, uint8_t *memory, unsigned threads);

/* Share out the memo's bytes among the layers that are kept, and return how many there are. */
size_t dcn_net_share_memo(run *r);

/* Copy what a kept layer gives for `count` places of its grid from (y, x) on, where `places` begin,
 * into the memo, or from there where it is known. */
void dcn_net_remember(const run *r, size_t number, const view *places, size_t y, size_t x,
                      size_t count);

/* Put the work in order. */
void dcn_net_plan(run *r);

/* Prepare what depends on the rate. */
void dcn_net_set_rate(run *r, unsigned rate);

/* Take the error of the pixels that `count` places of a compared layer's output are, from (y, x)
 * on, and leave its gradient there. */
void dcn_net_compare(const run *r, const view *pixels, const buffer *b, size_t y, size_t x,
                     size_t count);

/* Work on `count` places of a stage's grid from (y, x) on. */
void dcn_net_run_strip(const run *r, const worker *w, size_t stage, size_t y, size_t x,
                       size_t count);

#endif
