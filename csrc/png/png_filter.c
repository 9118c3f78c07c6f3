/* See png.h. */
#include "png.h"

#include <stdlib.h>

enum { PAETH = 4 };

static inline uint8_t predicted(int left, int above, int corner)
{
    const int by_left = abs(above - corner), by_above = abs(left - corner);
    const int by_corner = abs(left + above - 2 * corner);
    const int nearer = by_left <= by_above ? left : above;
    const int distance = by_left <= by_above ? by_left : by_above;
    return (uint8_t)(distance <= by_corner ? nearer : corner);
}

/* Nothing is known above: what is left of Paeth's predictor is the pixel before. */
static void filter_first(uint8_t *restrict out, const uint8_t *restrict row, size_t line,
                         size_t step)
{
    for (size_t i = 0; i < line; i++) {
        out[i] = (uint8_t)(row[i] - (i < step ? 0 : row[i - step]));
    }
}

static void filter_row(uint8_t *restrict out, const uint8_t *restrict row,
                       const uint8_t *restrict above, size_t line, size_t step)
{
    for (size_t i = 0; i < step; i++) {
        out[i] = (uint8_t)(row[i] - above[i]);
    }
    for (size_t i = step; i < line; i++) {
        out[i] = (uint8_t)(row[i] - predicted(row[i - step], above[i], above[i - step]));
    }
}

size_t dcn_png_filter(uint8_t *out, const uint8_t *samples, const uint8_t *above, size_t pitch,
                      size_t rows, size_t line, size_t step)
{
    size_t zeros = 0;
    for (size_t y = 0; y < rows; y++, out += 1 + line) {
        const uint8_t *const row = samples + y * pitch;
        out[0] = PAETH;
        if (above == NULL) {
            filter_first(out + 1, row, line, step);
        } else {
            filter_row(out + 1, row, above, line, step);
        }
        for (size_t i = 1; i <= line; i++) {
            zeros += out[i] == 0;
        }
        above = row;
    }
    return zeros;
}
