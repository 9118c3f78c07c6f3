/* Quantisation by rate and distortion, in the order of coding. */
#include <math.h>

#include "context_job.h"

/* Of a target that is none, or lies beyond all code words. */
static float bounded(float target, int32_t least, int32_t most)
{
    if (!(target == target)) { /* not a number */
        return 0;
    }
    return target<(float)least ? (float)least : target>(float) most ? (float)most : target;
}

static int32_t nearest(float target)
{
    /* Halves are rounded up: any rule does that is the same on every machine. */
    const int32_t down = (int32_t)target - (target < (float)(int32_t)target);
    return down + (target - (float)down >= 0.5F);
}

/* Where what rounds to a code word lies, on average, from it: within the cell the distribution is
 * taken for an exponential one. Decoders that have learned restore about that. */
static float centre(const block *b, int32_t mean, uint8_t scale, int32_t word)
{
    const float log_2 = 0.69314718F;
    const float slope = (dcn_context_bits_of(b->model, mean, scale, word + 1) -
                         dcn_context_bits_of(b->model, mean, scale, word - 1)) *
                        (log_2 / 2);
    /* Near zero the difference of the two is lost in rounding. */
    return fabsf(slope) < 0.05F ? -slope / 12 : 1 / slope - 0.5F / tanhf(slope / 2);
}

static float cost_of(const block *b, int32_t mean, uint8_t scale, int32_t word, float target,
                     float weight)
{
    const float restored = (float)word + (b->centred ? centre(b, mean, scale, word) : 0);
    const float distance = restored - target;
    return dcn_context_bits_of(b->model, mean, scale, word) + weight * distance * distance;
}

int32_t dcn_context_choose(const block *b, int32_t mean, uint8_t scale, float target, float weight)
{
    const int32_t predicted = clamp((mean + 8) >> 4, b->least, b->most);
    target = bounded(target, b->least, b->most);
    int32_t chosen = nearest(target);
    const int32_t towards = chosen < predicted ? 1 : -1;
    float cost = chosen == predicted ? 0 : cost_of(b, mean, scale, chosen, target, weight);
    while (chosen != predicted) {
        const float next = cost_of(b, mean, scale, chosen + towards, target, weight);
        if (!(next < cost)) {
            break;
        }
        chosen += towards;
        cost = next;
    }
    return chosen;
}

/* Channels up to the last one with a target that rounds to another code word than 0. */
static unsigned channels_needed(const block *b, size_t channels)
{
    const size_t count = b->rows * b->columns;
    for (size_t c = channels; c > 0; c--) {
        for (size_t i = (c - 1) * count; i < c * count; i++) {
            if (nearest(bounded(b->targets[i], b->least, b->most)) != 0) {
                return (unsigned)c;
            }
        }
    }
    return 0;
}

static void quantise_row(void *argument, worker *w, entry *rows, size_t y)
{
    job *const j = argument;
    block *const b = &j->block;
    (void)rows;
    /* The row before, whose place in the ring this one takes, must not be needed any more. */
    if (y >= DCN_CONTEXT_MAX_STREAMS) {
        (void)dcn_context_wait(b, y - DCN_CONTEXT_MAX_STREAMS, (uint32_t)b->columns);
    }
    b->model->kernels->quantise_row(b, w, y);
}

size_t dcn_context_quantise(const dcn_context *model, int16_t *latents, const float *targets,
                            const float *weights, int centred, int16_t least, int16_t most,
                            size_t rows, size_t columns, unsigned rate, unsigned threads,
                            void *workspace, size_t workspace_size)
{
    job j;
    const size_t error =
        dcn_context_prepare(&j, model, rows, columns, rate, threads, workspace, workspace_size);
    if (error != 0) {
        return error;
    }
    if (least > 0 || most < 0) {
        return CONTEXT_ERROR(DCN_CONTEXT_BLOCK_WRONG);
    }
    const size_t count = rows * columns * model->channels;
    memset(latents, 0, count * sizeof *latents);
    block *const b = &j.block;
    b->latents = latents;
    b->targets = targets;
    b->weights = weights;
    b->centred = centred;
    b->least = least;
    b->most = most;
    b->active = channels_needed(b, model->channels);
    if (b->active > 0) {
        b->ring_rows = dcn_context_ring_rows(rows);
        memset(b->progress, 0, rows * sizeof *b->progress);
        dcn_context_share_out(&j, quantise_row, rows, threads);
    }
    return count;
}
