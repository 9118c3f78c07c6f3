/* A window's memory and the order of its work.
 *
 * Stages do not follow each other over the whole window, which would need all of every plane at a
 * time: a band of rows after the other passes all of them, each stage as many rows behind the input
 * as those behind it see. A plane has memory for a band and these rows. */
#include "net_run.h"

/* Strips of a band for each thread, so that few of them wait at its end. */
#ifndef DCN_NET_TASKS
#define DCN_NET_TASKS 8
#endif

static void *take(uint8_t *memory, size_t *used, size_t count, size_t size)
{
    void *const part = memory == NULL ? NULL : memory + *used;
    *used += (count * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return part;
}

static view take_view(uint8_t *memory, size_t *used, const buffer *b, size_t count)
{
    return (view){.wide = b->wide ? take(memory, used, count, sizeof(float)) : NULL,
                  .narrow = b->narrow ? take(memory, used, count, sizeof(uint16_t)) : NULL};
}

/* Zeros beside a plane of so many columns, and its column 0 as what it begins with. */
static void enclose(view *v, const buffer *b, size_t columns)
{
    const size_t side = b->border * b->step;
    for (size_t y = 0; y < v->rows && side > 0; y++) {
        const size_t left = y * v->line, right = left + side + columns * b->step;
        if (v->wide != NULL) {
            memset(v->wide + left, 0, side * sizeof *v->wide);
            memset(v->wide + right, 0, side * sizeof *v->wide);
        }
        if (v->narrow != NULL) {
            memset(v->narrow + left, 0, side * sizeof *v->narrow);
            memset(v->narrow + right, 0, side * sizeof *v->narrow);
        }
    }
    v->wide = v->wide == NULL ? NULL : v->wide + side;
    v->narrow = v->narrow == NULL ? NULL : v->narrow + side;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Rows of latents that a band has, and how many bands there are at most. */
static size_t band_of(const run *r, unsigned threads)
{
    const size_t across = (r->columns + STRIP - 1) / STRIP;
    const size_t all = r->rows + r->net->reach;
    return r->net->banded ? smaller((DCN_NET_TASKS * threads + across - 1) / across, all) : all;
}

int dcn_net_window_fits(size_t rows, size_t columns)
{
    return rows >= 1 && rows <= DCN_NET_MAX_WINDOW && columns >= 1 && columns <= DCN_NET_MAX_WINDOW;
}

size_t dcn_net_divide(run *r, uint8_t *memory, unsigned threads)
{
    const dcn_net *const n = r->net;
    size_t used = 0;
    float *const biases = take(memory, &used, n->bias_size, sizeof *biases);
    size_t bias = 0;
    for (size_t i = 0; i < n->layer_count; i++) {
        const layer *const l = &n->layers[i];
        r->biases[i] = l->bias;
        if (l->rate_bias != NULL) {
            r->biases[i] = memory == NULL ? NULL : biases + bias;
            bias += l->units * UNIT;
        }
    }
    r->gains = take(memory, &used, n->channels, sizeof *r->gains);
    r->band = band_of(r, threads);
    const size_t bands = (r->rows + n->reach + r->band - 1) / r->band;
    r->segments = take(memory, &used, bands * (n->stage_count + 1), sizeof *r->segments);
    size_t widest = 0;
    for (size_t i = 0; i < n->buffer_count; i++) {
        const buffer *const b = &n->buffers[i];
        if (b->local) {
            for (unsigned t = 0; t < threads; t++) {
                r->workers[t].locals[i] = take_view(memory, &used, b, STRIP * b->step);
            }
            continue;
        }
        const size_t columns = r->columns * b->scale;
        const size_t rows = smaller(r->rows, r->band + b->span) * b->scale;
        const size_t line = (columns + 2 * b->border) * b->step;
        r->planes[i] = take_view(memory, &used, b, rows * line);
        r->planes[i].line = line;
        r->planes[i].rows = rows;
        widest = b->border > 0 && line > widest ? line : widest;
        if (memory != NULL) {
            enclose(&r->planes[i], b, columns);
        }
    }
    void *const zeros = take(memory, &used, widest, sizeof(float));
    if (zeros != NULL) {
        memset(zeros, 0, widest * sizeof(float));
    }
    r->zeros = zeros;
    return used + ALIGNMENT - 1;
}

static unsigned threads_of(unsigned threads)
{
    return threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
}

size_t dcn_net_workspace_size(const dcn_net *net, size_t rows, size_t columns, unsigned threads)
{
    if (!dcn_net_window_fits(rows, columns)) {
        return NET_ERROR(DCN_NET_WINDOW_WRONG);
    }
    run r = {.net = net, .rows = rows, .columns = columns};
    return dcn_net_divide(&r, NULL, threads_of(threads));
}

/* The part that is wanted of `all` latents along a side, with `reach` around it: where it begins,
 * and where it ends. */
static size_t begin_of(size_t first, size_t reach)
{
    return first > reach ? first - reach : 0;
}

static size_t end_of(size_t first, size_t count, size_t reach, size_t all)
{
    return smaller(first + count + reach, all);
}

void dcn_net_plan(run *r)
{
    const dcn_net *const n = r->net;
    const dcn_net_part *const p = &r->part;
    for (size_t s = 0; s <= n->stage_count; s++) {
        const size_t reach = s < n->stage_count ? n->stages[s].reach : n->reach;
        const size_t grid = s < n->stage_count ? n->stages[s].grid : n->buffers[0].scale;
        const size_t left = begin_of(p->left, reach) * grid;
        strips *const t = &r->strips[s];
        t->left = left;
        t->columns = end_of(p->left, p->columns, reach, r->columns) * grid - left;
        t->strips = (t->columns + STRIP - 1) / STRIP;
        t->length = (t->columns + t->strips - 1) / t->strips;
    }
    size_t task = 0;
    r->segment_count = 0;
    for (size_t loaded = begin_of(p->top, n->reach); loaded < p->top + p->rows + n->reach;) {
        const size_t before = loaded;
        loaded += r->band;
        for (size_t i = 0; i <= n->stage_count; i++) {
            /* The input comes first. */
            const size_t s = i == 0 ? n->stage_count : i - 1;
            if (i > n->error_stages && r->to_errors != NULL && r->to_latents == NULL) {
                break;
            }
            const size_t reach = i == 0 ? n->reach : n->stages[s].reach;
            const size_t grid = i == 0 ? n->buffers[0].scale : n->stages[s].grid;
            const size_t first = begin_of(p->top, reach), lag = n->reach - reach;
            const size_t last = end_of(p->top, p->rows, reach, r->rows);
            size_t top = before > lag ? before - lag : 0;
            top = top < first ? first : top;
            const size_t bottom = smaller(loaded > lag ? loaded - lag : 0, last);
            if (top < bottom) {
                const size_t end = task + (bottom - top) * grid * r->strips[s].strips;
                r->segments[r->segment_count++] = (segment){s, top * grid, task, end};
                task = end;
            }
        }
    }
}
