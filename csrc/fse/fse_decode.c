#include "fse_common.h"

/* `bits` (at most 16) from bit `at` on; bits behind the end read as zero. */
static uint32_t peek(const uint8_t *src, size_t size, size_t at, unsigned bits)
{
    uint32_t value = 0;
    for (size_t byte = at >> 3, i = 0; i < 3 && byte + i < size; i++) {
        value |= (uint32_t)src[byte + i] << (8 * i);
    }
    return value >> (at & 7) & ((1U << bits) - 1);
}

size_t dcn_fse_read_table(int16_t *normalised, unsigned *table_log, unsigned max_symbol,
                          const uint8_t *src, size_t size)
{
    if (size == 0 || max_symbol >= DCN_FSE_MAX_SYMBOLS) {
        return FSE_ERROR(DCN_FSE_TABLE_CORRUPT);
    }
    const unsigned log = DCN_FSE_MIN_TABLE_LOG + peek(src, size, 0, 4);
    if (log > DCN_FSE_MAX_TABLE_LOG) {
        return FSE_ERROR(DCN_FSE_TABLE_CORRUPT);
    }
    memset(normalised, 0, DCN_FSE_MAX_SYMBOLS * sizeof *normalised);
    size_t at = 4;
    int remaining = (1 << log) + 1;
    int threshold = 1 << log;
    unsigned bits = log + 1;
    unsigned symbol = 0;
    while (remaining > 1) {
        if (symbol > max_symbol) {
            return FSE_ERROR(DCN_FSE_TABLE_CORRUPT);
        }
        const int spare = 2 * threshold - 1 - remaining;
        int value = (int)peek(src, size, at, bits);
        if ((value & (threshold - 1)) < spare) {
            value &= threshold - 1;
            at += bits - 1;
        } else {
            at += bits;
            if (value >= threshold) {
                value -= spare;
            }
        }
        const int share = value - 1;
        remaining -= share < 0 ? 1 : share;
        if (remaining < 1) {
            return FSE_ERROR(DCN_FSE_TABLE_CORRUPT);
        }
        normalised[symbol++] = (int16_t)share;
        while (remaining < threshold && threshold > 1) {
            bits--;
            threshold >>= 1;
        }
        if (share == 0) {
            uint32_t zeros;
            do {
                zeros = peek(src, size, at, 2);
                at += 2;
                symbol += zeros;
            } while (zeros == 3 && symbol <= max_symbol);
        }
    }
    const size_t used = (at + 7) >> 3;
    if (used > size) {
        return FSE_ERROR(DCN_FSE_TABLE_CORRUPT);
    }
    *table_log = log;
    return used;
}

static void build(dcn_fse_decoder *work, unsigned max_symbol, unsigned table_log)
{
    const unsigned size = 1U << table_log;
    dcn_fse_spread(work->spread, work->normalised, max_symbol, table_log);
    for (unsigned s = 0; s <= max_symbol; s++) {
        work->next[s] = (uint16_t)(work->normalised[s] < 0 ? 1 : work->normalised[s]);
    }
    for (unsigned cell = 0; cell < size; cell++) {
        const uint8_t symbol = work->spread[cell];
        const uint32_t next = work->next[symbol]++;
        const unsigned bits = table_log - highest_bit(next);
        work->cells[cell].symbol = symbol;
        work->cells[cell].bits = (uint8_t)bits;
        work->cells[cell].shift = (uint8_t)(63 - bits);
        work->cells[cell].base = (uint16_t)((next << bits) - size);
    }
}

/* The backward stream: `left` bits remain; `window` holds the next of them below its top bit,
 * which is zero, so that taking no bits at all needs no special case. */
typedef struct {
    uint64_t window;
    size_t left;
    const uint8_t *src;
} bit_reader;

enum { WINDOW_BITS = 56 };

/* Fill the window with at least WINDOW_BITS; needs more than that to be left. */
ALWAYS_INLINE void refill(bit_reader *r)
{
    const size_t end = (r->left + 7) >> 3;
    r->window = load64(r->src + end - 8) << (end * 8 - r->left) >> 1;
}

/* Fill the window with all of the at most 63 bits that are left. */
ALWAYS_INLINE void refill_last(bit_reader *r)
{
    r->window = 0;
    for (size_t i = 0; i < (r->left + 7) >> 3; i++) {
        r->window |= (uint64_t)r->src[i] << (8 * i);
    }
    r->window = r->window << (63 - r->left) & (UINT64_MAX >> 1);
}

ALWAYS_INLINE size_t take(bit_reader *r, unsigned bits, unsigned shift)
{
    const size_t value = (size_t)(r->window >> shift);
    r->window = r->window << bits & (UINT64_MAX >> 1);
    r->left -= bits;
    return value;
}

/* The symbol of a state; moves on to the next state. */
ALWAYS_INLINE uint8_t decode(bit_reader *r, const dcn_fse_cell *cells, size_t *state)
{
    const dcn_fse_cell *cell = &cells[*state];
    const uint8_t symbol = cell->symbol;
    *state = cell->base + take(r, cell->bits, cell->shift);
    return symbol;
}

/* Returns whether the stream held exactly `count` symbols. */
ALWAYS_INLINE int read_all(uint8_t *dst, size_t count, bit_reader reader, const dcn_fse_cell *cells,
                           unsigned table_log)
{
    if (reader.left > WINDOW_BITS) {
        refill(&reader);
    } else {
        refill_last(&reader);
    }
    size_t even = take(&reader, table_log, 63 - table_log);
    size_t odd = take(&reader, table_log, 63 - table_log);
    size_t i = 0;
    /* The last symbol of each state needs no bits. A state takes at most table_log bits, so a
     * window lasts for six symbols of small tables and for four of any. */
    if (table_log <= WINDOW_BITS / 6) {
        for (; i + 8 <= count && reader.left > WINDOW_BITS; i += 6) {
            refill(&reader);
            dst[i] = decode(&reader, cells, &even);
            dst[i + 1] = decode(&reader, cells, &odd);
            dst[i + 2] = decode(&reader, cells, &even);
            dst[i + 3] = decode(&reader, cells, &odd);
            dst[i + 4] = decode(&reader, cells, &even);
            dst[i + 5] = decode(&reader, cells, &odd);
        }
    }
    for (; i + 6 <= count && reader.left > WINDOW_BITS; i += 4) {
        refill(&reader);
        dst[i] = decode(&reader, cells, &even);
        dst[i + 1] = decode(&reader, cells, &odd);
        dst[i + 2] = decode(&reader, cells, &even);
        dst[i + 3] = decode(&reader, cells, &odd);
    }
    if (reader.left > 63) {
        return 0; /* at most five symbols are left to take bits: the rest would be unused */
    }
    refill_last(&reader);
    for (; i + 2 < count; i++) {
        if (cells[i & 1 ? odd : even].bits > reader.left) {
            return 0;
        }
        dst[i] = i & 1 ? decode(&reader, cells, &odd) : decode(&reader, cells, &even);
    }
    dst[count - 2] = cells[count & 1 ? odd : even].symbol;
    dst[count - 1] = cells[count & 1 ? even : odd].symbol;
    return reader.left == 0;
}

static int read_symbols(uint8_t *dst, size_t count, bit_reader reader, const dcn_fse_cell *cells,
                        unsigned table_log)
{
    return read_all(dst, count, reader, cells, table_log);
}

#if HAS_BMI2_COPY
BMI2_COPY static int read_symbols_bmi2(uint8_t *dst, size_t count, bit_reader reader,
                                       const dcn_fse_cell *cells, unsigned table_log)
{
    return read_all(dst, count, reader, cells, table_log);
}
#endif

size_t dcn_fse_decompress(uint8_t *dst, size_t count, const uint8_t *src, size_t size,
                          unsigned max_symbol, dcn_fse_decoder *work)
{
    if (count < 2 || count > DCN_FSE_MAX_BLOCK) {
        return FSE_ERROR(DCN_FSE_SRC_WRONG);
    }
    unsigned table_log = 0;
    const size_t table = dcn_fse_read_table(work->normalised, &table_log, max_symbol, src, size);
    if (dcn_fse_is_error(table)) {
        return table;
    }
    if (table == size || src[size - 1] == 0) {
        return FSE_ERROR(DCN_FSE_STREAM_CORRUPT);
    }
    const bit_reader reader = {0, (size - table - 1) * 8 + highest_bit(src[size - 1]), src + table};
    if (reader.left < 2 * (size_t)table_log) {
        return FSE_ERROR(DCN_FSE_STREAM_CORRUPT);
    }
    build(work, max_symbol, table_log);
#if HAS_BMI2_COPY
    const int complete =
        (USE_BMI2() ? read_symbols_bmi2 : read_symbols)(dst, count, reader, work->cells, table_log);
#else
    const int complete = read_symbols(dst, count, reader, work->cells, table_log);
#endif
    return complete ? count : FSE_ERROR(DCN_FSE_STREAM_CORRUPT);
}
