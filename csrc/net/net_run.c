/* Running a network on a window: planes, strips, and threads that share them. */
#include <math.h>
#include <pthread.h>
#include <sched.h>

#include "net_common.h"

enum { MAX_THREADS = 16, SPINS = 200, MAX_RATE = 255 };

/* A buffer's memory, of its place (0, 0). */
typedef struct {
    float *wide;
    uint16_t *narrow;
    size_t line; /* elements between rows */
} view;

/* What a thread has for itself. */
typedef struct {
    view locals[DCN_NET_MAX_BUFFERS];
} worker;

/* Places of a grid. */
typedef struct {
    size_t top, left, rows, columns;
} area;

/* Strips of a stage are tasks, numbered from `start` on: of each row of its area `strips` ones, of
 * `length` places. */
typedef struct {
    area area;
    size_t start, end, strips, length;
} tasks;

typedef struct run {
    const dcn_net *net;
    size_t rows, columns; /* of the window, in latents */
    dcn_net_part part;
    view planes[DCN_NET_MAX_BUFFERS];
    worker workers[MAX_THREADS];
    const float *biases[DCN_NET_MAX_LAYERS];
    float *gains;
    tasks load, stages[DCN_NET_MAX_LAYERS];
    size_t next, finished; /* tasks that are taken, and those that are done */
    unsigned threads_started;
    const int16_t *latents;
    size_t channel_step, row_step;
    const uint8_t *pixels;
    uint8_t *to_pixels;
    float *to_latents;
    size_t pitch;
} run;

/* --- memory ----------------------------------------------------------------------------------- */

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

/* Zeros around a plane, and its place (0, 0) as what it begins with. */
static void enclose(view *v, const buffer *b, size_t rows, size_t columns)
{
    const size_t side = b->border * b->step;
    const size_t whole = rows + 2 * b->border;
    v->line = columns * b->step + 2 * side;
    for (size_t y = 0; y < whole && side > 0; y++) {
        const int outside = y < b->border || y >= rows + b->border;
        const size_t left = y * v->line, right = left + v->line - side;
        const size_t count = outside ? v->line : side;
        if (v->wide != NULL) {
            memset(v->wide + left, 0, count * sizeof *v->wide);
            memset(v->wide + right, 0, side * sizeof *v->wide);
        }
        if (v->narrow != NULL) {
            memset(v->narrow + left, 0, count * sizeof *v->narrow);
            memset(v->narrow + right, 0, side * sizeof *v->narrow);
        }
    }
    const size_t first = b->border * v->line + side;
    v->wide = v->wide == NULL ? NULL : v->wide + first;
    v->narrow = v->narrow == NULL ? NULL : v->narrow + first;
}

static unsigned threads_of(unsigned threads)
{
    return threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
}

/* Hand out the workspace, or only count it where there is none. */
static size_t divide(run *r, uint8_t *memory, unsigned threads)
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
    for (size_t i = 0; i < n->buffer_count; i++) {
        const buffer *const b = &n->buffers[i];
        if (b->local) {
            for (unsigned t = 0; t < threads; t++) {
                r->workers[t].locals[i] = take_view(memory, &used, b, STRIP * b->step);
            }
            continue;
        }
        const size_t rows = r->rows * b->scale + 2 * b->border;
        const size_t columns = r->columns * b->scale + 2 * b->border;
        r->planes[i] = take_view(memory, &used, b, rows * columns * b->step);
        if (memory != NULL) {
            enclose(&r->planes[i], b, r->rows * b->scale, r->columns * b->scale);
        }
    }
    return used + ALIGNMENT - 1;
}

static int window_fits(size_t rows, size_t columns)
{
    return rows >= 1 && rows <= DCN_NET_MAX_WINDOW && columns >= 1 && columns <= DCN_NET_MAX_WINDOW;
}

size_t dcn_net_workspace_size(const dcn_net *net, size_t rows, size_t columns, unsigned threads)
{
    if (!window_fits(rows, columns)) {
        return NET_ERROR(DCN_NET_WINDOW_WRONG);
    }
    run r = {.net = net, .rows = rows, .columns = columns};
    return divide(&r, NULL, threads_of(threads));
}

/* --- what depends on the rate ----------------------------------------------------------------- */

/* out += a row of (knots, count) at a rate of 0..255: knots lie at 255 i / (knots - 1). */
static void add_at_rate(float *out, const float *table, size_t knots, size_t count, unsigned rate)
{
    const float place = (float)rate * ((float)(knots - 1) / MAX_RATE);
    const size_t first = (size_t)place;
    const size_t second = first + 1 < knots ? first + 1 : first;
    const float share = place - (float)first;
    for (size_t i = 0; i < count; i++) {
        out[i] += (1 - share) * table[first * count + i] + share * table[second * count + i];
    }
}

static void set_rate(run *r, unsigned rate)
{
    const dcn_net *const n = r->net;
    for (size_t i = 0; i < n->layer_count; i++) {
        const layer *const l = &n->layers[i];
        if (l->rate_bias != NULL) {
            float *const bias = (float *)r->biases[i];
            memcpy(bias, l->bias, l->units * UNIT * sizeof *bias);
            add_at_rate(bias, l->rate_bias, n->knots, l->units * UNIT, rate);
        }
    }
    memset(r->gains, 0, n->channels * sizeof *r->gains);
    if (n->log_gains != NULL) {
        add_at_rate(r->gains, n->log_gains, n->knots, n->channels, rate);
    }
    for (size_t c = 0; c < n->channels; c++) {
        r->gains[c] = n->gain * expf(r->gains[c]);
    }
}

/* --- input and output ------------------------------------------------------------------------- */

static void keep(const view *v, size_t at, float value)
{
    if (v->wide != NULL) {
        v->wide[at] = value;
    }
    if (v->narrow != NULL) {
        v->narrow[at] = to_bf16(value);
    }
}

static void load_latents(const run *r, size_t y, size_t x, size_t count)
{
    const buffer *const b = &r->net->buffers[0];
    const size_t at = y * r->planes[0].line + x * b->step;
    for (size_t c = 0; c < b->step; c++) {
        const float gain = c < b->channels ? r->gains[c] : 0;
        const size_t channel = c < b->channels ? c : 0;
        const int16_t *const from = r->latents + channel * r->channel_step + y * r->row_step + x;
        for (size_t i = 0; i < count; i++) {
            keep(&r->planes[0], at + i * b->step + c, (float)from[i] * gain);
        }
    }
}

static void load_pixels(const run *r, size_t y, size_t x, size_t count)
{
    const uint8_t *const from = r->pixels + y * r->pitch + x * COLOURS;
    const size_t at = y * r->planes[0].line + x * PIXEL;
    for (size_t i = 0; i < count; i++) {
        for (size_t c = 0; c < COLOURS; c++) {
            const float value = (float)from[i * COLOURS + c] * (2 / 255.0F) - 1;
            keep(&r->planes[0], at + i * PIXEL + c, value);
        }
        keep(&r->planes[0], at + i * PIXEL + COLOURS, 0);
    }
}

/* Places of the last layer's grid as blocks of pixels. */
static void store_pixels(const run *r, const float *from, size_t step, size_t grid, size_t y,
                         size_t x, size_t count)
{
    const size_t side = r->net->stride / grid;
    const size_t run_length = side * COLOURS;
    uint8_t *const to = r->to_pixels + (y - r->part.top * grid) * side * r->pitch +
                        (x - r->part.left * grid) * run_length;
    for (size_t i = 0; i < count; i++) {
        for (size_t line = 0; line < side; line++) {
            const float *const in = from + i * step + line * run_length;
            uint8_t *const out = to + line * r->pitch + i * run_length;
            for (size_t j = 0; j < run_length; j++) {
                const float level = in[j] * 127.5F + 127.5F;
                const float clipped = level < 0 ? 0 : level > 255 ? 255 : level;
                /* 1.5 * 2^23 leaves a whole number in the lowest bits, rounded to the nearest. */
                const float shifted = clipped + 12582912.0F;
                uint32_t bits;
                memcpy(&bits, &shifted, sizeof bits);
                out[j] = (uint8_t)bits;
            }
        }
    }
}

static void store_latents(const run *r, const float *from, size_t step, size_t y, size_t x,
                          size_t count)
{
    const dcn_net_part *const p = &r->part;
    for (size_t c = 0; c < r->net->channels; c++) {
        float *const out = r->to_latents + (c * p->rows + y - p->top) * p->columns + x - p->left;
        for (size_t i = 0; i < count; i++) {
            out[i] = from[i * step + c] * r->gains[c];
        }
    }
}

/* --- layers ----------------------------------------------------------------------------------- */

/* A buffer's place (y, x) for the worker's strip, which begins there. */
static view at_place(const run *r, const worker *w, size_t number, size_t y, size_t x)
{
    const buffer *const b = &r->net->buffers[number];
    view v = b->local ? w->locals[number] : r->planes[number];
    const size_t offset = b->local ? 0 : y * v.line + x * b->step;
    v.wide = v.wide == NULL ? NULL : v.wide + offset;
    v.narrow = v.narrow == NULL ? NULL : v.narrow + offset;
    return v;
}

static void run_layer(const run *r, const worker *w, size_t number, size_t y, size_t x,
                      size_t count)
{
    const dcn_net *const n = r->net;
    const layer *const l = &n->layers[number];
    const buffer *const in = &n->buffers[l->input], *const out = &n->buffers[l->output];
    const view from = at_place(r, w, l->input, y * l->stride, x * l->stride);
    const view to = at_place(r, w, l->output, y * l->shuffle, x * l->shuffle);
    const size_t before = l->padding * (from.line + in->step);
    if (l->depthwise) {
        const depthwise d = {.in = from.wide - before,
                             .step = in->step,
                             .line = from.line,
                             .weights = l->matrix,
                             .bias = r->biases[number],
                             .wide = to.wide,
                             .narrow = to.narrow,
                             .slope = l->slope};
        n->kernels->filter(&d, count);
        return;
    }
    const size_t size = l->narrow ? sizeof *from.narrow : sizeof *from.wide;
    const view add = l->add == DCN_NET_NONE ? (view){NULL, NULL, 0} : at_place(r, w, l->add, y, x);
    const product p = {.in = l->narrow ? (const unsigned char *)(from.narrow - before)
                                       : (const unsigned char *)(from.wide - before),
                       .in_step = l->stride * in->step * size,
                       .in_line = from.line * size,
                       .lines = l->side,
                       .words = l->words,
                       .matrix = l->matrix,
                       .units = l->units,
                       .bias = r->biases[number],
                       .add = add.wide,
                       .add_step = out->step,
                       .wide = to.wide,
                       .narrow = to.narrow,
                       .out_step = l->shuffle * out->step,
                       .out_line = to.line,
                       .slope = l->slope};
    (l->narrow ? n->kernels->multiply_bf16 : n->kernels->multiply)(&p, count);
}

static void run_strip(const run *r, const worker *w, size_t number, size_t y, size_t x,
                      size_t count)
{
    const dcn_net *const n = r->net;
    const stage *const s = &n->stages[number];
    for (size_t i = s->first; i < s->last; i++) {
        run_layer(r, w, i, y, x, count);
    }
    if (s->last == n->layer_count) {
        const uint32_t output = n->layers[s->last - 1].output;
        const float *const from = w->locals[output].wide;
        const size_t step = n->buffers[output].step;
        if (n->synthesis) {
            store_pixels(r, from, step, s->grid, y, x, count);
        } else {
            store_latents(r, from, step, y, x, count);
        }
    }
}

/* --- threads ---------------------------------------------------------------------------------- */

/* Strips for the part that is wanted and `reach` latents around it, on a grid. */
static tasks plan(const run *r, size_t reach, size_t grid, size_t start)
{
    const dcn_net_part *const p = &r->part;
    const size_t top = p->top > reach ? p->top - reach : 0;
    const size_t left = p->left > reach ? p->left - reach : 0;
    const size_t bottom = p->top + p->rows + reach < r->rows ? p->top + p->rows + reach : r->rows;
    const size_t right =
        p->left + p->columns + reach < r->columns ? p->left + p->columns + reach : r->columns;
    tasks t = {.area = {top * grid, left * grid, (bottom - top) * grid, (right - left) * grid},
               .start = start};
    t.strips = (t.area.columns + STRIP - 1) / STRIP;
    t.length = (t.area.columns + t.strips - 1) / t.strips;
    t.end = start + t.area.rows * t.strips;
    return t;
}

static void run_task(run *r, const worker *w, size_t task)
{
    const int loads = task < r->load.end;
    size_t number = 0;
    while (task >= r->stages[number].end) {
        number++;
    }
    const tasks *const t = loads ? &r->load : &r->stages[number];
    /* All that this stage reads must be there. */
    for (unsigned spins = 0; __atomic_load_n(&r->finished, __ATOMIC_ACQUIRE) < t->start;) {
        if (++spins > SPINS) {
            sched_yield();
        }
    }
    const size_t index = task - t->start;
    const size_t y = t->area.top + index / t->strips;
    const size_t begin = index % t->strips * t->length;
    if (begin >= t->area.columns) {
        return;
    }
    const size_t left = t->area.columns - begin;
    const size_t count = left < t->length ? left : t->length;
    const size_t x = t->area.left + begin;
    if (!loads) {
        run_strip(r, w, number, y, x, count);
    } else if (r->net->synthesis) {
        load_latents(r, y, x, count);
    } else {
        load_pixels(r, y, x, count);
    }
}

static void run_tasks(run *r, unsigned number)
{
    const size_t end = r->stages[r->net->stage_count - 1].end;
    for (;;) {
        const size_t task = __atomic_fetch_add(&r->next, 1, __ATOMIC_RELAXED);
        if (task >= end) {
            return;
        }
        run_task(r, &r->workers[number], task);
        __atomic_fetch_add(&r->finished, 1, __ATOMIC_RELEASE);
    }
}

static void *run_thread(void *argument)
{
    run *const r = argument;
    run_tasks(r, __atomic_add_fetch(&r->threads_started, 1, __ATOMIC_RELAXED));
    return NULL;
}

static size_t run_window(run *r, unsigned rate, unsigned threads, void *workspace, size_t size)
{
    const dcn_net *const n = r->net;
    const dcn_net_part *const p = &r->part;
    if (!window_fits(r->rows, r->columns) || rate > MAX_RATE || p->rows < 1 || p->columns < 1 ||
        p->top >= r->rows || p->rows > r->rows - p->top || p->left >= r->columns ||
        p->columns > r->columns - p->left) {
        return NET_ERROR(DCN_NET_WINDOW_WRONG);
    }
    threads = threads_of(threads);
    if (size < divide(r, NULL, threads)) {
        return NET_ERROR(DCN_NET_MEMORY_TOO_SMALL);
    }
    (void)divide(r, (uint8_t *)workspace + (size_t)(0 - (uintptr_t)workspace) % ALIGNMENT, threads);
    set_rate(r, rate);
    r->load = plan(r, n->reach, n->buffers[0].scale, 0);
    size_t start = r->load.end;
    for (size_t s = 0; s < n->stage_count; s++) {
        r->stages[s] = plan(r, n->stages[s].reach, n->stages[s].grid, start);
        start = r->stages[s].end;
    }
    pthread_t handles[MAX_THREADS];
    unsigned started = 0;
    while (started + 1 < threads && pthread_create(&handles[started], NULL, run_thread, r) == 0) {
        started++;
    }
    /* The calling thread would finish all tasks by itself if no other could be started. */
    run_tasks(r, 0);
    while (started > 0) {
        pthread_join(handles[--started], NULL);
    }
    return 0;
}

size_t dcn_net_synthesise(const dcn_net *net, uint8_t *pixels, size_t pitch, dcn_net_part part,
                          const int16_t *latents, size_t channel_step, size_t row_step, size_t rows,
                          size_t columns, unsigned rate, unsigned threads, void *workspace,
                          size_t workspace_size)
{
    if (!net->synthesis) {
        return NET_ERROR(DCN_NET_WINDOW_WRONG);
    }
    run r = {.net = net,
             .rows = rows,
             .columns = columns,
             .part = part,
             .latents = latents,
             .channel_step = channel_step,
             .row_step = row_step,
             .to_pixels = pixels,
             .pitch = pitch};
    return run_window(&r, rate, threads, workspace, workspace_size);
}

size_t dcn_net_analyse(const dcn_net *net, float *latents, const uint8_t *pixels, size_t pitch,
                       size_t rows, size_t columns, unsigned rate, unsigned threads,
                       void *workspace, size_t workspace_size)
{
    if (net->synthesis) {
        return NET_ERROR(DCN_NET_WINDOW_WRONG);
    }
    run r = {.net = net,
             .rows = rows,
             .columns = columns,
             .part = {0, 0, rows, columns},
             .pixels = pixels,
             .pitch = pitch,
             .to_latents = latents};
    return run_window(&r, rate, threads, workspace, workspace_size);
}
