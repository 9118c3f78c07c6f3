/* Finite state entropy coder of dcn: the public FSE format (RFC 8878, sections 4.1, 4.2.1.2).
 *
 * A block is a table description (the normalised counts) followed by one backward bit-stream with
 * two interleaved states, as FSE_compress of the reference library writes it. A block does not
 * say how many symbols it holds: the decoder is told.
 *
 * No function allocates, keeps global state, or reads or writes outside the buffers it is given.
 * Each returns the number of bytes (or symbols) it produced, or an error: see dcn_fse_is_error().
 */
#ifndef DCN_FSE_H
#define DCN_FSE_H

#include <stddef.h>
#include <stdint.h>

#define DCN_FSE_MIN_TABLE_LOG     5
#define DCN_FSE_MAX_TABLE_LOG     12
#define DCN_FSE_DEFAULT_TABLE_LOG 11
#define DCN_FSE_MAX_SYMBOLS       256

/* One block holds at most this many symbols: counts and products of them stay within 64 bits. */
#define DCN_FSE_MAX_BLOCK ((size_t)1 << 24)

typedef enum {
    DCN_FSE_OK = 0,
    DCN_FSE_NOT_COMPRESSIBLE = 1, /* the block would not be smaller than its source */
    DCN_FSE_REPEATED_SYMBOL = 2,  /* the source is one symbol over and over */
    DCN_FSE_DST_TOO_SMALL = 3,
    DCN_FSE_SRC_WRONG = 4,      /* no symbols, too many, or one beyond the alphabet */
    DCN_FSE_TABLE_CORRUPT = 5,  /* the table description is not valid */
    DCN_FSE_STREAM_CORRUPT = 6, /* the bit-stream does not end where it should */
    DCN_FSE_SIZE_WRONG = 7,     /* a channel's size fits none of its forms, or the sizes' sum
                                   is not the payload's */
    DCN_FSE_SYMBOL_WRONG = 8    /* a decoded symbol lies outside the alphabet */
} dcn_fse_error;

/* Errors are returned as the largest values of size_t. */
int dcn_fse_is_error(size_t result);
dcn_fse_error dcn_fse_error_code(size_t result);
const char *dcn_fse_error_name(dcn_fse_error code);

typedef struct {
    const uint16_t *next; /* where what remains of a state finds the next one */
    uint32_t delta_bits;  /* (bits << 16) - first state that needs them */
} dcn_fse_transform;

typedef struct {
    uint32_t counts[4][DCN_FSE_MAX_SYMBOLS];
    int16_t normalised[DCN_FSE_MAX_SYMBOLS];
    uint16_t next_state[2 << DCN_FSE_MAX_TABLE_LOG]; /* half of it so that `next` stays inside */
    uint8_t spread[1 << DCN_FSE_MAX_TABLE_LOG];
    dcn_fse_transform transforms[DCN_FSE_MAX_SYMBOLS];
} dcn_fse_encoder;

/* 8 bytes, so that each field is one load away from the state. */
typedef struct {
    uint16_t base;
    uint8_t symbol;
    uint8_t bits;
    uint8_t shift; /* 63 - bits, which the next state waits for */
    uint8_t padding[3];
} dcn_fse_cell;

typedef struct {
    int16_t normalised[DCN_FSE_MAX_SYMBOLS];
    uint16_t next[DCN_FSE_MAX_SYMBOLS];
    uint8_t spread[1 << DCN_FSE_MAX_TABLE_LOG];
    dcn_fse_cell cells[1 << DCN_FSE_MAX_TABLE_LOG];
} dcn_fse_decoder;

/* Largest block of `count` symbols; a destination of this size is never too small. */
size_t dcn_fse_bound(size_t count);

/* Compress `count` symbols (1..DCN_FSE_MAX_BLOCK). `work` need not be initialised.
 * Returns the block's size, which is at most `count` - 2, or an error: DCN_FSE_NOT_COMPRESSIBLE,
 * DCN_FSE_REPEATED_SYMBOL, DCN_FSE_SRC_WRONG, DCN_FSE_DST_TOO_SMALL. */
size_t dcn_fse_compress(uint8_t *dst, size_t capacity, const uint8_t *src, size_t count,
                        dcn_fse_encoder *work);

/* Decompress a block into exactly `count` symbols (2..DCN_FSE_MAX_BLOCK), none above `max_symbol`
 * (0..255). `work` need not be initialised.
 * Returns `count` or an error, after which the contents of `dst` are undefined:
 * DCN_FSE_SRC_WRONG for a `count` out of range, DCN_FSE_TABLE_CORRUPT, DCN_FSE_STREAM_CORRUPT. */
size_t dcn_fse_decompress(uint8_t *dst, size_t count, const uint8_t *src, size_t size,
                          unsigned max_symbol, dcn_fse_decoder *work);

/* Read a table description of symbols 0..max_symbol. `normalised` has room for
 * DCN_FSE_MAX_SYMBOLS entries; those beyond the described ones become 0.
 * Returns the bytes that the description takes, or an error. */
size_t dcn_fse_read_table(int16_t *normalised, unsigned *table_log, unsigned max_symbol,
                          const uint8_t *src, size_t size);

/* Encode all channels of a latent block, each as the shortest of (DCN paper, Table A.1)
 *   FSE   a block as above, shorter than `count` and not 3 bytes long;
 *   RLE   3 bytes: repetitions (uint16, little-endian), symbol; only for 3 < count < 65536;
 *   raw   the symbols themselves.
 * `src` holds channels * count symbols, channel after channel; `dst` as many bytes. `sizes`
 * receives the bytes of each channel. Channels are shared out among up to `threads` threads.
 * Returns the bytes written to `dst` or an error. */
size_t dcn_fse_encode_planes(uint8_t *dst, uint32_t *sizes, const uint8_t *src, size_t channels,
                             size_t count, unsigned threads);

/* Decode what dcn_fse_encode_planes wrote: channels * count symbols, none above `max_symbol`.
 * A channel of `count` bytes is raw, also when that is 3; one of 3 bytes is RLE; any other length
 * is an FSE block. Channels of up to 3 symbols are always raw. `offsets` is workspace of `channels`
 * entries. Returns channels * count or an error. */
size_t dcn_fse_decode_planes(uint8_t *dst, const uint32_t *sizes, const uint8_t *src, size_t size,
                             size_t channels, size_t count, unsigned max_symbol, unsigned threads,
                             size_t *offsets);

#endif
