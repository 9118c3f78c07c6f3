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

/* The next bits of the backward stream, of which `left` remain, below the top bit of a window.
 * That bit is zero, so that taking no bits at all needs no special case. At least WINDOW_BITS are
 * there if so many are left, and zeros behind the last one. */
enum { WINDOW_BITS = 56, WINDOW_MAX = 63 };

ALWAYS_INLINE uint64_t skip(uint64_t window, size_t bits)
{
    return window << bits & (UINT64_MAX >> 1);
}

ALWAYS_INLINE uint64_t look(const uint8_t *src, size_t left)
{
    const size_t end = (left + 7) >> 3;
    return load64(src + end - 8) << (end * 8 - left) >> 1;
}

ALWAYS_INLINE uint64_t look_at_last(const uint8_t *src, size_t left)
{
    uint64_t window = 0;
    for (size_t i = 0; i < (left + 7) >> 3; i++) {
        window |= (uint64_t)src[i] << (8 * i);
    }
    return skip(window, WINDOW_MAX - left);
}

/* Returns whether the stream held exactly `count` symbols. */
ALWAYS_INLINE int read_all(uint8_t *dst, size_t count, const uint8_t *src, size_t left,
                           const dcn_fse_cell *cells, unsigned table_log)
{
    uint64_t window = left > WINDOW_BITS ? look(src, left) : look_at_last(src, left);
    const dcn_fse_cell *even = cells + (window >> (WINDOW_MAX - table_log));
    window = skip(window, table_log);
    const dcn_fse_cell *odd = cells + (window >> (WINDOW_MAX - table_log));
    left -= 2 * (size_t)table_log;
    size_t i = 0;
    if (left > WINDOW_BITS) {
        window = look(src, left);
        /* The last symbol of each state needs no bits. The next window is loaded before these two
         * symbols say how much of it they take, so that the load need not wait for them: a window
         * lasts for four symbols of at most 12 bits. */
        for (; i + 4 <= count && left > WINDOW_BITS; i += 2) {
            const uint64_t fresh = look(src, left);
            const unsigned used = even->bits;
            const unsigned both = used + odd->bits;
            dst[i] = even->symbol;
            dst[i + 1] = odd->symbol;
            even = cells + even->base + (window >> even->shift);
            odd = cells + odd->base + (skip(window, used) >> odd->shift);
            window = skip(fresh, both);
            left -= both;
        }
        if (left > WINDOW_MAX) {
            return 0; /* at most one symbol is left that takes bits: the rest would be unused */
        }
    }
    window = look_at_last(src, left);
    for (; i + 2 < count; i++) {
        const dcn_fse_cell **state = i & 1 ? &odd : &even;
        const dcn_fse_cell *cell = *state;
        if (cell->bits > left) {
            return 0;
        }
        dst[i] = cell->symbol;
        *state = cells + cell->base + (window >> cell->shift);
        window = skip(window, cell->bits);
        left -= cell->bits;
    }
    dst[count - 2] = (count & 1 ? odd : even)->symbol;
    dst[count - 1] = (count & 1 ? even : odd)->symbol;
    return left == 0;
}

static int read_symbols(uint8_t *dst, size_t count, const uint8_t *src, size_t left,
                        const dcn_fse_cell *cells, unsigned table_log)
{
    return read_all(dst, count, src, left, cells, table_log);
}

#if HAS_BMI2_COPY
BMI2_COPY static int read_symbols_bmi2(uint8_t *dst, size_t count, const uint8_t *src, size_t left,
                                       const dcn_fse_cell *cells, unsigned table_log)
{
    return read_all(dst, count, src, left, cells, table_log);
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
    const size_t left = (size - table - 1) * 8 + highest_bit(src[size - 1]);
    if (left < 2 * (size_t)table_log) {
        return FSE_ERROR(DCN_FSE_STREAM_CORRUPT);
    }
    build(work, max_symbol, table_log);
#if HAS_BMI2_COPY
    const int complete = (USE_BMI2() ? read_symbols_bmi2 : read_symbols)(
        dst, count, src + table, left, work->cells, table_log);
#else
    const int complete = read_symbols(dst, count, src + table, left, work->cells, table_log);
#endif
    return complete ? count : FSE_ERROR(DCN_FSE_STREAM_CORRUPT);
}
