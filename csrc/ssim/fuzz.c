/* Fuzzing of SSIM: whatever the images, results are those of the definition, window by window, and
 * nothing is touched outside of the buffers.
 *
 * With libFuzzer this file is the target. With -DDCN_SSIM_STANDALONE it has a main() of its own,
 * which makes up images for a number of seconds (first argument). */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../check.h"
#include "ssim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_SIDE = 11 };

/* Weights of a window, the same for both precisions. */
static void weigh(double *window, size_t side)
{
    double sum = 0;
    for (size_t t = 0; t < side; t++) {
        window[t] = 1 + (double)(t < side - t ? t : side - t);
        sum += window[t];
    }
    for (size_t t = 0; t < side; t++) {
        window[t] /= sum;
    }
}

typedef struct {
    double contrast, luminance;
} likeness;

/* Of the window at a sample, as the definition has it: means first, and moments about them. */
static likeness define(const double *x, const double *y, size_t line, size_t channels,
                       const double *window, size_t side, double sample)
{
    double mean_x = 0, mean_y = 0, variances = 0, covariance = 0;
    for (size_t i = 0; i < side * side; i++) {
        const size_t at = i / side * line + i % side * channels;
        const double weight = window[i / side] * window[i % side];
        mean_x += weight * x[at];
        mean_y += weight * y[at];
    }
    for (size_t i = 0; i < side * side; i++) {
        const size_t at = i / side * line + i % side * channels;
        const double weight = window[i / side] * window[i % side] * sample;
        const double a = x[at] - mean_x, b = y[at] - mean_y;
        variances += weight * (a * a + b * b);
        covariance += weight * a * b;
    }
    const double c1 = 0.01 * 0.01, c2 = 0.03 * 0.03;
    return (likeness){(2 * covariance + c2) / (variances + c2),
                      (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)};
}

static double *allocate(size_t count, size_t size)
{
    double *const memory = malloc(count * size);
    CHECK(memory != NULL);
    return memory;
}

/* Both precisions of one pair of images. */
static void check(const double *x, const double *y, size_t rows, size_t columns, size_t channels,
                  size_t side, double sample)
{
    double window[MOST_SIDE];
    float narrow_window[MOST_SIDE];
    weigh(window, side);
    for (size_t t = 0; t < side; t++) {
        narrow_window[t] = (float)window[t];
    }
    const size_t line = columns * channels, count = rows * line;
    const size_t width = (columns - side + 1) * channels, made = (rows - side + 1) * width;
    double levels[2] = {0, 0};
    float *const narrow = (float *)allocate(2 * count, sizeof *narrow);
    for (size_t i = 0; i < count; i++) {
        levels[0] += x[i] / (double)count;
        levels[1] += y[i] / (double)count;
        narrow[i] = (float)x[i];
        narrow[count + i] = (float)y[i];
    }
    const float narrow_levels[2] = {(float)levels[0], (float)levels[1]};
    /* Buffers of the exact size, so that a sanitizer sees one number too many. */
    double *const contrast = allocate(made, sizeof *contrast);
    double *const luminance = allocate(made, sizeof *luminance);
    double *const work = allocate(DCN_SSIM_WORK * line, sizeof *work);
    float *const contrast_f32 = (float *)allocate(made, sizeof *contrast_f32);
    float *const luminance_f32 = (float *)allocate(made, sizeof *luminance_f32);
    float *const work_f32 = (float *)allocate(DCN_SSIM_WORK * line, sizeof *work_f32);
    dcn_ssim_f64(contrast, luminance, x, y, levels, rows, columns, channels, window, side, sample,
                 work);
    dcn_ssim_f32(contrast_f32, luminance_f32, narrow, narrow + count, narrow_levels, rows, columns,
                 channels, narrow_window, side, (float)sample, work_f32);
    double *const alone = allocate(made, sizeof *alone);
    dcn_ssim_f64(alone, NULL, x, y, levels, rows, columns, channels, window, side, sample, work);
    CHECK(memcmp(alone, contrast, made * sizeof *alone) == 0);
    dcn_ssim_plain_f64(alone, NULL, x, y, levels, rows, columns, channels, window, side, sample,
                       work);
    CHECK(memcmp(alone, contrast, made * sizeof *alone) == 0);
    free(alone);
    for (size_t i = 0; i < made; i++) {
        const size_t at = i / width * line + i % width;
        const likeness wanted = define(x + at, y + at, line, channels, window, side, sample);
        CHECK(fabs(contrast[i] - wanted.contrast) < 1e-9);
        CHECK(fabs(luminance[i] - wanted.luminance) < 1e-9);
        /* Moments about the level of images with dark and bright halves cancel in part. */
        CHECK(fabs(contrast_f32[i] - wanted.contrast) < 2e-3);
        CHECK(fabs(luminance_f32[i] - wanted.luminance) < 1e-4);
    }
    free(narrow);
    free(contrast);
    free(luminance);
    free(work);
    free(contrast_f32);
    free(luminance_f32);
    free(work_f32);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4) {
        return 0;
    }
    const size_t channels = 1 + data[0] % 3, side = 1 + data[1] % MOST_SIDE;
    const size_t columns = side + data[2] % 120;
    const double sample = data[3] & 1 ? 1 : 49.0 / 48;
    data += 4;
    const size_t rows = (size - 4) / (2 * channels * columns), count = rows * columns * channels;
    if (rows < side) {
        return 0;
    }
    double *const x = allocate(count, sizeof *x), *const y = allocate(count, sizeof *y);
    for (size_t i = 0; i < count; i++) {
        x[i] = data[i] / 255.0;
        y[i] = data[count + i] / 255.0;
    }
    check(x, y, rows, columns, channels, side, sample);
    free(x);
    free(y);
    return 0;
}

#ifdef DCN_SSIM_STANDALONE
int main(int argc, char **argv)
{
    const time_t end = time(NULL) + (argc > 1 ? atol(argv[1]) : 10);
    unsigned long count = 0;
    for (; time(NULL) < end; count++) {
        uint8_t data[8192];
        const int smooth = rand() & 1, mask = rand() & 255;
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
