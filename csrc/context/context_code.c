/* Blocks: their header, encoding, and sharing rows out among threads. */
#include <math.h>
#include <pthread.h>
#include <sched.h>

#include "context_common.h"

enum { MAX_THREADS = 16, SPINS = 200, MAX_OPERATIONS = 5, VARINT_BYTES = 5 };

/* One more stream for so many non-zero latents: about 6 kB each, of which a stream costs 8. */
enum { NON_ZERO_PER_STREAM = 8192, MOST_STREAMS = 8 };

/* An interval of `frequency` values from `start` on, out of 1 << bits. */
typedef struct {
    uint16_t start, frequency;
    uint8_t bits;
} operation;

/* A stream is written from its end to its beginning. */
typedef struct {
    uint64_t state;
    uint8_t *begin, *at, *end;
    int full;
} writer;

/* What a task of one thread works on, and what the threads share. */
typedef struct {
    block block;
    void (*work)(void *job, worker *w, entry *lists, size_t task);
    size_t tasks;
    size_t next; /* the first task that no thread has taken */
    worker *workers;
    entry *lists; /* three rows for each thread */
    size_t row_entries;
    unsigned threads_started;
    const int16_t *latents;
    writer writers[DCN_CONTEXT_MAX_STREAMS];
    stream streams[DCN_CONTEXT_MAX_STREAMS];
    int32_t *means;
    uint8_t *scales;
    float *bits;
} job;

/* Parts of the workspace, counted or handed out. */
typedef struct {
    worker *workers;
    entry *lists, *ring;
    uint32_t *progress;
    int32_t *first_bias, *output_bias;
    size_t size;
} parts;

static unsigned threads_of(unsigned threads)
{
    return threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
}

static size_t list_rows_of(size_t rows)
{
    const size_t most = DCN_CONTEXT_MAX_STREAMS + 2;
    return rows < most ? rows : most;
}

static parts divide(const dcn_context *m, uint8_t *memory, size_t rows, size_t columns,
                    unsigned threads)
{
    parts p;
    size_t used = 0;
#define PART(field, count)                                                                         \
    p.field = memory == NULL ? NULL : (void *)(memory + used);                                     \
    used += ((count) * sizeof *p.field + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT
    const size_t row_entries = columns * ((size_t)m->channels + 1);
    PART(workers, threads);
    PART(lists, threads * 3 * row_entries);
    PART(ring, list_rows_of(rows) * row_entries);
    PART(progress, rows);
    PART(first_bias, m->unit_rows);
    PART(output_bias, m->output_rows);
#undef PART
    p.size = used + ALIGNMENT - 1;
    return p;
}

static int block_fits(size_t rows, size_t columns)
{
    return rows >= 1 && rows <= DCN_CONTEXT_MAX_SIDE && columns >= 1 &&
           columns <= DCN_CONTEXT_MAX_SIDE;
}

size_t dcn_context_workspace_size(const dcn_context *m, size_t rows, size_t columns,
                                  unsigned threads)
{
    if (!block_fits(rows, columns)) {
        return CONTEXT_ERROR(DCN_CONTEXT_BLOCK_WRONG);
    }
    return divide(m, NULL, rows, columns, threads_of(threads)).size;
}

/* A latent takes at most 15 + 1 + 4 + 15 + 15 bits; the streams' states and sizes come on top, and
 * each stream has its share of the room by its rows, rounded down. */
size_t dcn_context_bound(const dcn_context *m, size_t rows, size_t columns)
{
    if (!block_fits(rows, columns)) {
        return CONTEXT_ERROR(DCN_CONTEXT_BLOCK_WRONG);
    }
    return rows * (columns * m->channels * 7 + 16) + 32 * DCN_CONTEXT_MAX_STREAMS;
}

/* Biases at a rate of 0..255: knots lie at 255 i / (knots - 1). */
static void interpolate(int32_t *bias, const int32_t *knots, size_t rows, uint32_t count,
                        unsigned rate)
{
    const uint32_t position = rate * (count - 1);
    const uint32_t first = position / 255, second = first + 1 < count ? first + 1 : first;
    const int64_t share = position % 255;
    for (size_t r = 0; r < rows; r++) {
        const int64_t sum =
            knots[first * rows + r] * (255 - share) + knots[second * rows + r] * share;
        bias[r] = (int32_t)(sum < 0 ? -((254 - sum) / 255) : sum / 255);
    }
}

static size_t prepare(job *j, const dcn_context *m, size_t rows, size_t columns, unsigned rate,
                      unsigned threads, void *workspace, size_t size)
{
    if (!block_fits(rows, columns) || rate > 255) {
        return CONTEXT_ERROR(DCN_CONTEXT_BLOCK_WRONG);
    }
    threads = threads_of(threads);
    if (size < divide(m, NULL, rows, columns, threads).size) {
        return CONTEXT_ERROR(DCN_CONTEXT_MEMORY_TOO_SMALL);
    }
    uint8_t *const memory = (uint8_t *)workspace + (size_t)(0 - (uintptr_t)workspace) % ALIGNMENT;
    const parts p = divide(m, memory, rows, columns, threads);
    memset(j, 0, sizeof *j);
    j->workers = p.workers;
    j->lists = p.lists;
    j->row_entries = columns * ((size_t)m->channels + 1);
    block *const b = &j->block;
    b->model = m;
    b->rows = rows;
    b->columns = columns;
    b->first_bias = p.first_bias;
    b->output_bias = p.output_bias;
    b->lists = p.ring;
    b->list_stride = (size_t)m->channels + 1;
    b->progress = p.progress;
    interpolate(p.first_bias, m->first_bias, m->unit_rows, m->knots, rate);
    interpolate(p.output_bias, m->output_bias, m->output_rows, m->knots, rate);
    return 0;
}

/* --- threads: each takes the next task until there is none ------------------------------------ */

static void run_tasks(job *j, unsigned number)
{
    for (;;) {
        const size_t task = __atomic_fetch_add(&j->next, 1, __ATOMIC_RELAXED);
        if (task >= j->tasks) {
            return;
        }
        j->work(j, j->workers + number, j->lists + number * 3 * j->row_entries, task);
    }
}

static void *run_thread(void *argument)
{
    job *const j = argument;
    run_tasks(j, __atomic_add_fetch(&j->threads_started, 1, __ATOMIC_RELAXED));
    return NULL;
}

/* Work on all tasks with up to `threads` threads, the calling one among them. It would finish
 * them all by itself if no other could be started. */
static void share_out(job *j, void (*work)(void *, worker *, entry *, size_t), size_t tasks,
                      unsigned threads)
{
    pthread_t handles[MAX_THREADS];
    unsigned started = 0;
    threads = threads_of(threads);
    j->work = work;
    j->tasks = tasks;
    while (started + 1 < threads && started + 1 < tasks &&
           pthread_create(&handles[started], NULL, run_thread, j) == 0) {
        started++;
    }
    run_tasks(j, 0);
    while (started > 0) {
        pthread_join(handles[--started], NULL);
    }
}

int dcn_context_wait(const block *b, size_t row, uint32_t needed)
{
    for (unsigned spins = 0; __atomic_load_n(&b->progress[row], __ATOMIC_ACQUIRE) < needed;) {
        if (__atomic_load_n(&b->failed, __ATOMIC_RELAXED)) {
            return 0;
        }
        if (++spins > SPINS) {
            sched_yield();
        }
    }
    return 1;
}

/* --- lists of non-zero latents, where all are known ------------------------------------------- */

static void list_row(const job *j, entry *lists, size_t y)
{
    const block *const b = &j->block;
    for (size_t x = 0; x < b->columns; x++) {
        lists[x * b->list_stride].channel = 0;
    }
    for (unsigned c = 0; c < b->active; c++) {
        const int16_t *const row = j->latents + (c * b->rows + y) * b->columns;
        for (size_t x = 0; x < b->columns; x++) {
            if (row[x] != 0) {
                entry *const list = lists + x * b->list_stride;
                list[++list->channel] = (entry){(uint16_t)c, row[x]};
            }
        }
    }
}

/* List a row and the two above; those that stand from the task before are not listed again. */
static surroundings list_rows(const job *j, entry *lists, size_t y, size_t listed_from,
                              size_t listed_to)
{
    surroundings around;
    for (size_t i = 0; i < 3; i++) {
        around.rows[i] = NULL;
        if (i <= y) {
            entry *const row = lists + (y - i) % 3 * j->row_entries;
            if (y - i < listed_from || y - i >= listed_to) {
                list_row(j, row, y - i);
            }
            around.rows[i] = row;
        }
    }
    return around;
}

/* Channels up to the last one with a latent that is not 0, and how many such latents there are. */
static unsigned count_active(const int16_t *latents, unsigned channels, size_t count,
                             size_t *non_zero)
{
    unsigned active = 0;
    *non_zero = 0;
    for (unsigned c = 0; c < channels; c++) {
        size_t found = 0;
        for (size_t i = 0; i < count; i++) {
            found += latents[c * count + i] != 0;
        }
        active = found > 0 ? c + 1 : active;
        *non_zero += found;
    }
    return active;
}

/* --- encoding --------------------------------------------------------------------------------- */

/* The intervals of a latent in the order in which a decoder reads them. */
static size_t describe(const dcn_context *m, int32_t mean, uint8_t scale, int32_t latent,
                       operation *operations)
{
    const table *const t = table_of(m, mean, scale);
    const uint16_t *const cumulative = m->cumulative + t->start;
    const int32_t difference = latent - (mean >> 4);
    const int32_t value = difference >> t->low_bits;
    const int32_t magnitude = value < 0 ? -value : value;
    const int escaped = magnitude > t->radius;
    const uint32_t symbol = (uint32_t)(escaped ? 2 * t->radius + 1 : value + t->radius);
    size_t count = 0;
    operations[count++] =
        (operation){cumulative[symbol], (uint16_t)(cumulative[symbol + 1] - cumulative[symbol]),
                    DCN_CONTEXT_PRECISION};
    if (escaped) {
        const uint32_t beyond = (uint32_t)(magnitude - t->radius);
        const unsigned length = 31U - (unsigned)__builtin_clz(beyond);
        operations[count++] = (operation){value < 0, 1, 1};
        operations[count++] = (operation){(uint16_t)length, 1, LENGTH_BITS};
        operations[count++] = (operation){(uint16_t)(beyond - (1U << length)), 1, (uint8_t)length};
    }
    if (t->low_bits > 0) {
        const uint32_t low = (uint32_t)difference & ((1U << t->low_bits) - 1);
        operations[count++] = (operation){(uint16_t)low, 1, t->low_bits};
    }
    return count;
}

static void put(writer *w, operation o)
{
    if (w->state >= (uint64_t)o.frequency << (STATE_BITS + WORD_BITS - o.bits)) {
        if (w->at - w->begin < 2) {
            w->full = 1;
            return;
        }
        w->at -= 2;
        w->at[0] = (uint8_t)w->state;
        w->at[1] = (uint8_t)(w->state >> 8);
        w->state >>= WORD_BITS;
    }
    w->state = (w->state / o.frequency << o.bits) + w->state % o.frequency + o.start;
}

static void put_state(writer *w)
{
    if (w->at - w->begin < STATE_BYTES) {
        w->full = 1;
        return;
    }
    w->at -= STATE_BYTES;
    for (unsigned i = 0; i < STATE_BYTES; i++) {
        w->at[i] = (uint8_t)(w->state >> 8 * i);
    }
}

/* A whole stream, backwards: since all latents are known, so may the places be visited. */
static void encode_stream(void *argument, worker *w, entry *lists, size_t number)
{
    job *const j = argument;
    const block *const b = &j->block;
    writer out = j->writers[number];
    size_t y = number + (b->rows - 1 - number) / b->streams * b->streams;
    size_t from = 0, to = 0;
    for (;; y -= b->streams) {
        const surroundings around = list_rows(j, lists, y, from, to);
        from = y > 2 ? y - 2 : 0;
        to = y + 1;
        for (size_t x = b->columns; x-- > 0 && !out.full;) {
            b->model->kernels->predict_place(b, w, &around, x);
            for (unsigned c = b->active; c-- > 0;) {
                operation operations[MAX_OPERATIONS];
                size_t count = describe(b->model, w->means[c], w->scales[c],
                                        j->latents[(c * b->rows + y) * b->columns + x], operations);
                while (count > 0) {
                    put(&out, operations[--count]);
                }
            }
        }
        if (y < b->streams || out.full) {
            break;
        }
    }
    put_state(&out);
    j->writers[number] = out;
}

static unsigned streams_for(size_t non_zero, size_t rows)
{
    size_t most = non_zero / NON_ZERO_PER_STREAM;
    most = most > MOST_STREAMS ? MOST_STREAMS : most;
    most = most > rows ? rows : most;
    return most < 1 ? 1 : (unsigned)most;
}

static size_t put_varint(uint8_t *dst, size_t value)
{
    size_t count = 0;
    for (; value > 127; value >>= 7) {
        dst[count++] = (uint8_t)(value | 128);
    }
    dst[count++] = (uint8_t)value;
    return count;
}

/* Streams behind each other, after the header. */
static size_t join(const job *j, uint8_t *dst)
{
    const block *const b = &j->block;
    size_t at = 2;
    dst[0] = (uint8_t)b->active;
    dst[1] = (uint8_t)b->streams;
    for (unsigned s = 0; s + 1 < b->streams; s++) {
        at += put_varint(dst + at, (size_t)(j->writers[s].end - j->writers[s].at));
    }
    for (unsigned s = 0; s < b->streams; s++) {
        const writer *const w = j->writers + s;
        memmove(dst + at, w->at, (size_t)(w->end - w->at));
        at += (size_t)(w->end - w->at);
    }
    return at;
}

size_t dcn_context_encode(const dcn_context *model, uint8_t *dst, size_t capacity,
                          const int16_t *latents, size_t rows, size_t columns, unsigned rate,
                          unsigned threads, void *workspace, size_t workspace_size)
{
    job j;
    const size_t error =
        prepare(&j, model, rows, columns, rate, threads, workspace, workspace_size);
    if (error != 0) {
        return error;
    }
    size_t non_zero;
    j.latents = latents;
    j.block.active = count_active(latents, model->channels, rows * columns, &non_zero);
    if (j.block.active == 0) {
        if (capacity < 1) {
            return CONTEXT_ERROR(DCN_CONTEXT_DST_TOO_SMALL);
        }
        dst[0] = 0;
        return 1;
    }
    const unsigned streams = streams_for(non_zero, rows);
    const size_t header = 2 + VARINT_BYTES * streams;
    if (capacity < header) {
        return CONTEXT_ERROR(DCN_CONTEXT_DST_TOO_SMALL);
    }
    j.block.streams = streams;
    /* Room by rows: stream s has ceil((rows - s) / streams) of them. */
    size_t before = 0;
    for (unsigned s = 0; s < streams; s++) {
        const size_t end = before + (rows - s + streams - 1) / streams;
        writer *const w = j.writers + s;
        w->state = STATE_START;
        w->begin = dst + header + (capacity - header) * before / rows;
        w->at = w->end = dst + header + (capacity - header) * end / rows;
        before = end;
    }
    share_out(&j, encode_stream, streams, threads);
    for (unsigned s = 0; s < streams; s++) {
        if (j.writers[s].full) {
            return CONTEXT_ERROR(DCN_CONTEXT_DST_TOO_SMALL);
        }
    }
    return join(&j, dst);
}

/* --- decoding --------------------------------------------------------------------------------- */

static void decode_row(void *argument, worker *w, entry *lists, size_t y)
{
    job *const j = argument;
    block *const b = &j->block;
    (void)lists;
    if (y >= b->streams && !dcn_context_wait(b, y - b->streams, (uint32_t)b->columns)) {
        return;
    }
    const dcn_context_error error = b->model->kernels->decode_row(b, w, y);
    if (error != DCN_CONTEXT_OK) {
        int none = 0;
        __atomic_compare_exchange_n(&b->failed, &none, (int)error, 0, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED);
    }
}

static int get_varint(const uint8_t **at, const uint8_t *end, size_t *value)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < VARINT_BYTES && *at < end; i++) {
        const uint8_t byte = *(*at)++;
        sum |= (uint64_t)(byte & 127) << 7 * i;
        if (byte < 128) {
            *value = (size_t)sum;
            return sum <= UINT32_MAX && (byte != 0 || i == 0);
        }
    }
    return 0;
}

/* Find the streams and read their states. */
static dcn_context_error open_streams(job *j, const uint8_t *src, size_t size)
{
    block *const b = &j->block;
    const uint8_t *at = src + 2, *const end = src + size;
    if (size < 2 || src[1] < 1 || src[1] > DCN_CONTEXT_MAX_STREAMS || src[1] > b->rows) {
        return DCN_CONTEXT_HEADER_CORRUPT;
    }
    b->streams = src[1];
    size_t sizes[DCN_CONTEXT_MAX_STREAMS];
    for (unsigned s = 0; s + 1 < b->streams; s++) {
        if (!get_varint(&at, end, &sizes[s])) {
            return DCN_CONTEXT_HEADER_CORRUPT;
        }
    }
    for (unsigned s = 0; s < b->streams; s++) {
        const size_t left = (size_t)(end - at);
        const size_t taken = s + 1 < b->streams ? sizes[s] : left;
        if (taken > left || taken < STATE_BYTES) {
            return DCN_CONTEXT_HEADER_CORRUPT;
        }
        stream *const st = j->streams + s;
        st->state = 0;
        for (unsigned i = 0; i < STATE_BYTES; i++) {
            st->state |= (uint64_t)at[i] << 8 * i;
        }
        if (st->state < STATE_START) {
            return DCN_CONTEXT_STREAM_CORRUPT;
        }
        st->at = at + STATE_BYTES;
        st->end = at += taken;
    }
    return DCN_CONTEXT_OK;
}

size_t dcn_context_decode(const dcn_context *model, int16_t *latents, const uint8_t *src,
                          size_t size, size_t rows, size_t columns, unsigned rate, unsigned threads,
                          void *workspace, size_t workspace_size)
{
    job j;
    const size_t wrong =
        prepare(&j, model, rows, columns, rate, threads, workspace, workspace_size);
    if (wrong != 0) {
        return wrong;
    }
    const size_t count = rows * columns * model->channels;
    if (size < 1 || src[0] > model->channels || (src[0] == 0 && size != 1)) {
        return CONTEXT_ERROR(DCN_CONTEXT_HEADER_CORRUPT);
    }
    memset(latents, 0, count * sizeof *latents);
    block *const b = &j.block;
    b->active = src[0];
    if (b->active == 0) {
        return count;
    }
    const dcn_context_error error = open_streams(&j, src, size);
    if (error != DCN_CONTEXT_OK) {
        return CONTEXT_ERROR(error);
    }
    b->latents = latents;
    b->list_rows = list_rows_of(rows);
    b->coded = j.streams;
    memset(b->progress, 0, rows * sizeof *b->progress);
    /* More threads than streams would only wait. */
    share_out(&j, decode_row, rows, threads < b->streams ? threads : b->streams);
    if (b->failed) {
        return CONTEXT_ERROR(b->failed);
    }
    for (unsigned s = 0; s < b->streams; s++) {
        if (j.streams[s].state != STATE_START || j.streams[s].at != j.streams[s].end) {
            return CONTEXT_ERROR(DCN_CONTEXT_STREAM_CORRUPT);
        }
    }
    return count;
}

/* --- what the network says ---------------------------------------------------------------------
 */

static float bits_of(const dcn_context *m, int32_t mean, uint8_t scale, int32_t latent)
{
    operation operations[MAX_OPERATIONS];
    float bits = 0;
    for (size_t n = describe(m, mean, scale, latent, operations); n > 0; n--) {
        const operation o = operations[n - 1];
        bits += (float)o.bits - (o.frequency == 1 ? 0 : log2f(o.frequency));
    }
    return bits;
}

static void predict_row(void *argument, worker *w, entry *lists, size_t y)
{
    job *const j = argument;
    const block *const b = &j->block;
    const surroundings around = list_rows(j, lists, y, 0, 0);
    for (size_t x = 0; x < b->columns; x++) {
        b->model->kernels->predict_place(b, w, &around, x);
        for (unsigned c = 0; c < b->active; c++) {
            const size_t at = (c * b->rows + y) * b->columns + x;
            if (j->bits != NULL) {
                j->bits[at] = bits_of(b->model, w->means[c], w->scales[c], j->latents[at]);
            } else {
                j->means[at] = w->means[c];
                j->scales[at] = w->scales[c];
            }
        }
    }
}

size_t dcn_context_predict(const dcn_context *model, int32_t *means, uint8_t *scales,
                           const int16_t *latents, size_t rows, size_t columns, unsigned rate,
                           unsigned threads, void *workspace, size_t workspace_size)
{
    job j;
    const size_t error =
        prepare(&j, model, rows, columns, rate, threads, workspace, workspace_size);
    if (error != 0) {
        return error;
    }
    j.latents = latents;
    j.means = means;
    j.scales = scales;
    j.block.active = model->channels;
    share_out(&j, predict_row, rows, threads);
    return rows * columns * model->channels;
}

size_t dcn_context_bits(const dcn_context *model, float *bits, const int16_t *latents, size_t rows,
                        size_t columns, unsigned rate, unsigned threads, void *workspace,
                        size_t workspace_size)
{
    job j;
    const size_t error =
        prepare(&j, model, rows, columns, rate, threads, workspace, workspace_size);
    if (error != 0) {
        return error;
    }
    const size_t count = rows * columns * model->channels;
    size_t non_zero;
    memset(bits, 0, count * sizeof *bits);
    j.latents = latents;
    j.bits = bits;
    j.block.active = count_active(latents, model->channels, rows * columns, &non_zero);
    if (j.block.active > 0) {
        share_out(&j, predict_row, rows, threads);
    }
    return count;
}
