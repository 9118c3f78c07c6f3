/* Included once for each precision, after REAL and NAMED, which makes names of its own for it. */

/* Weighted sums over `side` rows: of x, of y, of the squares of both, and of those of x - y. */
INLINE void NAMED(add_rows)(REAL *restrict sums, const REAL *restrict x, const REAL *restrict y,
                            const REAL *levels, size_t line, const REAL *window, size_t side)
{
    for (size_t left = 0; left < line; left += CHUNK) {
        const size_t right = line - left < CHUNK ? line : left + CHUNK;
        REAL *restrict const of_x = sums, *restrict const of_y = sums + line;
        REAL *restrict const squares = sums + 2 * line, *restrict const apart = sums + 3 * line;
        for (size_t i = left; i < right; i++) {
            of_x[i] = of_y[i] = squares[i] = apart[i] = 0;
        }
        for (size_t t = 0; t < side; t++) {
            const REAL weight = window[t];
            const REAL *restrict const row_x = x + t * line, *restrict const row_y = y + t * line;
            for (size_t i = left; i < right; i++) {
                const REAL a = row_x[i] - levels[0], b = row_y[i] - levels[1], d = a - b;
                of_x[i] += weight * a;
                of_y[i] += weight * b;
                squares[i] += weight * (a * a + b * b);
                apart[i] += weight * (d * d);
            }
        }
    }
}

/* Likewise over `side` columns of such sums, and what becomes of them. */
INLINE void NAMED(finish)(REAL *restrict contrast, REAL *restrict luminance,
                          const REAL *restrict sums, const REAL *levels, size_t line,
                          size_t channels, const REAL *window, size_t side, REAL sample)
{
    const REAL c1 = (REAL)(K1 * K1), c2 = (REAL)(K2 * K2);
    const size_t count = line - (side - 1) * channels;
    for (size_t left = 0; left < count; left += CHUNK) {
        const size_t n = count - left < CHUNK ? count - left : CHUNK;
        REAL moments[DCN_SSIM_WORK][CHUNK];
        for (size_t k = 0; k < DCN_SSIM_WORK; k++) {
            REAL *restrict const moment = moments[k];
            for (size_t i = 0; i < n; i++) {
                moment[i] = 0;
            }
            for (size_t t = 0; t < side; t++) {
                const REAL *restrict const from = sums + k * line + left + t * channels;
                for (size_t i = 0; i < n; i++) {
                    moment[i] += window[t] * from[i];
                }
            }
        }
        for (size_t i = 0; i < n; i++) {
            /* Both as what they lack of 1: it is small where images are alike. */
            const REAL x = moments[0][i], y = moments[1][i], d = x - y;
            const REAL variances = (moments[2][i] - (x * x + y * y)) * sample;
            const REAL variance = (moments[3][i] - d * d) * sample;
            contrast[left + i] = 1 - variance / (variances + c2);
        }
        for (size_t i = 0; luminance != NULL && i < n; i++) {
            const REAL x = moments[0][i] + levels[0], y = moments[1][i] + levels[1], d = x - y;
            luminance[left + i] = 1 - d * d / (x * x + y * y + c1);
        }
    }
}

INLINE void NAMED(each_row)(REAL *contrast, REAL *luminance, const REAL *x, const REAL *y,
                            const REAL *levels, size_t rows, size_t columns, size_t channels,
                            const REAL *window, size_t side, REAL sample, REAL *work)
{
    const size_t line = columns * channels, out = (columns - side + 1) * channels;
    for (size_t row = 0; row + side <= rows; row++) {
        NAMED(add_rows)(work, x + row * line, y + row * line, levels, line, window, side);
        REAL *const bright = luminance == NULL ? NULL : luminance + row * out;
        NAMED(finish)
        (contrast + row * out, bright, work, levels, line, channels, window, side, sample);
    }
}

#if HAS_X86_PATHS
/* Without FMA, or rounding would differ. */
AVX2 static void NAMED(each_row_avx2)(REAL *contrast, REAL *luminance, const REAL *x, const REAL *y,
                                      const REAL *levels, size_t rows, size_t columns,
                                      size_t channels, const REAL *window, size_t side, REAL sample,
                                      REAL *work)
{
    NAMED(each_row)
    (contrast, luminance, x, y, levels, rows, columns, channels, window, side, sample, work);
}
#endif

void NAMED(dcn_ssim_plain)(REAL *contrast, REAL *luminance, const REAL *x, const REAL *y,
                           const REAL *levels, size_t rows, size_t columns, size_t channels,
                           const REAL *window, size_t side, REAL sample, REAL *work)
{
    NAMED(each_row)
    (contrast, luminance, x, y, levels, rows, columns, channels, window, side, sample, work);
}

void NAMED(dcn_ssim)(REAL *contrast, REAL *luminance, const REAL *x, const REAL *y,
                     const REAL *levels, size_t rows, size_t columns, size_t channels,
                     const REAL *window, size_t side, REAL sample, REAL *work)
{
#if HAS_X86_PATHS
    if (__builtin_cpu_supports("avx2")) {
        NAMED(each_row_avx2)
        (contrast, luminance, x, y, levels, rows, columns, channels, window, side, sample, work);
        return;
    }
#endif
    NAMED(dcn_ssim_plain)
    (contrast, luminance, x, y, levels, rows, columns, channels, window, side, sample, work);
}
