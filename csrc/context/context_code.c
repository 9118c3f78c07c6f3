/* Blocks: their header, encoding, decoding, and what the network says of them. */
#include "context_job.h"

enum { VARINT_BYTES = 5 };

/* One more stream for so many non-zero latents: about 6 kB each, of which a stream costs 8. */
#ifndef NON_ZERO_PER_STREAM
#define NON_ZERO_PER_STREAM 8192
#endif
enum { MOST_STREAMS = 8 };

/* --- encoding --------------------------------------------------------------------------------- */

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
static void encode_stream(void *argument, worker *w, entry *rows, size_t number)
{
    job *const j = argument;
    const block *const b = &j->block;
    writer out = j->writers[number];
    size_t y = number + (b->rows - 1 - number) / b->streams * b->streams;
    size_t from = 0, to = 0;
    for (;; y -= b->streams) {
        const surroundings around = dcn_context_surround(j, rows, y, from, to);
        from = y > 2 ? y - 2 : 0;
        to = y + 1;
        for (size_t x = b->columns; x-- > 0 && !out.full;) {
            b->model->kernels->predict_place(b, w, &around, x);
            for (unsigned c = b->active; c-- > 0;) {
                operation operations[MAX_OPERATIONS];
                size_t count = dcn_context_describe(b->model, w->means[c], w->scales[c],
                                                    j->latents[(c * b->rows + y) * b->columns + x],
                                                    operations);
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
        dcn_context_prepare(&j, model, rows, columns, rate, threads, workspace, workspace_size);
    if (error != 0) {
        return error;
    }
    size_t non_zero;
    j.latents = latents;
    j.block.active = dcn_context_count_active(latents, model->channels, rows * columns, &non_zero);
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
    dcn_context_share_out(&j, encode_stream, streams, threads);
    for (unsigned s = 0; s < streams; s++) {
        if (j.writers[s].full) {
            return CONTEXT_ERROR(DCN_CONTEXT_DST_TOO_SMALL);
        }
    }
    return join(&j, dst);
}

/* --- decoding --------------------------------------------------------------------------------- */

static void decode_task(void *argument, worker *w, entry *rows, size_t task)
{
    job *const j = argument;
    block *const b = &j->block;
    (void)rows;
    const size_t y = task * j->rows_at_once;
    const size_t count = y + j->rows_at_once < b->rows ? j->rows_at_once : b->rows - y;
    const size_t last = y + count - 1;
    /* A stream goes on behind its last row; with that of the last one, those above are known. */
    if (last >= b->streams && !dcn_context_wait(b, last - b->streams, (uint32_t)b->columns)) {
        return;
    }
    const dcn_context_error error = b->model->kernels->decode_rows(b, w, y, count);
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
        dcn_context_prepare(&j, model, rows, columns, rate, threads, workspace, workspace_size);
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
    b->ring_rows = dcn_context_ring_rows(rows);
    b->coded = j.streams;
    memset(b->progress, 0, rows * sizeof *b->progress);
    /* More threads than streams would only wait; with fewer each takes several rows at once. */
    threads = dcn_context_threads(threads);
    threads = threads < b->streams ? threads : b->streams;
    j.rows_at_once = b->streams / threads < TOGETHER ? b->streams / threads : TOGETHER;
    dcn_context_share_out(&j, decode_task, (rows + j.rows_at_once - 1) / j.rows_at_once, threads);
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

static void predict_row(void *argument, worker *w, entry *rows, size_t y)
{
    job *const j = argument;
    const block *const b = &j->block;
    const surroundings around = dcn_context_surround(j, rows, y, 0, 0);
    for (size_t x = 0; x < b->columns; x++) {
        b->model->kernels->predict_place(b, w, &around, x);
        for (unsigned c = 0; c < b->active; c++) {
            const size_t at = (c * b->rows + y) * b->columns + x;
            if (j->bits != NULL) {
                j->bits[at] =
                    dcn_context_bits_of(b->model, w->means[c], w->scales[c], j->latents[at]);
            } else {
                j->means[at] = w->means[c];
                j->scales[at] = w->scales[c];
            }
        }
    }
}

void dcn_context_range(int16_t range[2], const int16_t *latents, size_t count)
{
    int16_t least = latents[0], most = latents[0];
    for (size_t i = 1; i < count; i++) {
        least = latents[i] < least ? latents[i] : least;
        most = latents[i] > most ? latents[i] : most;
    }
    range[0] = least;
    range[1] = most;
}

size_t dcn_context_predict(const dcn_context *model, int32_t *means, uint8_t *scales,
                           const int16_t *latents, size_t rows, size_t columns, unsigned rate,
                           unsigned threads, void *workspace, size_t workspace_size)
{
    job j;
    const size_t error =
        dcn_context_prepare(&j, model, rows, columns, rate, threads, workspace, workspace_size);
    if (error != 0) {
        return error;
    }
    j.latents = latents;
    j.means = means;
    j.scales = scales;
    j.block.active = model->channels;
    dcn_context_share_out(&j, predict_row, rows, threads);
    return rows * columns * model->channels;
}

size_t dcn_context_bits(const dcn_context *model, float *bits, const int16_t *latents, size_t rows,
                        size_t columns, unsigned rate, unsigned threads, void *workspace,
                        size_t workspace_size)
{
    job j;
    const size_t error =
        dcn_context_prepare(&j, model, rows, columns, rate, threads, workspace, workspace_size);
    if (error != 0) {
        return error;
    }
    const size_t count = rows * columns * model->channels;
    size_t non_zero;
    memset(bits, 0, count * sizeof *bits);
    j.latents = latents;
    j.bits = bits;
    j.block.active = dcn_context_count_active(latents, model->channels, rows * columns, &non_zero);
    if (j.block.active > 0) {
        dcn_context_share_out(&j, predict_row, rows, threads);
    }
    return count;
}
