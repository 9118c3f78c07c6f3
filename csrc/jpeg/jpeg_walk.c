#include "jpeg_walk.h"

#include <stdlib.h>
#include <string.h>

#include "jpeg_scan.h"

enum { EOI = 0xD9, SOS = 0xDA, DRI = 0xDD };

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
        c->allowed = dcn_jpeg_allowed_energy(w->quant[c->quant]);
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
    dcn_jpeg_walk_scan(w, &s);
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
