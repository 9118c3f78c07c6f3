#include "fse_common.h"

size_t dcn_fse_bound(size_t count)
{
    return count;
}

static void histogram(uint32_t counts[4][DCN_FSE_MAX_SYMBOLS], const uint8_t *src, size_t count)
{
    memset(counts, 0, 4 * sizeof counts[0]);
    size_t i = 0;
    /* Four tables, because a repeated symbol would make each increment wait for the last. */
    for (; i + 8 <= count; i += 8) {
        const uint64_t v = load64(src + i);
        counts[0][v & 255]++;
        counts[1][v >> 8 & 255]++;
        counts[2][v >> 16 & 255]++;
        counts[3][v >> 24 & 255]++;
        counts[0][v >> 32 & 255]++;
        counts[1][v >> 40 & 255]++;
        counts[2][v >> 48 & 255]++;
        counts[3][v >> 56]++;
    }
    for (; i < count; i++) {
        counts[0][src[i]]++;
    }
    for (unsigned s = 0; s < DCN_FSE_MAX_SYMBOLS; s++) {
        counts[0][s] += counts[1][s] + counts[2][s] + counts[3][s];
    }
}

/* Precise enough for the counts, small enough that the table's cost stays in proportion. */
static unsigned choose_table_log(size_t count, unsigned max_symbol)
{
    const unsigned largest = highest_bit((uint32_t)count - 1);
    const unsigned source_limit = largest > 2 ? largest - 2 : 0;
    const unsigned by_count = highest_bit((uint32_t)count) + 1;
    const unsigned by_symbols = highest_bit(max_symbol) + 2;
    const unsigned least = by_count < by_symbols ? by_count : by_symbols;
    unsigned log = DCN_FSE_DEFAULT_TABLE_LOG;
    log = source_limit < log ? source_limit : log;
    log = least > log ? least : log;
    log = log < DCN_FSE_MIN_TABLE_LOG ? DCN_FSE_MIN_TABLE_LOG : log;
    return log > DCN_FSE_MAX_TABLE_LOG ? DCN_FSE_MAX_TABLE_LOG : log;
}

/* Share out the table when rounding gave the frequent symbols too much: fix the rare ones at one
 * cell first, then divide what is left in exact proportion. */
static int normalise_exactly(int16_t *normalised, unsigned table_log, const uint32_t *counts,
                             size_t total, unsigned max_symbol, int16_t rare)
{
    enum { OPEN = -2 };
    const uint32_t rare_limit = (uint32_t)(total >> table_log);
    uint32_t one_limit = (uint32_t)(total * 3 >> (table_log + 1));
    uint32_t given = 0;
    for (unsigned s = 0; s <= max_symbol; s++) {
        if (counts[s] == 0) {
            normalised[s] = 0;
        } else if (counts[s] <= one_limit) {
            normalised[s] = counts[s] <= rare_limit ? rare : 1;
            given++;
            total -= counts[s];
        } else {
            normalised[s] = OPEN;
        }
    }
    uint32_t left = (1U << table_log) - given;
    if (left == 0) {
        return 0;
    }
    if (total / left > one_limit) {
        one_limit = (uint32_t)(total * 3 / (left * 2));
        for (unsigned s = 0; s <= max_symbol; s++) {
            if (normalised[s] == OPEN && counts[s] <= one_limit) {
                normalised[s] = 1;
                given++;
                total -= counts[s];
            }
        }
        left = (1U << table_log) - given;
    }
    if (given == max_symbol + 1) {
        unsigned best = 0;
        for (unsigned s = 1; s <= max_symbol; s++) {
            best = counts[s] > counts[best] ? s : best;
        }
        normalised[best] = (int16_t)(normalised[best] + (int16_t)left);
        return 0;
    }
    if (total == 0) {
        for (unsigned s = 0; left > 0; s = (s + 1) % (max_symbol + 1)) {
            if (normalised[s] > 0) {
                normalised[s]++;
                left--;
            }
        }
        return 0;
    }
    const unsigned scale = 62 - table_log;
    const uint64_t middle = ((uint64_t)1 << (scale - 1)) - 1;
    const uint64_t step = (((uint64_t)left << scale) + middle) / total;
    uint64_t position = middle;
    for (unsigned s = 0; s <= max_symbol; s++) {
        if (normalised[s] == OPEN) {
            const uint64_t end = position + counts[s] * step;
            const uint64_t weight = (end >> scale) - (position >> scale);
            if (weight < 1) {
                return -1;
            }
            normalised[s] = (int16_t)weight;
            position = end;
        }
    }
    return 0;
}

/* Scale counts to a sum of 1 << table_log; -1 marks a symbol of less than one cell. */
static int normalise(int16_t *normalised, unsigned table_log, const uint32_t *counts, size_t total,
                     unsigned max_symbol)
{
    /* How much a fraction must exceed to round up: small counts gain more from rounding up. */
    static const uint32_t round_up_beyond[8] = {0,      473195, 504333, 520860,
                                                550000, 700000, 750000, 830000};
    /* In short blocks a whole cell for a rare symbol costs less than the escape's extra bit. */
    const int16_t rare = total >= 2048 ? -1 : 1;
    const unsigned scale = 62 - table_log;
    const uint64_t step = ((uint64_t)1 << 62) / total;
    const uint64_t unit = (uint64_t)1 << (scale - 20);
    const uint32_t rare_limit = (uint32_t)(total >> table_log);
    int left = 1 << table_log;
    unsigned largest = 0;
    int16_t largest_share = 0;
    for (unsigned s = 0; s <= max_symbol; s++) {
        if (counts[s] == 0) {
            normalised[s] = 0;
        } else if (counts[s] <= rare_limit) {
            normalised[s] = rare;
            left--;
        } else {
            int16_t share = (int16_t)(counts[s] * step >> scale);
            if (share < 8) {
                const uint64_t fraction = counts[s] * step - ((uint64_t)share << scale);
                share = (int16_t)(share + (fraction > unit * round_up_beyond[share]));
            }
            if (share > largest_share) {
                largest_share = share;
                largest = s;
            }
            normalised[s] = share;
            left -= share;
        }
    }
    if (-left >= normalised[largest] >> 1) {
        return normalise_exactly(normalised, table_log, counts, total, max_symbol, rare);
    }
    normalised[largest] = (int16_t)(normalised[largest] + left);
    return 0;
}

typedef struct {
    uint64_t bits;
    unsigned held;
    uint8_t *at;
    uint8_t *end;
    int full;
} bit_writer;

ALWAYS_INLINE void put(bit_writer *w, uint64_t value, unsigned bits)
{
    w->bits |= (value & (((uint64_t)1 << bits) - 1)) << w->held;
    w->held += bits;
}

/* Write out whole bytes of at most 63 bits; fewer than 8 bits stay. */
static void flush(bit_writer *w)
{
    for (; w->held >= 8; w->held -= 8, w->bits >>= 8) {
        if (w->at == w->end) {
            w->full = 1;
        } else {
            *w->at++ = (uint8_t)w->bits;
        }
    }
}

/* The same where 8 bytes may be stored. */
ALWAYS_INLINE void flush_fast(bit_writer *w)
{
    store64(w->at, w->bits);
    w->at += w->held >> 3;
    w->bits >>= w->held & ~7U;
    w->held &= 7;
}

/* Flush what is held up to the last, partial byte. */
static void finish(bit_writer *w)
{
    w->held = (w->held + 7) & ~7U;
    flush(w);
}

static void write_table(bit_writer *w, const int16_t *normalised, unsigned max_symbol,
                        unsigned table_log)
{
    int remaining = (1 << table_log) + 1;
    int threshold = 1 << table_log;
    unsigned bits = table_log + 1;
    put(w, table_log - DCN_FSE_MIN_TABLE_LOG, 4);
    for (unsigned s = 0; s <= max_symbol && remaining > 1;) {
        const int share = normalised[s++];
        const int spare = 2 * threshold - 1 - remaining;
        remaining -= share < 0 ? -share : share;
        int value = share + 1;
        if (value >= threshold) {
            value += spare;
        }
        put(w, (uint64_t)value, bits - (value < spare));
        flush(w);
        while (remaining < threshold && threshold > 1) {
            bits--;
            threshold >>= 1;
        }
        if (share == 0) {
            unsigned zeros = 0;
            while (s <= max_symbol && normalised[s] == 0) {
                zeros++;
                s++;
            }
            for (; zeros >= 3; zeros -= 3) {
                put(w, 3, 2);
                flush(w);
            }
            put(w, zeros, 2);
            flush(w);
        }
    }
    finish(w);
}

static void build(dcn_fse_encoder *work, unsigned max_symbol, unsigned table_log)
{
    const unsigned size = 1U << table_log;
    uint16_t *const places = work->next_state + size;
    uint16_t first[DCN_FSE_MAX_SYMBOLS];
    unsigned total = 0;
    dcn_fse_spread(work->spread, work->normalised, max_symbol, table_log);
    for (unsigned s = 0; s <= max_symbol; s++) {
        const int share = work->normalised[s];
        dcn_fse_transform *t = &work->transforms[s];
        first[s] = (uint16_t)total;
        if (share == 0) {
            continue;
        }
        if (share == 1 || share == -1) {
            t->delta_bits = (table_log << 16) - size;
            t->next = places + total - 1;
            total++;
        } else {
            const unsigned most = table_log - highest_bit((uint32_t)share - 1);
            t->delta_bits = (most << 16) - ((uint32_t)share << most);
            t->next = places + total - share;
            total += (unsigned)share;
        }
    }
    for (unsigned cell = 0; cell < size; cell++) {
        places[first[work->spread[cell]]++] = (uint16_t)(size + cell);
    }
}

ALWAYS_INLINE size_t first_state(const dcn_fse_encoder *work, uint8_t symbol)
{
    const dcn_fse_transform *t = &work->transforms[symbol];
    const uint32_t bits = (t->delta_bits + (1U << 15)) >> 16;
    const uint32_t value = (bits << 16) - t->delta_bits;
    return t->next[value >> bits];
}

ALWAYS_INLINE size_t encode(bit_writer *w, const dcn_fse_encoder *work, size_t state,
                            uint8_t symbol)
{
    const dcn_fse_transform *t = &work->transforms[symbol];
    const unsigned bits = ((uint32_t)state + t->delta_bits) >> 16;
    const size_t high = state >> bits;
    /* The low bits as a difference: a mask would need a register more than there is. */
    w->bits += (uint64_t)state << w->held;
    w->held += bits;
    w->bits -= (uint64_t)high << w->held;
    return t->next[high];
}

/* Symbols are encoded from the last to the first, so that decoding gives them in order. Symbol i
 * belongs to state 0 if i is even, to state 1 if it is odd. */
ALWAYS_INLINE bit_writer write_all(bit_writer writer, const dcn_fse_encoder *work,
                                   const uint8_t *src, size_t count, unsigned table_log)
{
    bit_writer *w = &writer;
    const uint8_t *ip = src + count - 2;
    size_t even = first_state(work, count & 1 ? ip[1] : ip[0]);
    size_t odd = first_state(work, count & 1 ? ip[0] : ip[1]);
    if (count & 1) {
        even = encode(w, work, even, *--ip);
        flush(w);
    }
    if ((ip - src) & 2) {
        odd = encode(w, work, odd, *--ip);
        even = encode(w, work, even, *--ip);
        flush(w);
    }
    /* 7 bits held and 4 symbols of at most 12 fit into the 64 bits between two flushes. */
    if (ip > src && w->end - w->at >= 8) {
        bit_writer fast = *w; /* a copy, because only what has no address stays in registers */
        const uint8_t *const last = w->end - 8;
        do {
            ip -= 4;
            odd = encode(&fast, work, odd, ip[3]);
            even = encode(&fast, work, even, ip[2]);
            odd = encode(&fast, work, odd, ip[1]);
            even = encode(&fast, work, even, ip[0]);
            flush_fast(&fast);
        } while (ip > src && fast.at <= last);
        *w = fast;
    }
    while (ip > src) {
        odd = encode(w, work, odd, *--ip);
        even = encode(w, work, even, *--ip);
        flush(w);
    }
    put(w, odd, table_log);
    put(w, even, table_log);
    put(w, 1, 1); /* marks where the stream ends, which is where a decoder begins */
    finish(w);
    return writer;
}

static bit_writer write_symbols(bit_writer writer, const dcn_fse_encoder *work, const uint8_t *src,
                                size_t count, unsigned table_log)
{
    return write_all(writer, work, src, count, table_log);
}

#if HAS_BMI2_COPY
BMI2_COPY static bit_writer write_symbols_bmi2(bit_writer writer, const dcn_fse_encoder *work,
                                               const uint8_t *src, size_t count, unsigned table_log)
{
    return write_all(writer, work, src, count, table_log);
}
#endif

size_t dcn_fse_compress(uint8_t *dst, size_t capacity, const uint8_t *src, size_t count,
                        dcn_fse_encoder *work)
{
    if (count == 0 || count > DCN_FSE_MAX_BLOCK) {
        return FSE_ERROR(DCN_FSE_SRC_WRONG);
    }
    histogram(work->counts, src, count);
    const uint32_t *counts = work->counts[0];
    unsigned max_symbol = DCN_FSE_MAX_SYMBOLS - 1;
    while (counts[max_symbol] == 0) {
        max_symbol--;
    }
    uint32_t most = 0;
    for (unsigned s = 0; s <= max_symbol; s++) {
        most = counts[s] > most ? counts[s] : most;
    }
    if (most == count) {
        return FSE_ERROR(DCN_FSE_REPEATED_SYMBOL);
    }
    /* Nearly uniform data would not pay for its table. */
    if (count <= 2 || most == 1 || most < count >> 7) {
        return FSE_ERROR(DCN_FSE_NOT_COMPRESSIBLE);
    }
    const unsigned table_log = choose_table_log(count, max_symbol);
    if (normalise(work->normalised, table_log, counts, count, max_symbol) != 0) {
        return FSE_ERROR(DCN_FSE_NOT_COMPRESSIBLE);
    }
    const size_t limit = capacity < count - 2 ? capacity : count - 2;
    bit_writer writer = {0, 0, dst, dst + limit, 0};
    write_table(&writer, work->normalised, max_symbol, table_log);
    build(work, max_symbol, table_log);
#if HAS_BMI2_COPY
    writer = (USE_BMI2() ? write_symbols_bmi2 : write_symbols)(writer, work, src, count, table_log);
#else
    writer = write_symbols(writer, work, src, count, table_log);
#endif
    if (writer.full) {
        return FSE_ERROR(limit == capacity && capacity < count - 2 ? DCN_FSE_DST_TOO_SMALL
                                                                   : DCN_FSE_NOT_COMPRESSIBLE);
    }
    return (size_t)(writer.at - dst);
}
