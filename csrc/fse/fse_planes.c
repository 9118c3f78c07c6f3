#include <pthread.h>

#include "fse_common.h"

enum { RLE_BYTES = 3, MAX_THREADS = 64 };

/* Below this many symbols a thread costs more than it saves; fuzzing starts threads for fewer. */
#ifndef DCN_FSE_SYMBOLS_PER_THREAD
#define DCN_FSE_SYMBOLS_PER_THREAD ((size_t)1 << 18)
#endif

typedef struct {
    uint8_t *dst;
    const uint8_t *src;
    uint32_t *sizes;
    const uint32_t *given_sizes;
    const size_t *offsets;
    size_t count;
    size_t first, last;
    unsigned max_symbol;
    size_t error;
} job;

static size_t encode_plane(uint8_t *dst, const uint8_t *src, size_t count, dcn_fse_encoder *work)
{
    if (count > RLE_BYTES) {
        const size_t size = dcn_fse_compress(dst, count, src, count, work);
        if (!dcn_fse_is_error(size) && size != RLE_BYTES) {
            return size;
        }
        if (dcn_fse_error_code(size) == DCN_FSE_REPEATED_SYMBOL && count <= UINT16_MAX) {
            dst[0] = (uint8_t)count;
            dst[1] = (uint8_t)(count >> 8);
            dst[2] = src[0];
            return RLE_BYTES;
        }
    }
    memcpy(dst, src, count);
    return count;
}

static void *encode_job(void *argument)
{
    job *j = argument;
    dcn_fse_encoder work;
    for (size_t c = j->first; c < j->last; c++) {
        j->sizes[c] =
            (uint32_t)encode_plane(j->dst + c * j->count, j->src + c * j->count, j->count, &work);
    }
    return NULL;
}

static size_t decode_plane(uint8_t *dst, size_t count, const uint8_t *src, size_t size,
                           unsigned max_symbol, dcn_fse_decoder *work)
{
    if (size == count) {
        for (size_t i = 0; i < count; i++) {
            if (src[i] > max_symbol) {
                return FSE_ERROR(DCN_FSE_SYMBOL_WRONG);
            }
        }
        memcpy(dst, src, count);
        return count;
    }
    if (size == 0 || size > count || count <= RLE_BYTES) {
        return FSE_ERROR(DCN_FSE_SIZE_WRONG);
    }
    if (size == RLE_BYTES) {
        if ((size_t)(src[0] | src[1] << 8) != count) {
            return FSE_ERROR(DCN_FSE_SIZE_WRONG);
        }
        if (src[2] > max_symbol) {
            return FSE_ERROR(DCN_FSE_SYMBOL_WRONG);
        }
        memset(dst, src[2], count);
        return count;
    }
    return dcn_fse_decompress(dst, count, src, size, max_symbol, work);
}

static void *decode_job(void *argument)
{
    job *j = argument;
    dcn_fse_decoder work;
    for (size_t c = j->first; c < j->last && j->error == 0; c++) {
        const size_t result = decode_plane(j->dst + c * j->count, j->count, j->src + j->offsets[c],
                                           j->given_sizes[c], j->max_symbol, &work);
        if (dcn_fse_is_error(result)) {
            j->error = result;
        }
    }
    return NULL;
}

/* Run `work` over ranges of the channels; the calling thread takes the first range, and any for
 * which no thread could be started. Returns the first range's error that there is, or 0. */
static size_t share_out(void *(*work)(void *), const job *whole, size_t channels, unsigned threads)
{
    job jobs[MAX_THREADS];
    pthread_t handles[MAX_THREADS];
    int started[MAX_THREADS] = {0};
    size_t n = channels * whole->count / DCN_FSE_SYMBOLS_PER_THREAD + 1;
    n = n > threads ? threads : n;
    n = n > channels ? channels : n;
    n = n > MAX_THREADS ? MAX_THREADS : n;
    n = n < 1 ? 1 : n;
    for (size_t t = 0; t < n; t++) {
        jobs[t] = *whole;
        jobs[t].first = channels * t / n;
        jobs[t].last = channels * (t + 1) / n;
        started[t] = t > 0 && pthread_create(&handles[t], NULL, work, &jobs[t]) == 0;
    }
    size_t error = 0;
    for (size_t t = 0; t < n; t++) {
        if (started[t]) {
            pthread_join(handles[t], NULL);
        } else {
            work(&jobs[t]);
        }
        if (error == 0) {
            error = jobs[t].error;
        }
    }
    return error;
}

static int planes_fit(size_t channels, size_t count)
{
    return channels >= 1 && count >= 1 && count <= DCN_FSE_MAX_BLOCK &&
           channels <= SIZE_MAX / 2 / count;
}

size_t dcn_fse_encode_planes(uint8_t *dst, uint32_t *sizes, const uint8_t *src, size_t channels,
                             size_t count, unsigned threads)
{
    if (!planes_fit(channels, count)) {
        return FSE_ERROR(DCN_FSE_SRC_WRONG);
    }
    const job whole = {.dst = dst, .src = src, .sizes = sizes, .count = count};
    share_out(encode_job, &whole, channels, threads);
    size_t total = sizes[0];
    for (size_t c = 1; c < channels; c++) {
        memmove(dst + total, dst + c * count, sizes[c]);
        total += sizes[c];
    }
    return total;
}

size_t dcn_fse_decode_planes(uint8_t *dst, const uint32_t *sizes, const uint8_t *src, size_t size,
                             size_t channels, size_t count, unsigned max_symbol, unsigned threads,
                             size_t *offsets)
{
    if (!planes_fit(channels, count)) {
        return FSE_ERROR(DCN_FSE_SRC_WRONG);
    }
    size_t total = 0;
    for (size_t c = 0; c < channels; c++) {
        if (sizes[c] > size - total) {
            return FSE_ERROR(DCN_FSE_SIZE_WRONG);
        }
        offsets[c] = total;
        total += sizes[c];
    }
    if (total != size) {
        return FSE_ERROR(DCN_FSE_SIZE_WRONG);
    }
    const job whole = {.dst = dst,
                       .src = src,
                       .given_sizes = sizes,
                       .offsets = offsets,
                       .count = count,
                       .max_symbol = max_symbol};
    const size_t error = share_out(decode_job, &whole, channels, threads);
    return error != 0 ? error : channels * count;
}
