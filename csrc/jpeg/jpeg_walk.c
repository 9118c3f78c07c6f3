#include "jpeg_walk.h"

#include <stdlib.h>
#include <string.h>

#include "jpeg_bits.h"

enum { MAX_COMPONENTS = 4, BLOCK = 64, REPEATED = 10, EOI = 0xD9, SOS = 0xDA, DRI = 0xDD };

/* The samples of a block, less 128, have at most 64 * 128^2 as the sum of their squares, and so
 * have its coefficients before quantisation (in units of 1/8). Some room for encoders that round
 * otherwise is added. */
static const int64_t LARGEST = 1024 + 64;

typedef struct {
    unsigned id, h, v, quant;
    size_t width, height; /* blocks of a scan of this component alone */
    size_t columns, rows; /* blocks when it is interleaved: whole units */
    uint64_t *nonzero;    /* of a progressive file: bit k is set where coefficient k is */
    uint8_t done[BLOCK];  /* lowest bit that a scan has given, plus 1; 0 for none */
    const dcn_jpeg_table *dc, *ac;
    int predicted;
    int64_t energy, allowed; /* squares of a block's coefficients: their sum, and its limit */
} component;

typedef struct {
    const uint8_t *data;
    size_t size, place;
    dcn_jpeg_table tables[2][4];
    uint16_t quant[4][BLOCK];
    component parts[MAX_COMPONENTS];
    unsigned count, progressive, width, height, h_max, v_max;
    unsigned restart;
    dcn_jpeg_report *report;
} walk;

typedef struct {
    unsigned first, last, high, low;
    unsigned blocks_left; /* of a run of empty blocks */
    component *parts[MAX_COMPONENTS];
    unsigned count;
    dcn_jpeg_bits bits;
} scan;

static unsigned be16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static size_t divided_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static int read_quant(walk *w, const uint8_t *p, size_t n)
{
    while (n > 0) {
        const unsigned wide = p[0] >> 4, number = p[0] & 15;
        const size_t bytes = 1 + BLOCK * (wide ? 2u : 1u);
        if (wide > 1 || number > 3 || n < bytes) {
            return 0;
        }
        for (unsigned k = 0; k < BLOCK; k++) {
            w->quant[number][k] = (uint16_t)(wide ? be16(p + 1 + 2 * k) : p[1 + k]);
        }
        p += bytes, n -= bytes;
    }
    return 1;
}

static int read_tables(walk *w, const uint8_t *p, size_t n)
{
    while (n > 0) {
        const unsigned kind = p[0] >> 4, number = p[0] & 15;
        if (n < 17 || kind > 1 || number > 3) {
            return 0;
        }
        const size_t used = dcn_jpeg_read_table(&w->tables[kind][number], p + 1, n - 1);
        if (used == 0) {
            return 0;
        }
        p += 1 + used, n -= 1 + used;
    }
    return 1;
}

static dcn_jpeg_status read_frame(walk *w, const uint8_t *p, size_t n, unsigned progressive)
{
    if (n < 6 || w->count != 0) {
        return DCN_JPEG_HEADER_WRONG;
    }
    if (p[0] != 8) {
        return DCN_JPEG_NOT_WALKED;
    }
    w->height = be16(p + 1), w->width = be16(p + 3);
    const unsigned count = p[5];
    if (w->height == 0) {
        return DCN_JPEG_NOT_WALKED; /* a marker DNL tells the height later */
    }
    if (w->width == 0 || count == 0 || count > MAX_COMPONENTS || n < 6 + 3 * (size_t)count) {
        return DCN_JPEG_HEADER_WRONG;
    }
    w->count = count, w->progressive = progressive, w->h_max = w->v_max = 1;
    for (unsigned i = 0; i < count; i++) {
        component *c = &w->parts[i];
        c->id = p[6 + 3 * i], c->h = p[7 + 3 * i] >> 4, c->v = p[7 + 3 * i] & 15;
        c->quant = p[8 + 3 * i];
        if (c->h < 1 || c->h > 4 || c->v < 1 || c->v > 4 || c->quant > 3) {
            return DCN_JPEG_HEADER_WRONG;
        }
        w->h_max = c->h > w->h_max ? c->h : w->h_max;
        w->v_max = c->v > w->v_max ? c->v : w->v_max;
    }
    for (unsigned i = 0; i < count; i++) {
        component *c = &w->parts[i];
        c->width = divided_up(divided_up((size_t)w->width * c->h, w->h_max), 8);
        c->height = divided_up(divided_up((size_t)w->height * c->v, w->v_max), 8);
        c->columns = divided_up(w->width, 8 * (size_t)w->h_max) * c->h;
        c->rows = divided_up(w->height, 8 * (size_t)w->v_max) * c->v;
    }
    return DCN_JPEG_OK;
}

static void add_energy(walk *w, component *c, unsigned k, int64_t value)
{
    const int64_t size = value * w->quant[c->quant][k];
    c->energy += size * size;
    if (c->energy > c->allowed) {
        w->report->faults |= DCN_JPEG_OUT_OF_RANGE;
    }
}

/* Quantisation adds half a step to each coefficient at most. */
static int64_t allowed_energy(const uint16_t *steps)
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

static void walk_scan(walk *w, scan *s)
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

static dcn_jpeg_status read_scan(walk *w, const uint8_t *p, size_t n)
{
    scan s = {.count = n > 0 ? p[0] : 0};
    if (s.count < 1 || s.count > w->count || n < 4 + 2 * (size_t)s.count) {
        return DCN_JPEG_HEADER_WRONG;
    }
    const uint8_t *end = p + 1 + 2 * s.count;
    s.first = end[0], s.last = end[1], s.high = end[2] >> 4, s.low = end[2] & 15;
    if (!w->progressive) {
        s.first = 0, s.last = BLOCK - 1, s.high = s.low = 0;
    }
    if (s.first > s.last || s.last >= BLOCK || s.low > 13 ||
        (s.first == 0 && w->progressive && s.last) || (s.first > 0 && s.count > 1)) {
        return DCN_JPEG_HEADER_WRONG;
    }
    for (unsigned i = 0; i < s.count; i++) {
        component *c = NULL;
        for (unsigned j = 0; j < w->count; j++) {
            c = w->parts[j].id == p[1 + 2 * i] ? &w->parts[j] : c;
        }
        const unsigned dc = p[2 + 2 * i] >> 4, ac = p[2 + 2 * i] & 15;
        if (c == NULL || dc > 3 || ac > 3) {
            return DCN_JPEG_HEADER_WRONG;
        }
        c->dc = &w->tables[0][dc], c->ac = &w->tables[1][ac], c->predicted = 0;
        c->allowed = allowed_energy(w->quant[c->quant]);
        if (w->progressive && c->nonzero == NULL) {
            c->nonzero = calloc(c->columns * c->rows, sizeof *c->nonzero);
            if (c->nonzero == NULL) {
                return DCN_JPEG_NO_MEMORY;
            }
        }
        s.parts[i] = c;
    }
    if (++w->report->scans > DCN_JPEG_MAX_SCANS) {
        return DCN_JPEG_TOO_MANY_SCANS;
    }
    dcn_jpeg_start(&s.bits, w->data, w->size, w->place);
    walk_scan(w, &s);
    return DCN_JPEG_OK;
}

static dcn_jpeg_status read_segment(walk *w, unsigned marker, const uint8_t *p, size_t n)
{
    int good = 1;
    switch (marker) {
    case 0xDB: good = read_quant(w, p, n); break;
    case 0xC4: good = read_tables(w, p, n); break;
    case DRI:
        good = n >= 2;
        w->restart = good ? be16(p) : 0;
        break;
    case 0xC0:
    case 0xC1: return read_frame(w, p, n, 0);
    case 0xC2: return read_frame(w, p, n, 1);
    case SOS: return read_scan(w, p, n);
    default:
        if (marker >= 0xC3 && marker <= 0xCF && marker != 0xC8) {
            return DCN_JPEG_NOT_WALKED;
        }
    }
    return good ? DCN_JPEG_OK : DCN_JPEG_HEADER_WRONG;
}

static dcn_jpeg_status walk_file(walk *w)
{
    for (;;) {
        w->place = dcn_jpeg_marker(w->data, w->size, w->place);
        if (w->place >= w->size) {
            w->report->faults |= DCN_JPEG_NO_END;
            w->report->end = w->size;
            return DCN_JPEG_OK;
        }
        const unsigned marker = w->data[w->place + 1];
        w->place += 2;
        if (marker == EOI) {
            w->report->end = w->place;
            return DCN_JPEG_OK;
        }
        if (marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8)) {
            continue; /* these stand alone */
        }
        const size_t length = w->size - w->place >= 2 ? be16(w->data + w->place) : 0;
        if (length < 2 || length > w->size - w->place) {
            w->report->faults |= DCN_JPEG_NO_END;
            w->report->end = w->size;
            return w->report->scans ? DCN_JPEG_OK : DCN_JPEG_HEADER_WRONG;
        }
        const uint8_t *content = w->data + w->place + 2;
        w->place += length;
        const dcn_jpeg_status status = read_segment(w, marker, content, length - 2);
        if (status != DCN_JPEG_OK) {
            return status;
        }
    }
}

dcn_jpeg_status dcn_jpeg_walk(const uint8_t *data, size_t size, dcn_jpeg_report *report)
{
    memset(report, 0, sizeof *report);
    walk *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return DCN_JPEG_NO_MEMORY;
    }
    w->data = data, w->size = size, w->report = report;
    const dcn_jpeg_status status = walk_file(w);
    for (unsigned i = 0; i < w->count; i++) {
        for (unsigned k = 0; k < BLOCK; k++) {
            if (w->parts[i].done[k] != 1) {
                report->faults |= DCN_JPEG_COARSE;
            }
        }
        free(w->parts[i].nonzero);
    }
    free(w);
    return status;
}
