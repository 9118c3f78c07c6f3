/* Bits and Huffman codes of a JPEG scan (ITU-T T.81, annexes C and F). */
#ifndef DCN_JPEG_BITS_H
#define DCN_JPEG_BITS_H

#include <stddef.h>
#include <stdint.h>

enum { DCN_JPEG_FAST = 9 };

typedef struct {
    uint8_t symbols[256];
    uint16_t fast[1 << DCN_JPEG_FAST]; /* length << 8 | symbol, 0 for longer codes */
    int32_t largest[17];               /* largest code of each length, -1 for none */
    int32_t offset[17];                /* code + offset is the number of its symbol */
} dcn_jpeg_table;

typedef struct {
    const uint8_t *data;
    size_t size, place;
    uint64_t bits; /* the lowest `held` are still to be read */
    unsigned held;
    unsigned missing; /* bits that were asked for behind the last one */
} dcn_jpeg_bits;

/* Bytes that the description takes; 0 if it is none. */
size_t dcn_jpeg_read_table(dcn_jpeg_table *table, const uint8_t *data, size_t size);

void dcn_jpeg_start(dcn_jpeg_bits *b, const uint8_t *data, size_t size, size_t place);

/* The next symbol; -1 where the bits are no code. Behind the last bit there are zeros. */
int dcn_jpeg_symbol(dcn_jpeg_bits *b, const dcn_jpeg_table *table);
unsigned dcn_jpeg_take(dcn_jpeg_bits *b, unsigned count);

/* A number of `length` bits with its sign (T.81, EXTEND), 0 to 15. */
int dcn_jpeg_value(dcn_jpeg_bits *b, unsigned length);

/* Whether more than the filling of the last byte is left before the next marker. */
int dcn_jpeg_left_over(const dcn_jpeg_bits *b);

/* Offset of the next marker's 0xFF that is neither stuffing nor filling; `size` without one. */
size_t dcn_jpeg_marker(const uint8_t *data, size_t size, size_t place);

#endif
