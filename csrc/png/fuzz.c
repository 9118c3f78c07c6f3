/* Fuzzing of the filter: whatever the picture, undoing it gives the samples again, and nothing is
 * touched outside of the buffers.
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
        for (size_t i = 0; i < sizeof data; i++) {
            data[i] = (uint8_t)(smooth && i > 4 ? data[i - 1] + (rand() >> 9) % 3 : rand() >> 9);
        }
        LLVMFuzzerTestOneInput(data, (size_t)rand() % sizeof data);
    }
    printf("%lu inputs\n", count);
    return 0;
}
#endif
