/* Sharing rows out among threads, what is known of their places, and what a latent costs. */
#include <math.h>
#include <pthread.h>
#include <sched.h>

#include "context_job.h"

enum { MAX_THREADS = 16, SPINS = 200 };

/* Parts of the workspace, counted or handed out. */
typedef struct {
    worker *workers;
    entry *rows, *ring;
    uint32_t *progress;
    int32_t *first_bias, *output_bias;
    size_t size;
} parts;

unsigned dcn_context_threads(unsigned threads)
{
    return threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
}

size_t dcn_context_ring_rows(size_t rows)
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
    const size_t row_entries = columns * (MASKS + m->channel_pairs);
    PART(workers, threads);
    PART(rows, threads * 3 * row_entries);
    PART(ring, dcn_context_ring_rows(rows) * row_entries);
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
    return divide(m, NULL, rows, columns, dcn_context_threads(threads)).size;
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

size_t dcn_context_prepare(job *j, const dcn_context *m, size_t rows, size_t columns, unsigned rate,
                           unsigned threads, void *workspace, size_t size)
{
    if (!block_fits(rows, columns) || rate > 255) {
        return CONTEXT_ERROR(DCN_CONTEXT_BLOCK_WRONG);
    }
    threads = dcn_context_threads(threads);
    if (size < divide(m, NULL, rows, columns, threads).size) {
        return CONTEXT_ERROR(DCN_CONTEXT_MEMORY_TOO_SMALL);
    }
    uint8_t *const memory = (uint8_t *)workspace + (size_t)(0 - (uintptr_t)workspace) % ALIGNMENT;
    const parts p = divide(m, memory, rows, columns, threads);
    memset(j, 0, sizeof *j);
    j->workers = p.workers;
    j->rows = p.rows;
    j->row_entries = columns * (MASKS + m->channel_pairs);
    block *const b = &j->block;
    b->model = m;
    b->rows = rows;
    b->columns = columns;
    b->first_bias = p.first_bias;
    b->output_bias = p.output_bias;
    b->ring = p.ring;
    b->place_entries = MASKS + m->channel_pairs;
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
        j->work(j, j->workers + number, j->rows + number * 3 * j->row_entries, task);
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
void dcn_context_share_out(job *j, void (*work)(void *, worker *, entry *, size_t), size_t tasks,
                           unsigned threads)
{
    pthread_t handles[MAX_THREADS];
    unsigned started = 0;
    threads = dcn_context_threads(threads);
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

/* --- places, where all latents are known ------------------------------------------------------ */

static void fill_row(const job *j, entry *places, size_t y)
{
    const block *const b = &j->block;
    memset(places, 0, j->row_entries * sizeof *places);
    for (unsigned c = 0; c < b->active; c++) {
        const int16_t *const row = j->latents + (c * b->rows + y) * b->columns;
        for (size_t x = 0; x < b->columns; x++) {
            if (row[x] != 0) {
                tell(b->model, places + x * b->place_entries, c, row[x]);
            }
        }
    }
}

surroundings dcn_context_surround(const job *j, entry *rows, size_t y, size_t from, size_t to)
{
    surroundings around;
    for (size_t i = 0; i < 3; i++) {
        around.rows[i] = NULL;
        if (i <= y) {
            entry *const row = rows + (y - i) % 3 * j->row_entries;
            if (y - i < from || y - i >= to) {
                fill_row(j, row, y - i);
            }
            around.rows[i] = row;
        }
    }
    return around;
}

/* Channels up to the last one with a latent that is not 0, and how many such latents there are. */
unsigned dcn_context_count_active(const int16_t *latents, unsigned channels, size_t count,
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

/* --- what a latent costs -----------------------------------------------------------------------
 */

/* The intervals of a latent in the order in which a decoder reads them. */
size_t dcn_context_describe(const dcn_context *m, int32_t mean, uint8_t scale, int32_t latent,
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

float dcn_context_bits_of(const dcn_context *m, int32_t mean, uint8_t scale, int32_t latent)
{
    operation operations[MAX_OPERATIONS];
    float bits = 0;
    for (size_t n = dcn_context_describe(m, mean, scale, latent, operations); n > 0; n--) {
        const operation o = operations[n - 1];
        bits += (float)o.bits - (o.frequency == 1 ? 0 : log2f(o.frequency));
    }
    return bits;
}
