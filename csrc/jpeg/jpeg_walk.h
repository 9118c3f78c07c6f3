/* Walks through the entropy-coded data of a JPEG file and tells what is missing or impossible.
 *
 * Decoders hide damage: where data ends early they go on with zeros, and codes that are wrong
 * often lead to further codes. This walk decodes every Huffman code of a sequential or progressive
 * file of 8 bits (ITU-T T.81), but no pixel, and compares the data with what the header promises.
 * It keeps no global state and reads nothing outside the buffer it is given.
 */
#ifndef DCN_JPEG_WALK_H
#define DCN_JPEG_WALK_H

#include <stddef.h>
#include <stdint.h>

/* Decoding a progressive file takes time in proportion to scans times blocks. */
#define DCN_JPEG_MAX_SCANS 256

typedef enum {
    DCN_JPEG_OK = 0,
    DCN_JPEG_NOT_WALKED = 1,   /* arithmetic coding, 12 bits, lossless, hierarchical */
    DCN_JPEG_HEADER_WRONG = 2, /* a marker segment contradicts itself or the others */
    DCN_JPEG_TOO_MANY_SCANS = 3,
    DCN_JPEG_NO_MEMORY = 4
} dcn_jpeg_status;

/* Bits of `faults`. */
typedef enum {
    DCN_JPEG_BAD_CODE = 1,     /* bits that are no code of the table */
    DCN_JPEG_OVERRUN = 2,      /* a run of zeros beyond the end of a block */
    DCN_JPEG_OUT_OF_RANGE = 4, /* a coefficient that no 8-bit samples have */
    DCN_JPEG_SHORT = 8,        /* a scan ends before its blocks do */
    DCN_JPEG_LONG = 16,        /* a scan goes on behind its blocks */
    DCN_JPEG_RESTART = 32,     /* a restart marker is missing, or out of order */
    DCN_JPEG_NO_END = 64,      /* the file has no end marker */
    DCN_JPEG_COARSE = 128,     /* scans that would complete the coefficients are missing */
    DCN_JPEG_REPEATED = 256    /* one byte over and over where a block's coefficients should be */
} dcn_jpeg_fault;

typedef struct {
    uint32_t faults;
    uint32_t scans;
    uint64_t expected; /* blocks in the scans that the file has */
    uint64_t missing;  /* those of them for which there was no data */
    uint64_t end;      /* offset behind the end marker, or of where it should be */
} dcn_jpeg_report;

dcn_jpeg_status dcn_jpeg_walk(const uint8_t *data, size_t size, dcn_jpeg_report *report);

#endif
