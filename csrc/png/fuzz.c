/* Fuzzing of the filter and of deflate: whatever the picture, undoing them gives the samples again,
 * and nothing is touched outside of the buffers.
 *
 * With libFuzzer this file is the target. With -DDCN_PNG_STANDALONE it has a main() of its own,
 * which makes up pictures for a number of seconds (first argument). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../check.h"
#include "png.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Section 9.4 of the specification, word by word. */
static int paeth(int a, int b, int c)
{
    const int p = a + b - c;
    const int pa = abs(p - a), pb = abs(p - b), pc = abs(p - c);
    return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

static void check(const uint8_t *out, const uint8_t *samples, const uint8_t *above, size_t pitch,
                  size_t rows, size_t line, size_t step)
{
    size_t at = 0;
    for (size_t y = 0; y < rows; y++) {
        CHECK(out[at++] == 4);
        const uint8_t *const row = samples + y * pitch;
        for (size_t i = 0; i < line; i++) {
            const int left = i < step ? 0 : row[i - step];
            const int up = above == NULL ? 0 : above[i];
            const int corner = i < step || above == NULL ? 0 : above[i - step];
            CHECK(row[i] == (uint8_t)(out[at++] + paeth(left, up, corner)));
        }
        above = row;
    }
}

typedef struct {
    const uint8_t *bytes;
    size_t bit, bits;
} reader;

static unsigned take(reader *r, unsigned count)
{
    unsigned value = 0;
    for (unsigned i = 0; i < count; i++, r->bit++) {
        CHECK(r->bit < r->bits);
        value |= ((unsigned)r->bytes[r->bit / 8] >> r->bit % 8 & 1U) << i;
    }
    return value;
}

typedef struct {
    unsigned counts[16];   /* of codes of each length */
    unsigned symbols[320]; /* in the order of their codes */
} code;

/* The code with these lengths (RFC 1951, section 3.2.2), which is whole: readers refuse others. */
static code code_of(const uint8_t *lengths, unsigned symbols)
{
    code c = {{0}, {0}};
    unsigned used = 0, share = 0;
    for (unsigned length = 1; length < 16; length++) {
        for (unsigned s = 0; s < symbols; s++) {
            if (lengths[s] == length) {
                c.counts[length]++;
                c.symbols[used++] = s;
                share += 1U << (15 - length);
            }
        }
    }
    CHECK(share == 1U << 15);
    return c;
}

static unsigned take_symbol(reader *r, const code *c)
{
    unsigned bits = 0, first = 0, index = 0;
    for (unsigned length = 1; length < 16; length++) {
        bits = bits << 1 | take(r, 1);
        if (bits - first < c->counts[length]) {
            return c->symbols[index + bits - first];
        }
        index += c->counts[length];
        first = (first + c->counts[length]) << 1;
    }
    CHECK(0);
    return 0;
}

/* The lengths of two codes (section 3.2.7). */
static unsigned take_lengths(reader *r, uint8_t *lengths)
{
    static const uint8_t order[19] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                      11, 4,  12, 3, 13, 2, 14, 1, 15};
    uint8_t own[19] = {0};
    const unsigned literals = 257 + take(r, 5), distances = 1 + take(r, 5), stated = 4 + take(r, 4);
    for (unsigned i = 0; i < stated; i++) {
        own[order[i]] = (uint8_t)take(r, 3);
    }
    const code c = code_of(own, 19);
    for (unsigned at = 0; at < literals + distances;) {
        const unsigned symbol = take_symbol(r, &c);
        unsigned count = 1, length = symbol;
        if (symbol > 15) {
            CHECK(symbol > 16 || at > 0);
            length = symbol == 16 ? lengths[at - 1] : 0;
            count = symbol == 18 ? 11 + take(r, 7) : 3 + take(r, symbol == 16 ? 2 : 3);
        }
        CHECK(count <= literals + distances - at);
        memset(lengths + at, (int)length, count);
        at += count;
    }
    return literals;
}

static void check_deflate(const uint8_t *bytes, size_t size, int last)
{
    uint8_t *const out = malloc(dcn_png_bound(size));
    CHECK(out != NULL);
    const size_t taken = dcn_png_deflate(out, bytes, size, last);
    CHECK(taken <= dcn_png_bound(size));
    reader r = {out, 0, 8 * taken};
    CHECK(take(&r, 1) == (last ? 1U : 0U) && take(&r, 2) == 2);
    uint8_t lengths[320];
    const unsigned literals = take_lengths(&r, lengths);
    const code c = code_of(lengths, literals);
    (void)code_of(lengths + literals, 2);
    for (size_t i = 0; i < size; i++) {
        CHECK(take_symbol(&r, &c) == bytes[i]);
    }
    CHECK(take_symbol(&r, &c) == 256);
    if (last) {
        CHECK((r.bit + 7) / 8 == taken);
    } else {
        CHECK(take(&r, 3) == 0 && (r.bit + 7) / 8 == taken - 4);
        CHECK(memcmp(out + taken - 4, "\0\0\xff\xff", 4) == 0);
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4) {
        return 0;
    }
    const size_t step = 1 + data[0] % 4, line = step * (1 + data[1] % 40);
    const size_t pitch = line + data[2] % 3, first = data[3] & 1;
    const size_t rows = (size - 4) / pitch;
    if (rows <= first) {
        return 0;
    }
    /* Buffers of the exact size, so that a sanitizer sees one byte too many. */
    const size_t taken = (rows - 1) * pitch + line, made = (rows - first) * (1 + line);
    uint8_t *const samples = malloc(taken), *const out = malloc(made);
    CHECK(samples != NULL && out != NULL);
    memcpy(samples, data + 4, taken);
    const uint8_t *const above = first ? samples : NULL;
    const uint8_t *const own = samples + first * pitch;
    const size_t zeros = dcn_png_filter(out, own, above, pitch, rows - first, line, step);
    CHECK(zeros <= made - (rows - first));
    check(out, own, above, pitch, rows - first, line, step);
    check_deflate(out, made, (int)first);
    free(samples);
    free(out);
    return 0;
}

#ifdef DCN_PNG_STANDALONE
int main(int argc, char **argv)
{
    const time_t end = time(NULL) + (argc > 1 ? atol(argv[1]) : 10);
    unsigned long count = 0;
    for (; time(NULL) < end; count++) {
        uint8_t data[2048];
        const int smooth = rand() & 1;
        const int mask = rand() & 255;
        for (size_t i = 0; i < sizeof data; i++) {
            const int noise = rand() >> 9 & mask;
            data[i] = (uint8_t)(smooth && i > 4 ? data[i - 1] + noise % 3 : noise);
        }
        LLVMFuzzerTestOneInput(data, (size_t)rand() % sizeof data);
    }
    printf("%lu inputs\n", count);
    return 0;
}
#endif
