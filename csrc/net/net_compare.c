/* The squared error of pixels, and its gradient. */
#include "net_run.h"

/* Of red, green and blue in the luminance (Rec. 601). */
static const float luminance[COLOURS] = {0.299F, 0.587F, 0.114F};

/* The error of a pixel, whose colours become the gradient. */
static float compare(float *colours, const uint8_t *wanted, int grey)
{
    float levels[COLOURS], bright = 0;
    for (size_t c = 0; c < COLOURS; c++) {
        const float level = colours[c] * 127.5F + 127.5F;
        levels[c] = level < 0 ? 0 : level > 255 ? 255 : level;
        bright += luminance[c] * levels[c];
        /* Of the level in the colour: none beyond the ends. */
        colours[c] = level < 0 || level > 255 ? 0 : 127.5F;
    }
    float error = 0, all = 0;
    for (size_t c = 0; c < COLOURS; c++) {
        const float difference = (grey ? bright : levels[c]) - (float)wanted[c];
        error += difference * difference;
        all += difference;
        colours[c] *= grey ? 1 : 2 * difference;
    }
    for (size_t c = 0; grey && c < COLOURS; c++) {
        colours[c] *= 2 * all * luminance[c];
    }
    return error;
}

void dcn_net_compare(const run *r, const view *pixels, const buffer *b, size_t y, size_t x,
                     size_t count)
{
    const size_t side = r->net->stride / b->scale, columns = r->columns * b->scale;
    for (size_t i = 0; i < count; i++) {
        float *const place = pixels->wide + i * b->step;
        float error = 0;
        for (size_t line = 0; line < side; line++) {
            const size_t top = y * side + line, left = (x + i) * side;
            const uint8_t *const wanted = r->pixels + top * r->pitch + left * COLOURS;
            const uint8_t *const counted = r->counted + top * columns * side + left;
            for (size_t j = 0; j < side; j++) {
                float *const colours = place + (line * side + j) * COLOURS;
                if (counted[j]) {
                    error += compare(colours, wanted + j * COLOURS, r->grey);
                } else {
                    memset(colours, 0, COLOURS * sizeof *colours);
                }
            }
        }
        r->to_errors[y * columns + x + i] = error;
        for (size_t c = 0; pixels->narrow != NULL && c < b->step; c++) {
            pixels->narrow[i * b->step + c] = to_bf16(place[c]);
        }
    }
}
