/* What structural similarity (SSIM) is made of: for every window that lies inside two images of one
 * size, how alike it is in contrast with structure, and in luminance (Wang et al., 2004). */
#ifndef DCN_SSIM_H
#define DCN_SSIM_H

#include <stddef.h>

/* Arrays that a row of `work` has for each sample of an image's row. */
#define DCN_SSIM_WORK 4

/* Samples are in [0, 1], those of a pixel beside each other; rows follow without a gap, in images
 * and in results alike.
 *
 * contrast   (rows - side + 1) x (columns - side + 1) x channels:
 *            (2 covariance + c2) / (variance of x + variance of y + c2)
 * luminance  the same for the means: (2 mean_x mean_y + c1) / (mean_x^2 + mean_y^2 + c1); or NULL
 * x, y       rows x columns x channels
 * levels     two numbers near the means of x and of y: moments are taken about them, as single
 *            precision would leave little of the differences of large ones
 * window     weights along a side of a window, `side` of them; 1..rows and 1..columns
 * sample     factor of variances and covariance
 * work       DCN_SSIM_WORK * columns * channels numbers
 *
 * The results are the same whatever instructions the processor has. */
void dcn_ssim_f32(float *contrast, float *luminance, const float *x, const float *y,
                  const float *levels, size_t rows, size_t columns, size_t channels,
                  const float *window, size_t side, float sample, float *work);
void dcn_ssim_f64(double *contrast, double *luminance, const double *x, const double *y,
                  const double *levels, size_t rows, size_t columns, size_t channels,
                  const double *window, size_t side, double sample, double *work);

/* The same, without what only some processors have. */
void dcn_ssim_plain_f32(float *contrast, float *luminance, const float *x, const float *y,
                        const float *levels, size_t rows, size_t columns, size_t channels,
                        const float *window, size_t side, float sample, float *work);
void dcn_ssim_plain_f64(double *contrast, double *luminance, const double *x, const double *y,
                        const double *levels, size_t rows, size_t columns, size_t channels,
                        const double *window, size_t side, double sample, double *work);

#endif
