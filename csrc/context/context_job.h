/* A block shared out among threads: what encoding, decoding and searching have in common. */
#ifndef DCN_CONTEXT_JOB_H
#define DCN_CONTEXT_JOB_H

#include "context_common.h"

enum { MAX_OPERATIONS = 5 };

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
    void (*work)(void *job, worker *w, entry *rows, size_t task);
    size_t tasks;
    size_t rows_at_once; /* decoding: of each task */
    size_t next;         /* the first task that no thread has taken */
    worker *workers;     /* one for each thread */
    entry *rows;         /* three for each thread */
    size_t row_entries;
    unsigned threads_started;
    const int16_t *latents;
    writer writers[DCN_CONTEXT_MAX_STREAMS];
    stream streams[DCN_CONTEXT_MAX_STREAMS];
    int32_t *means;
    uint8_t *scales;
    float *bits;
} job;

/* Set up a job with its parts of the workspace. Returns 0 or an error. */
size_t dcn_context_prepare(job *j, const dcn_context *m, size_t rows, size_t columns, unsigned rate,
                           unsigned threads, void *workspace, size_t size);

/* How many threads of those that the caller allows. */
unsigned dcn_context_threads(unsigned threads);

/* Work on all tasks with up to `threads` threads, the calling one among them. It would finish
 * them all by itself if no other could be started. */
void dcn_context_share_out(job *j, void (*work)(void *, worker *, entry *, size_t), size_t tasks,
                           unsigned threads);

/* Rows whose places are kept while a block becomes known row by row. */
size_t dcn_context_ring_rows(size_t rows);

/* Fill the places of row y and of the two above, but for those of rows `from` to `to` - 1, which
 * stand from the task before. */
surroundings dcn_context_surround(const job *j, entry *rows, size_t y, size_t from, size_t to);

/* Channels up to the last one with a latent that is not 0, and how many such latents there are. */
unsigned dcn_context_count_active(const int16_t *latents, unsigned channels, size_t count,
                                  size_t *non_zero);

/* The intervals of a latent in the order in which a decoder reads them; returns their number. */
size_t dcn_context_describe(const dcn_context *m, int32_t mean, uint8_t scale, int32_t latent,
                            operation *operations);

/* Bits that a latent takes. */
float dcn_context_bits_of(const dcn_context *m, int32_t mean, uint8_t scale, int32_t latent);

#endif
