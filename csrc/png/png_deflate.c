/* See png.h; numbers of sections are those of RFC 1951. */
#include <stdlib.h>
#include <string.h>

#include "png.h"

enum {
    LITERALS = 256,
    END = LITERALS, /* of a block */
    CODES = END + 1,
    DISTANCES = 2, /* none is used, but some readers want a whole code */
    LONGEST = 15,
    /* Code lengths have codes of their own (3.2.7). */
    REPEAT = 16, /* the length before, 3 to 6 times */
    FEW_ZEROS = 17,
    MANY_ZEROS = 18,
    LENGTH_CODES = 19,
    LONGEST_LENGTH = 7
};

typedef struct {
    uint8_t *at;
    uint64_t bits;
    unsigned count;
} writer;

static inline void put(writer *w, uint32_t bits, unsigned count)
{
    w->bits |= (uint64_t)bits << w->count;
    w->count += count;
    if (w->count >= 32) {
        for (unsigned i = 0; i < 4; i++) {
            w->at[i] = (uint8_t)(w->bits >> 8 * i);
        }
        w->at += 4;
        w->bits >>= 32;
        w->count -= 32;
    }
}

static void put_up_to_a_byte(writer *w)
{
    for (; w->count > 0; w->count = w->count > 8 ? w->count - 8 : 0) {
        *w->at++ = (uint8_t)w->bits;
        w->bits >>= 8;
    }
    w->bits = 0;
}

typedef struct {
    uint32_t count;
    unsigned symbol;
} leaf;

static int by_count(const void *a, const void *b)
{
    const leaf *const first = a, *const second = b;
    if (first->count != second->count) {
        return first->count < second->count ? -1 : 1;
    }
    return first->symbol < second->symbol ? -1 : 1;
}

/* Lengths of a Huffman code for leaves in ascending order, at least two; returns the longest. */
static unsigned find_lengths(uint8_t *lengths, const leaf *leaves, size_t count)
{
    uint32_t weights[CODES];
    size_t parents[2 * CODES];
    size_t leaf_at = 0, node_at = 0;
    /* Nodes come in ascending order, too, so that the two lightest are first of their kind. */
    for (size_t made = 0; made + 1 < count; made++) {
        uint32_t sum = 0;
        for (size_t i = 0; i < 2; i++) {
            const int takes_leaf =
                leaf_at < count && (node_at == made || leaves[leaf_at].count <= weights[node_at]);
            sum += takes_leaf ? leaves[leaf_at].count : weights[node_at];
            parents[takes_leaf ? leaf_at++ : count + node_at++] = made;
        }
        weights[made] = sum;
    }
    unsigned depths[CODES];
    depths[count - 2] = 0;
    for (size_t node = count - 2; node-- > 0;) {
        depths[node] = depths[parents[count + node]] + 1;
    }
    /* The lightest leaf lies deepest. */
    for (size_t i = 0; i < count; i++) {
        lengths[leaves[i].symbol] = (uint8_t)(depths[parents[i]] + 1);
    }
    return depths[parents[0]] + 1;
}

/* A code for symbols by how often they come, at least two of them, of at most so many bits; codes
 * are as they are written, the first bit lowest (3.2.2). */
static void make_code(uint16_t *codes, uint8_t *lengths, const uint32_t *counts, size_t symbols,
                      unsigned longest)
{
    leaf leaves[CODES];
    size_t used = 0;
    memset(lengths, 0, symbols);
    for (unsigned s = 0; s < symbols; s++) {
        if (counts[s] > 0) {
            leaves[used++] = (leaf){counts[s], s};
        }
    }
    qsort(leaves, used, sizeof *leaves, by_count);
    /* The more equal the counts, the shorter the longest code: nine bits if all are 1. */
    while (find_lengths(lengths, leaves, used) > longest) {
        for (size_t i = 0; i < used; i++) {
            leaves[i].count = (leaves[i].count + 1) / 2;
        }
    }
    unsigned code = 0;
    for (unsigned length = 1; length <= longest; length++, code <<= 1) {
        for (size_t s = 0; s < symbols; s++) {
            if (lengths[s] == length) {
                unsigned reversed = 0;
                for (unsigned i = 0; i < length; i++) {
                    reversed |= (code >> i & 1) << (length - 1 - i);
                }
                codes[s] = (uint16_t)reversed;
                code++;
            }
        }
    }
}

typedef struct {
    uint8_t symbol, extra, extra_bits;
} run;

/* The next of a list of lengths, with those equal to it; returns how many that are. */
static size_t take_run(run *r, const uint8_t *lengths, size_t at, size_t count)
{
    const uint8_t length = lengths[at];
    size_t same = 1;
    while (at + same < count && lengths[at + same] == length && same < 138) {
        same++;
    }
    if (length == 0 && same >= 11) {
        *r = (run){MANY_ZEROS, (uint8_t)(same - 11), 7};
    } else if (length == 0 && same >= 3) {
        *r = (run){FEW_ZEROS, (uint8_t)(same - 3), 3};
    } else if (length > 0 && at > 0 && lengths[at - 1] == length && same >= 3) {
        same = same < 6 ? same : 6;
        *r = (run){REPEAT, (uint8_t)(same - 3), 2};
    } else {
        same = 1;
        *r = (run){length, 0, 0};
    }
    return same;
}

/* A block's beginning: its codes (3.2.7). */
static void put_header(writer *w, const uint8_t *code_lengths, int last)
{
    static const uint8_t order[LENGTH_CODES] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                11, 4,  12, 3, 13, 2, 14, 1, 15};
    uint8_t all[CODES + DISTANCES], lengths[LENGTH_CODES];
    memcpy(all, code_lengths, CODES);
    memset(all + CODES, 1, DISTANCES);
    run runs[CODES + DISTANCES];
    uint16_t codes[LENGTH_CODES];
    uint32_t counts[LENGTH_CODES] = {0};
    size_t run_count = 0;
    for (size_t at = 0; at < sizeof all; run_count++) {
        at += take_run(&runs[run_count], all, at, sizeof all);
        counts[runs[run_count].symbol]++;
    }
    /* At least two differ: 257 codes are not all of one length. */
    make_code(codes, lengths, counts, LENGTH_CODES, LONGEST_LENGTH);
    unsigned stated = LENGTH_CODES;
    while (stated > 4 && lengths[order[stated - 1]] == 0) {
        stated--;
    }
    put(w, last ? 1 : 0, 1);
    put(w, 2, 2);
    put(w, CODES - 257, 5);
    put(w, DISTANCES - 1, 5);
    put(w, stated - 4, 4);
    for (unsigned i = 0; i < stated; i++) {
        put(w, lengths[order[i]], 3);
    }
    for (size_t i = 0; i < run_count; i++) {
        put(w, codes[runs[i].symbol], lengths[runs[i].symbol]);
        put(w, runs[i].extra, runs[i].extra_bits);
    }
}

size_t dcn_png_bound(size_t size)
{
    /* Header: 17 bits, 19 lengths of 3, and 259 times at most 7 + 7 bits; then the end of the
     * block, and an empty one behind it. */
    return (size * LONGEST + 7) / 8 + 480;
}

size_t dcn_png_deflate(uint8_t *out, const uint8_t *bytes, size_t size, int last)
{
    /* Four tables: equal bytes that follow each other would wait for the same count. */
    uint32_t counts[4][CODES] = {{0}};
    for (size_t i = 0; i < size; i++) {
        counts[i % 4][bytes[i]]++;
    }
    for (size_t s = 0; s < LITERALS; s++) {
        counts[0][s] += counts[1][s] + counts[2][s] + counts[3][s];
    }
    counts[0][END] = 1;
    uint16_t codes[CODES];
    uint8_t lengths[CODES];
    make_code(codes, lengths, counts[0], CODES, LONGEST);
    writer w = {.at = out};
    put_header(&w, lengths, last);
    for (size_t i = 0; i < size; i++) {
        put(&w, codes[bytes[i]], lengths[bytes[i]]);
    }
    put(&w, codes[END], lengths[END]);
    if (!last) {
        put(&w, 0, 3);
    }
    put_up_to_a_byte(&w);
    if (!last) {
        /* An empty stored block ends at a whole byte (3.2.4). */
        static const uint8_t empty[] = {0, 0, 0xff, 0xff};
        memcpy(w.at, empty, sizeof empty);
        w.at += sizeof empty;
    }
    return (size_t)(w.at - out);
}
