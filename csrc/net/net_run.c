/* Running a network on a window by threads that share its tasks. */
#include <pthread.h>
#include <sched.h>

#include "net_run.h"

enum { SPINS = 200 };

static void run_task(run *r, const worker *w, const segment *s, size_t task)
{
    /* All that this stage reads must be there, and what it overwrites have been read. */
    for (unsigned spins = 0; __atomic_load_n(&r->finished, __ATOMIC_ACQUIRE) < s->start;) {
        if (++spins > SPINS) {
            sched_yield();
        }
    }
    const strips *const t = &r->strips[s->stage];
    const size_t index = task - s->start;
    const size_t begin = index % t->strips * t->length;
    if (begin < t->columns) {
        const size_t left = t->columns - begin;
        dcn_net_run_strip(r, w, s->stage, s->top + index / t->strips, t->left + begin,
                          left < t->length ? left : t->length);
    }
}

static void run_tasks(run *r, unsigned number)
{
    const segment *s = r->segments, *const last = s + r->segment_count - 1;
    for (;;) {
        const size_t task = __atomic_fetch_add(&r->next, 1, __ATOMIC_RELAXED);
        if (task >= last->end) {
            return;
        }
        while (task >= s->end) {
            s++;
        }
        run_task(r, &r->workers[number], s, task);
        __atomic_fetch_add(&r->finished, 1, __ATOMIC_RELEASE);
    }
}

static void *run_thread(void *argument)
{
    run *const r = argument;
    run_tasks(r, __atomic_add_fetch(&r->threads_started, 1, __ATOMIC_RELAXED));
    return NULL;
}

/* Whether there is a region for each place of a window of `length`, which begins at `start`. */
static int covers(size_t regions, size_t start, size_t length)
{
    const size_t side = DCN_NET_MEANS_SIDE;
    return regions > 0 && start / side < regions &&
           (start % side + length - 1) / side < regions - start / side;
}

static size_t run_window(run *r, unsigned rate, unsigned threads, void *workspace, size_t size)
{
    const dcn_net_part *const p = &r->part;
    if (!dcn_net_window_fits(r->rows, r->columns) || rate > MAX_RATE || p->rows < 1 ||
        p->columns < 1 || p->top >= r->rows || p->rows > r->rows - p->top ||
        p->left >= r->columns || p->columns > r->columns - p->left ||
        (r->means.values != NULL &&
         (r->net->channels < DCN_NET_MEANS || !covers(r->means.rows, r->means.top, r->rows) ||
          !covers(r->means.columns, r->means.left, r->columns)))) {
        return NET_ERROR(DCN_NET_WINDOW_WRONG);
    }
    threads = threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
    if (size < dcn_net_divide(r, NULL, threads) ||
        (r->memo.memory != NULL && r->memo.size < dcn_net_share_memo(r))) {
        return NET_ERROR(DCN_NET_MEMORY_TOO_SMALL);
    }
    uint8_t *const aligned = (uint8_t *)workspace + (size_t)(0 - (uintptr_t)workspace) % ALIGNMENT;
    (void)dcn_net_divide(r, aligned, threads);
    dcn_net_set_rate(r, rate);
    dcn_net_plan(r);
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
                          size_t columns, dcn_net_means means, unsigned rate, unsigned threads,
                          void *workspace, size_t workspace_size)
{
    if (net->transform != DCN_NET_SYNTHESIS) {
        return NET_ERROR(DCN_NET_WINDOW_WRONG);
    }
    run r = {.net = net,
             .rows = rows,
             .columns = columns,
             .part = part,
             .latents = latents,
             .channel_step = channel_step,
             .row_step = row_step,
             .means = means,
             .to_pixels = pixels,
             .pitch = pitch};
    return run_window(&r, rate, threads, workspace, workspace_size);
}

size_t dcn_net_analyse(const dcn_net *net, float *latents, const uint8_t *pixels, size_t pitch,
                       size_t rows, size_t columns, dcn_net_memo memo, unsigned rate,
                       unsigned threads, void *workspace, size_t workspace_size)
{
    if (net->transform != DCN_NET_ANALYSIS) {
        return NET_ERROR(DCN_NET_WINDOW_WRONG);
    }
    run r = {.net = net,
             .rows = rows,
             .columns = columns,
             .part = {0, 0, rows, columns},
             .memo = {memo.memory, memo.size, memo.memory != NULL && memo.known},
             .pixels = pixels,
             .pitch = pitch,
             .to_latents = latents};
    return run_window(&r, rate, threads, workspace, workspace_size);
}

size_t dcn_net_gradient(const dcn_net *net, float *gradient, float *errors, const uint8_t *pixels,
                        size_t pitch, const uint8_t *counted, int grey, const int16_t *latents,
                        size_t channel_step, size_t row_step, size_t rows, size_t columns,
                        dcn_net_means means, unsigned rate, unsigned threads, void *workspace,
                        size_t workspace_size)
{
    if (net->transform != DCN_NET_GRADIENT) {
        return NET_ERROR(DCN_NET_WINDOW_WRONG);
    }
    run r = {.net = net,
             .rows = rows,
             .columns = columns,
             .part = {0, 0, rows, columns},
             .latents = latents,
             .channel_step = channel_step,
             .row_step = row_step,
             .means = means,
             .to_latents = gradient,
             .to_errors = errors,
             .pixels = pixels,
             .pitch = pitch,
             .counted = counted,
             .grey = grey};
    return run_window(&r, rate, threads, workspace, workspace_size);
}
