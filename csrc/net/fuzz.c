/* Random networks on random windows: all paths give the same, whatever the number of threads and
 * the part that is wanted, and nothing is touched outside of the buffers. Weights are small whole
 * numbers, so that every sum is exact; but for those of gradients, which are too large: each path
 * is compared with itself.
 *
 * The bytes of an input choose everything; DCN_NET_STANDALONE makes them up for some seconds. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net.h"

enum { COMPARED = 1 }; /* a buffer for a gradient's pixels */
enum { MAX_LAYERS = 8, MAX_BUFFERS = 8, MAX_SIDE = 8, MAX_PLACES = 9 };

static const uint8_t *bytes, *bytes_end;
static size_t accepted; /* networks that are valid */

/* The next of the input's bytes as a number below `limit`; 0 when there are none left. */
static uint32_t number(uint32_t limit)
{
    return bytes < bytes_end ? *bytes++ % limit : 0;
}

static uint32_t between(uint32_t least, uint32_t most)
{
    return least + number(most - least + 1);
}

/* Deterministic values that need no input. */
static uint32_t state;

static uint32_t scatter(uint32_t limit)
{
    state = state * 1664525U + 1013904223U;
    return (state >> 8) % limit;
}

static void require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "net: %s\n", what);
        abort();
    }
}

static void *allocate(size_t size)
{
    void *const memory = malloc(size > 0 ? size : 1);
    require(memory != NULL, "no memory");
    return memory;
}

/* --- networks --------------------------------------------------------------------------------- */

typedef struct {
    dcn_net_parameters parameters;
    dcn_net_layer layers[MAX_LAYERS];
    dcn_net_buffer buffers[MAX_BUFFERS];
    void *owned[MAX_LAYERS * 5 + 1];
    size_t owned_count;
} network;

static void *own(network *n, size_t size)
{
    return n->owned[n->owned_count++] = allocate(size);
}

static dcn_net_tensor weights(network *n, size_t count)
{
    const uint32_t type = number(3);
    uint16_t *const halves = own(n, count * (type == DCN_NET_F32 ? 4 : 2));
    for (size_t i = 0; i < count; i++) {
        /* -1, 0 or 1, mostly 0: sums stay small. */
        const uint32_t value = scatter(12);
        const uint32_t sign = value == 1 ? 0x8000 : 0;
        const uint32_t one = type == DCN_NET_F16 ? 0x3c00 : 0x3f80;
        const uint32_t bits = value > 1 ? 0 : one | sign;
        if (type == DCN_NET_F32) {
            const uint32_t whole = bits << 16;
            memcpy(halves + 2 * i, &whole, sizeof whole);
        } else {
            halves[i] = (uint16_t)bits;
        }
    }
    return (dcn_net_tensor){halves, count, type};
}

static size_t step_of(const network *n, uint32_t number_of)
{
    return number_of == 0 && n->parameters.transform == DCN_NET_ANALYSIS
               ? 4
               : (n->buffers[number_of].channels + 15U) / 16 * 16;
}

static uint32_t *map(network *n, size_t count, uint32_t limit)
{
    uint32_t *const entries = own(n, count * sizeof *entries);
    for (size_t i = 0; i < count; i++) {
        entries[i] = scatter(8) ? scatter(limit) : DCN_NET_NONE;
    }
    return entries;
}

/* A buffer that was written before, if there is one with so many places and channels (0: any). */
static uint32_t written(const network *n, const uint8_t *known, uint32_t least_scale,
                        uint32_t channels)
{
    const uint32_t count = n->parameters.buffer_count, first = number(count);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t b = (first + i) % count;
        if (known[b] && n->buffers[b].scale >= least_scale &&
            (channels == 0 ||
             (b > 0 && n->buffers[b].channels == channels && n->buffers[b].scale == least_scale))) {
            return b;
        }
    }
    return channels == 0 ? 0 : DCN_NET_NONE;
}

/* Numbers that mostly fit, now and then not. */
static void describe_layer(network *n, dcn_net_layer *l, uint8_t *known, int last, int compared)
{
    const uint32_t count = n->parameters.buffer_count;
    *l = (dcn_net_layer){.output = compared ? COMPARED : last ? count - 1 : between(1, count - 1)};
    const dcn_net_buffer *const out = &n->buffers[l->output];
    l->compared = (uint32_t)compared;
    l->shuffle =
        !compared && !out->local && out->channels % 16 == 0 && out->scale > 1 ? between(1, 2) : 1;
    const uint32_t grid = out->scale / l->shuffle;
    l->input = number(16) ? written(n, known, grid, 0) : number(count);
    const dcn_net_buffer *const in = &n->buffers[l->input];
    l->stride = in->scale / grid > 0 ? in->scale / grid : 1;
    l->depthwise = in->channels == out->channels && l->stride == 1 && l->shuffle == 1 &&
                   !in->local && !compared && number(2);
    l->padding = l->depthwise ? 1 : in->local ? 0 : number(3);
    l->side = l->depthwise || number(16) == 0 ? 3 : l->stride + 2 * l->padding;
    l->add = number(3) == 0 && l->shuffle == 1 && !l->depthwise
                 ? written(n, known, out->scale, out->channels)
                 : DCN_NET_NONE;
    l->gate = number(3) == 0 && l->shuffle == 1 ? written(n, known, out->scale, out->channels)
                                                : DCN_NET_NONE;
    l->leaky = number(2);
    l->wide = number(4) == 0;
    l->outputs = l->depthwise ? out->channels : between(1, 40);
    l->inputs = l->depthwise ? 9 : between(1, 40);
    l->weight = weights(n, (size_t)l->outputs * l->inputs);
    l->bias = weights(n, l->outputs);
    if (number(3) == 0) {
        l->rate_bias = weights(n, (size_t)n->parameters.knots * l->outputs);
    }
    if (!l->depthwise) {
        l->input_map = map(n, (size_t)l->side * l->side * step_of(n, l->input), l->inputs);
        l->output_map = map(n, (size_t)l->shuffle * l->shuffle * step_of(n, l->output), l->outputs);
    }
    known[l->output] = 1;
}

static void describe(network *n)
{
    memset(n, 0, sizeof *n);
    dcn_net_parameters *const p = &n->parameters;
    p->layer_count = between(1, MAX_LAYERS);
    p->buffer_count = between(COMPARED + 2, MAX_BUFFERS);
    p->layers = n->layers;
    p->buffers = n->buffers;
    p->transform = number(3);
    p->channels = between(1, 20);
    p->stride = 8;
    p->slope = 0.5F;
    p->gain = 1;
    p->knots = between(1, 3);
    p->bf16 = number(2);
    n->buffers[0] = p->transform == DCN_NET_ANALYSIS ? (dcn_net_buffer){3, 8, 0}
                                                     : (dcn_net_buffer){p->channels, 1, 0};
    for (uint32_t b = 1; b < p->buffer_count; b++) {
        n->buffers[b] =
            (dcn_net_buffer){16 * number(5) + 1 + number(16), 1U << number(2), number(3) == 0};
        n->buffers[b].channels += number(2) ? 0 : 15 - (n->buffers[b].channels - 1) % 16;
    }
    dcn_net_buffer *const out = &n->buffers[p->buffer_count - 1];
    const uint32_t side = 8 / out->scale; /* of a block of pixels */
    *out = p->transform == DCN_NET_SYNTHESIS ? (dcn_net_buffer){3 * side * side, out->scale, 1}
                                             : (dcn_net_buffer){p->channels, 1, 1};
    dcn_net_buffer *const pixels = &n->buffers[COMPARED];
    if (p->transform == DCN_NET_GRADIENT) {
        pixels->channels = 3 * 64 / (pixels->scale * pixels->scale);
    }
    uint8_t known[MAX_BUFFERS] = {1};
    for (uint32_t i = 0; i < p->layer_count; i++) {
        const int last = i + 1 == p->layer_count;
        describe_layer(n, &n->layers[i], known, last,
                       !last && p->transform == DCN_NET_GRADIENT && i == (p->layer_count - 1) / 2);
    }
}

static void release(network *n)
{
    while (n->owned_count > 0) {
        free(n->owned[--n->owned_count]);
    }
}

/* --- windows ---------------------------------------------------------------------------------- */

typedef struct {
    size_t rows, columns;
    unsigned rate;
    int16_t *latents;
    dcn_net_means means;
    uint8_t *pixels, *counted;
    int grey;
} window;

/* Latents are the same when another rate's analysis has left what they have in common. */
static void check_memo(const dcn_net *net, const window *w, const float *latents, size_t size,
                       unsigned threads, void *work, size_t work_size)
{
    const size_t needed = dcn_net_memo_size(net, w->rows, w->columns);
    dcn_net_memo memo = {allocate(needed), needed, 0};
    float *const found = allocate(size);
    const unsigned rates[] = {255 - w->rate, w->rate};
    for (size_t i = 0; i < 2; i++) {
        memo.known = i > 0;
        require(dcn_net_analyse(net, found, w->pixels, w->columns * 24, w->rows, w->columns, memo,
                                rates[i], threads, work, work_size) == 0,
                "a window with a memo fails");
        memset(work, 0xff, work_size);
    }
    require(memcmp(found, latents, size) == 0, "latents differ with a memo");
    memo.size--;
    require(needed == 0 || dcn_net_analyse(net, found, w->pixels, w->columns * 24, w->rows,
                                           w->columns, memo, w->rate, threads, work,
                                           work_size) == (size_t)0 - DCN_NET_MEMORY_TOO_SMALL,
            "a memo that is too small is taken");
    free(found);
    free(memo.memory);
}

/* What a path gives of a part; NULL where the processor or the network does not have it. */
static void *run(const network *n, const window *w, dcn_net_path path, dcn_net_part part,
                 unsigned threads, size_t *size)
{
    const dcn_net_parameters *const p = &n->parameters;
    const size_t needed = dcn_net_size(p, path);
    if (dcn_net_is_error(needed)) {
        require(dcn_net_error_name(dcn_net_error_code(needed)) != NULL, "an error has no name");
        return NULL;
    }
    void *const memory = allocate(needed);
    const dcn_net *net;
    require(dcn_net_init(&net, memory, needed - 1, p, path) ==
                    (size_t)0 - DCN_NET_MEMORY_TOO_SMALL &&
                net == NULL,
            "too little memory is taken");
    require(dcn_net_init(&net, memory, needed, p, path) == 0 && net != NULL, "no network");
    const size_t work_size = dcn_net_workspace_size(net, w->rows, w->columns, threads);
    void *const work = allocate(work_size);
    memset(work, 0xff, work_size); /* no numbers */
    void *result;
    size_t done;
    if (p->transform == DCN_NET_GRADIENT) {
        const size_t scale = n->buffers[COMPARED].scale, places = w->rows * w->columns;
        const size_t errors = places * scale * scale, slopes = places * p->channels;
        *size = (errors + slopes) * sizeof(float);
        result = allocate(*size);
        float *const own = result;
        done = dcn_net_gradient(net, own + errors, own, w->pixels, w->columns * 24, w->counted,
                                w->grey, w->latents, places, w->columns, w->rows, w->columns,
                                w->means, w->rate, threads, work, work_size);
        float *const alone = allocate(errors * sizeof *alone);
        require(dcn_net_gradient(net, NULL, alone, w->pixels, w->columns * 24, w->counted, w->grey,
                                 w->latents, places, w->columns, w->rows, w->columns, w->means,
                                 w->rate, threads, work, work_size) == 0 &&
                    memcmp(alone, own, errors * sizeof *alone) == 0,
                "errors differ without a gradient");
        free(alone);
    } else if (p->transform == DCN_NET_SYNTHESIS) {
        *size = part.rows * part.columns * 64 * 3;
        result = allocate(*size);
        done = dcn_net_synthesise(net, result, part.columns * 24, part, w->latents,
                                  w->rows * w->columns, w->columns, w->rows, w->columns, w->means,
                                  w->rate, threads, work, work_size);
    } else {
        *size = w->rows * w->columns * p->channels * sizeof(float);
        result = allocate(*size);
        done = dcn_net_analyse(net, result, w->pixels, w->columns * 24, w->rows, w->columns,
                               (dcn_net_memo){0}, w->rate, threads, work, work_size);
        check_memo(net, w, result, *size, threads, work, work_size);
    }
    require(done == 0, "a window fails");
    free(work);
    free(memory);
    return result;
}

/* Regions that some of a plane's latents have means in, and no more. */
static size_t regions_of(size_t latents)
{
    return (latents + DCN_NET_MEANS_SIDE - 1) / DCN_NET_MEANS_SIDE;
}

/* Whole code words, so that sums stay exact. */
static void add_means(window *w)
{
    dcn_net_means *const m = &w->means;
    m->top = scatter(20);
    m->left = scatter(20);
    m->rows = regions_of(m->top + w->rows);
    m->columns = regions_of(m->left + w->columns);
    const size_t count = DCN_NET_MEANS * m->rows * m->columns;
    int8_t *const values = allocate(count);
    for (size_t i = 0; i < count; i++) {
        values[i] = (int8_t)(DCN_NET_MEANS_PARTS * ((int)scatter(3) - 1));
    }
    m->values = values;
}

/* The window with its means as a part of its latents. */
static window shifted(const window *w, size_t channels)
{
    window s = *w;
    const size_t places = w->rows * w->columns;
    s.latents = allocate(places * channels * sizeof *s.latents);
    memcpy(s.latents, w->latents, places * channels * sizeof *s.latents);
    const dcn_net_means *const m = &w->means;
    for (size_t i = 0; i < DCN_NET_MEANS * places; i++) {
        const size_t row = (m->top + i % places / w->columns) / DCN_NET_MEANS_SIDE;
        const size_t column = (m->left + i % w->columns) / DCN_NET_MEANS_SIDE;
        const int8_t parts = m->values[(i / places * m->rows + row) * m->columns + column];
        s.latents[i] = (int16_t)(s.latents[i] + parts / DCN_NET_MEANS_PARTS);
    }
    s.means.values = NULL;
    return s;
}

static void check_means(const network *n, const window *w, const uint8_t *whole)
{
    const window other = shifted(w, n->parameters.channels);
    const dcn_net_part all = {0, 0, w->rows, w->columns};
    size_t size;
    uint8_t *const found = run(n, &other, DCN_NET_PLAIN, all, 1, &size);
    require(memcmp(found, whole, size) == 0, "means differ from latents");
    free(found);
    free(other.latents);
}

static void check_part(const network *n, const window *w, const uint8_t *whole)
{
    const dcn_net_part part = {.top = scatter((uint32_t)w->rows),
                               .left = scatter((uint32_t)w->columns)};
    dcn_net_part inner = part;
    inner.rows = 1 + scatter((uint32_t)(w->rows - part.top));
    inner.columns = 1 + scatter((uint32_t)(w->columns - part.left));
    size_t size;
    uint8_t *const found = run(n, w, DCN_NET_PLAIN, inner, 1, &size);
    for (size_t y = 0; y < inner.rows * 8; y++) {
        require(memcmp(found + y * inner.columns * 24,
                       whole + ((inner.top * 8 + y) * w->columns + inner.left) * 24,
                       inner.columns * 24) == 0,
                "a part differs from the whole");
    }
    free(found);
}

static void check(const network *n, const window *w)
{
    const dcn_net_part all = {0, 0, w->rows, w->columns};
    size_t size = 0, other;
    void *const plain = run(n, w, DCN_NET_PLAIN, all, 1, &size);
    static const dcn_net_path paths[] = {DCN_NET_PLAIN, DCN_NET_AVX2, DCN_NET_AVX512, DCN_NET_AUTO};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        void *const found = run(n, w, paths[i], all, 1 + scatter(3), &other);
        require(found == NULL || plain != NULL, "a path takes what the plain one refuses");
        const int exact = n->parameters.transform != DCN_NET_GRADIENT;
        void *const same = exact || found == NULL ? NULL : run(n, w, paths[i], all, 1, &other);
        const void *const peer = exact ? plain : same;
        require(found == NULL || (other == size && memcmp(found, peer, size) == 0),
                "a path gives something else");
        free(same);
        free(found);
    }
    accepted += plain != NULL;
    if (plain != NULL && n->parameters.transform == DCN_NET_SYNTHESIS) {
        check_part(n, w, plain);
        if (w->means.values != NULL) {
            check_means(n, w, plain);
        }
    }
    free(plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes = data;
    bytes_end = data + size;
    state = number(256) << 8 | number(256);
    window w = {.rows = between(1, MAX_PLACES), .columns = between(1, MAX_PLACES)};
    static const unsigned rates[] = {0, 255}; /* between knots sums are not exact */
    w.rate = rates[number(2)];
    network n;
    describe(&n);
    const size_t places = w.rows * w.columns;
    w.latents = allocate(places * n.parameters.channels * sizeof *w.latents);
    w.pixels = allocate(places * 64 * 3);
    w.counted = allocate(places * 64);
    w.grey = (int)number(2);
    for (size_t i = 0; i < places * n.parameters.channels; i++) {
        w.latents[i] = (int16_t)((int)scatter(9) - 4);
    }
    for (size_t i = 0; i < places * 64 * 3; i++) {
        w.pixels[i] = scatter(2) ? 255 : 0; /* 1 and -1 */
    }
    for (size_t i = 0; i < places * 64; i++) {
        w.counted[i] = scatter(8) > 0;
    }
    if (n.parameters.transform != DCN_NET_ANALYSIS && n.parameters.channels >= DCN_NET_MEANS &&
        scatter(2)) {
        add_means(&w);
    }
    check(&n, &w);
    free(w.latents);
    free((void *)(uintptr_t)w.means.values);
    free(w.pixels);
    free(w.counted);
    release(&n);
    return 0;
}

#ifdef DCN_NET_STANDALONE
int main(int count, char **arguments)
{
    const time_t end = time(NULL) + (count > 1 ? atoi(arguments[1]) : 10);
    size_t runs = 0;
    srand((unsigned)end);
    do {
        uint8_t input[256];
        for (size_t i = 0; i < sizeof input; i++) {
            input[i] = (uint8_t)(rand() >> 7);
        }
        (void)LLVMFuzzerTestOneInput(input, sizeof input);
        runs++;
    } while (time(NULL) < end);
    printf("net: %zu networks, %zu of them valid\n", runs, accepted);
    return 0;
}
#endif
