/* The state of a walk through a JPEG file, and the walk through one of its scans. */
#ifndef DCN_JPEG_SCAN_H
#define DCN_JPEG_SCAN_H

#include "jpeg_bits.h"
#include "jpeg_walk.h"

enum { MAX_COMPONENTS = 4, BLOCK = 64 };

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

/* Limit of the sum of a block's squared coefficients, by its steps of quantisation. */
int64_t dcn_jpeg_allowed_energy(const uint16_t *steps);

/* Leaves `place` at the marker behind the scan. */
void dcn_jpeg_walk_scan(walk *w, scan *s);

#endif
