/* What PNG does to rows of samples: filters (PNG specification, third edition, section 9), and
 * deflate (RFC 1951) for residuals in which strings hardly repeat. */
#ifndef DCN_PNG_H
#define DCN_PNG_H

#include <stddef.h>
#include <stdint.h>

/* Rows as Paeth's residuals, each behind its filter type: 1 + line bytes.
 *
 * out      rows * (1 + line) bytes
 * samples  of the first row; rows begin `pitch` bytes apart
 * above    the row before it, or NULL at the picture's top
 * line     bytes of a row's samples
 * step     bytes of a pixel, 1..line
 *
 * Returns how many of the residuals are 0. */
size_t dcn_png_filter(uint8_t *out, const uint8_t *samples, const uint8_t *above, size_t pitch,
                      size_t rows, size_t line, size_t step);

/* Bytes that deflated ones take at most. */
size_t dcn_png_bound(size_t size);

/* Bytes as one block of literals with a Huffman code of their own, up to a whole byte.
 *
 * out    dcn_png_bound(size) bytes
 * bytes  at least one, fewer than 1 << 31
 * last   whether the stream ends with them; else an empty stored block follows
 *
 * Returns how many bytes of `out` are taken. */
size_t dcn_png_deflate(uint8_t *out, const uint8_t *bytes, size_t size, int last);

#endif
