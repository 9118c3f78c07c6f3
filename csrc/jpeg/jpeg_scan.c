#include "jpeg_scan.h"

/* As many equal bytes as no data of a photo has in a row. */
enum { REPEATED = 10 };

/* The samples of a block, less 128, have at most 64 * 128^2 as the sum of their squares, and so
 * have its coefficients before quantisation (in units of 1/8). Some room for encoders that round
 * otherwise is added. */
static const int64_t LARGEST = 1024 + 64;

/* More than sqrt(allowed energy), which is below 2^19 for any steps of 16 bits. */
static const int64_t HUGE_SIZE = (int64_t)1 << 24;

static void add_energy(walk *w, component *c, unsigned k, int64_t value)
{
    int64_t size = value * w->quant[c->quant][k];
    /* Hostile values are cut, to avoid an overflow below: their square still is far above what any
     * quantisation allows, and 64 of them fit. */
    if (size > HUGE_SIZE || size < -HUGE_SIZE) {
        size = HUGE_SIZE;
    }
    c->energy += size * size;
    if (c->energy > c->allowed) {
        w->report->faults |= DCN_JPEG_OUT_OF_RANGE;
        c->energy = c->allowed + 1;
    }
}

/* Quantisation adds half a step to each coefficient at most. */
int64_t dcn_jpeg_allowed_energy(const uint16_t *steps)
{
    int64_t squares = 0, error = 0;
    for (unsigned k = 0; k < BLOCK; k++) {
        squares += (int64_t)steps[k] * steps[k];
    }
    while (4 * error * error < squares) {
        error++;
    }
    return (LARGEST + error) * (LARGEST + error);
}

/* The functions for blocks return 0 where the walk through the scan cannot go on. */

static int dc_first(walk *w, scan *s, component *c)
{
    const int length = dcn_jpeg_symbol(&s->bits, c->dc);
    if (length < 0 || length > 15) {
        w->report->faults |= DCN_JPEG_BAD_CODE;
        return 0;
    }
    c->predicted += dcn_jpeg_value(&s->bits, (unsigned)length);
    /* Differences add up; none of an intact file comes near this. */
    if (c->predicted > 1 << 20 || c->predicted < -(1 << 20)) {
        w->report->faults |= DCN_JPEG_OUT_OF_RANGE;
        c->predicted = 0;
    }
    add_energy(w, c, 0, (int64_t)c->predicted * ((int64_t)1 << s->low));
    return 1;
}

static int ac_first(walk *w, scan *s, component *c, uint64_t *nonzero)
{
    if (s->blocks_left > 0) {
        s->blocks_left--;
        return 1;
    }
    for (unsigned k = s->first > 0 ? s->first : 1; k <= s->last; k++) {
        const int symbol = dcn_jpeg_symbol(&s->bits, c->ac);
        if (symbol < 0) {
            w->report->faults |= DCN_JPEG_BAD_CODE;
            return 0;
        }
        const unsigned run = (unsigned)symbol >> 4, length = symbol & 15;
        if (length == 0 && run < 15) {
            if (w->progressive) {
                s->blocks_left = (1u << run) - 1 + dcn_jpeg_take(&s->bits, run);
            } else if (run > 0) {
                w->report->faults |= DCN_JPEG_BAD_CODE;
            }
            return 1;
        }
        k += run;
        if (k > s->last) {
            w->report->faults |= DCN_JPEG_OVERRUN;
            return 0;
        }
        if (length > 0) {
            const int value = dcn_jpeg_value(&s->bits, length);
            add_energy(w, c, k, (int64_t)value * ((int64_t)1 << s->low));
            *nonzero |= (uint64_t)1 << k;
        }
    }
    return 1;
}

static int ac_refined(walk *w, scan *s, component *c, uint64_t *nonzero)
{
    unsigned k = s->first;
    while (s->blocks_left == 0 && k <= s->last) {
        const int symbol = dcn_jpeg_symbol(&s->bits, c->ac);
        if (symbol < 0 || (symbol & 15) > 1) {
            w->report->faults |= DCN_JPEG_BAD_CODE;
            return 0;
        }
        unsigned run = (unsigned)symbol >> 4;
        if (symbol % 16 == 0 && run < 15) {
            s->blocks_left = (1u << run) + dcn_jpeg_take(&s->bits, run);
            break;
        }
        if (symbol % 16 == 1) {
            dcn_jpeg_take(&s->bits, 1);
        }
        /* Zeros are skipped; every coefficient that is known already has a further bit. */
        for (; k <= s->last; k++) {
            if (*nonzero >> k & 1) {
                dcn_jpeg_take(&s->bits, 1);
            } else if (run-- == 0) {
                break;
            }
        }
        if (symbol % 16 == 1) {
            if (k > s->last) {
                w->report->faults |= DCN_JPEG_OVERRUN;
                return 0;
            }
            *nonzero |= (uint64_t)1 << k;
        }
        k++;
    }
    if (s->blocks_left > 0) {
        for (; k <= s->last; k++) {
            if (*nonzero >> k & 1) {
                dcn_jpeg_take(&s->bits, 1);
            }
        }
        s->blocks_left--;
    }
    return 1;
}

/* What a disk or a transfer fills gaps with; blocks that are flat are shorter than that. */
static int has_repeated(const uint8_t *data, size_t from, size_t to)
{
    size_t run = 1;
    for (size_t i = from + 1; i < to && run < REPEATED; i++) {
        run = data[i] == data[i - 1] ? run + 1 : 1;
    }
    return run >= REPEATED;
}

static int walk_coefficients(walk *w, scan *s, component *c, size_t row, size_t column)
{
    uint64_t unused = 0;
    uint64_t *nonzero = c->nonzero ? &c->nonzero[row * c->columns + column] : &unused;
    if (!w->progressive) {
        return dc_first(w, s, c) && ac_first(w, s, c, nonzero);
    }
    if (s->first == 0) {
        if (s->high == 0) {
            return dc_first(w, s, c);
        }
        dcn_jpeg_take(&s->bits, 1);
        return 1;
    }
    return s->high == 0 ? ac_first(w, s, c, nonzero) : ac_refined(w, s, c, nonzero);
}

static int walk_block(walk *w, scan *s, component *c, size_t row, size_t column)
{
    const size_t from = s->bits.place - s->bits.held / 8;
    c->energy = 0;
    const int good = walk_coefficients(w, s, c, row, column);
    const size_t to = s->bits.place - s->bits.held / 8;
    if (to > from + REPEATED && has_repeated(w->data, from, to)) {
        w->report->faults |= DCN_JPEG_REPEATED;
    }
    return good;
}

static int walk_unit(walk *w, scan *s, size_t unit)
{
    if (s->count == 1) {
        component *c = s->parts[0];
        return walk_block(w, s, c, unit / c->width, unit % c->width);
    }
    const size_t across = s->parts[0]->columns / s->parts[0]->h;
    for (unsigned i = 0; i < s->count; i++) {
        component *c = s->parts[i];
        for (unsigned b = 0; b < c->h * c->v; b++) {
            const size_t row = unit / across * c->v + b / c->h;
            if (!walk_block(w, s, c, row, unit % across * c->h + b % c->h)) {
                return 0;
            }
        }
    }
    return 1;
}

/* Goes to the restart marker that is due. Returns 0 where another marker stands there. */
static int walk_restart(walk *w, scan *s, unsigned number)
{
    if (dcn_jpeg_left_over(&s->bits)) {
        w->report->faults |= DCN_JPEG_LONG;
    }
    size_t place = dcn_jpeg_marker(w->data, w->size, s->bits.place);
    s->blocks_left = 0;
    for (unsigned i = 0; i < s->count; i++) {
        s->parts[i]->predicted = 0;
    }
    if (place >= w->size || w->data[place + 1] < 0xD0 || w->data[place + 1] > 0xD7) {
        w->report->faults |= DCN_JPEG_RESTART;
        dcn_jpeg_start(&s->bits, w->data, w->size, place);
        return 0;
    }
    if (w->data[place + 1] != 0xD0 + number) {
        w->report->faults |= DCN_JPEG_RESTART;
    }
    dcn_jpeg_start(&s->bits, w->data, w->size, place + 2);
    return 1;
}

void dcn_jpeg_walk_scan(walk *w, scan *s)
{
    const component *only = s->parts[0];
    size_t units = only->width * only->height, blocks = 1;
    if (s->count > 1) {
        units = only->columns / only->h * (only->rows / only->v);
        blocks = 0;
        for (unsigned i = 0; i < s->count; i++) {
            blocks += s->parts[i]->h * s->parts[i]->v;
        }
    }
    size_t until = w->restart ? w->restart : units;
    unsigned number = 0;
    size_t unit = 0;
    w->report->expected += units * blocks;
    while (unit < units) {
        const size_t stop = until < units - unit ? unit + until : units;
        int good = 1;
        while (unit < stop && good) {
            good = walk_unit(w, s, unit);
            if (s->bits.missing) {
                w->report->faults |= DCN_JPEG_SHORT;
                w->report->missing += (stop - unit) * blocks;
                break;
            }
            unit++;
        }
        if (!good) {
            /* What follows cannot be walked through, but the next part can. */
            s->bits.held = 0;
            s->bits.place = dcn_jpeg_marker(w->data, w->size, s->bits.place);
        }
        unit = stop;
        if (unit < units && !walk_restart(w, s, number)) {
            w->report->missing += (units - unit) * blocks;
            break;
        }
        number = (number + 1) & 7;
    }
    if (dcn_jpeg_left_over(&s->bits)) {
        w->report->faults |= DCN_JPEG_LONG;
    }
    w->place = dcn_jpeg_marker(w->data, w->size, s->bits.place);
    for (unsigned i = 0; i < s->count; i++) {
        for (unsigned k = s->first; k <= s->last; k++) {
            s->parts[i]->done[k] = (uint8_t)(s->low + 1);
        }
    }
}
