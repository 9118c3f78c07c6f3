/* What analyses of the same pixels at other rates need not compute again. */
#include "net_run.h"

static size_t places_of(const run *r, const buffer *b)
{
    return r->rows * b->scale * r->columns * b->scale;
}

size_t dcn_net_share_memo(run *r)
{
    const dcn_net *const n = r->net;
    size_t used = 0;
    for (size_t i = 0; i < n->layer_count; i++) {
        if (n->layers[i].kept) {
            const buffer *const b = &n->buffers[n->layers[i].output];
            r->kept[i] = used;
            used += places_of(r, b) * b->step *
                    ((b->wide ? sizeof(float) : 0) + (b->narrow ? sizeof(uint16_t) : 0));
        }
    }
    return used;
}

size_t dcn_net_memo_size(const dcn_net *net, size_t rows, size_t columns)
{
    if (!dcn_net_window_fits(rows, columns)) {
        return NET_ERROR(DCN_NET_WINDOW_WRONG);
    }
    run r = {.net = net, .rows = rows, .columns = columns};
    return dcn_net_share_memo(&r);
}

static void copy(const run *r, void *places, uint8_t *memo, size_t bytes)
{
    if (r->memo.known) {
        memcpy(places, memo, bytes);
    } else {
        memcpy(memo, places, bytes);
    }
}

void dcn_net_remember(const run *r, size_t number, const view *places, size_t y, size_t x,
                      size_t count)
{
    const layer *const l = &r->net->layers[number];
    const buffer *const b = &r->net->buffers[l->output];
    uint8_t *const wide = (uint8_t *)r->memo.memory + r->kept[number];
    uint8_t *const narrow = wide + (b->wide ? places_of(r, b) * b->step * sizeof(float) : 0);
    const size_t length = count * l->shuffle * b->step;
    for (size_t line = 0; line < l->shuffle; line++) {
        const size_t row = y * l->shuffle + line;
        const size_t at = (row * r->columns * b->scale + x * l->shuffle) * b->step;
        if (b->wide) {
            copy(r, places->wide + line * places->line, wide + at * sizeof(float),
                 length * sizeof(float));
        }
        if (b->narrow) {
            copy(r, places->narrow + line * places->line, narrow + at * sizeof(uint16_t),
                 length * sizeof(uint16_t));
        }
    }
}
