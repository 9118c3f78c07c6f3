#include "jpeg_bits.h"

#include <string.h>

size_t dcn_jpeg_read_table(dcn_jpeg_table *table, const uint8_t *data, size_t size)
{
    size_t total = 0;
    for (unsigned n = 0; n < 16; n++) {
        total += size >= 16 ? data[n] : 0u;
    }
    if (total > 256 || size < 16 + total) {
        return 0;
    }
    memset(table, 0, sizeof *table);
    memcpy(table->symbols, data + 16, total);
    int32_t code = 0, number = 0;
    for (unsigned length = 1; length <= 16; length++) {
        table->offset[length] = number - code;
        for (unsigned i = 0; i < data[length - 1]; i++, code++, number++) {
            if (code >= (int32_t)1 << length) {
                return 0;
            }
            if (length <= DCN_JPEG_FAST) {
                const unsigned spare = DCN_JPEG_FAST - length;
                for (unsigned j = 0; j < 1u << spare; j++) {
                    table->fast[((unsigned)code << spare) + j] =
                        (uint16_t)(length << 8 | table->symbols[number]);
                }
            }
        }
        table->largest[length] = data[length - 1] ? code - 1 : -1;
        code *= 2;
    }
    return 16 + total;
}

void dcn_jpeg_start(dcn_jpeg_bits *b, const uint8_t *data, size_t size, size_t place)
{
    *b = (dcn_jpeg_bits){.data = data, .size = size, .place = place};
}

static void fill(dcn_jpeg_bits *b)
{
    while (b->held <= 56 && b->place < b->size) {
        const uint8_t byte = b->data[b->place];
        if (byte == 0xFF) {
            if (b->place + 1 >= b->size || b->data[b->place + 1] != 0) {
                return;
            }
            b->place++;
        }
        b->place++;
        b->bits = b->bits << 8 | byte;
        b->held += 8;
    }
}

static unsigned peek(dcn_jpeg_bits *b, unsigned count)
{
    if (b->held < count) {
        fill(b);
    }
    const uint64_t mask = ((uint64_t)1 << count) - 1;
    if (b->held >= count) {
        return (unsigned)(b->bits >> (b->held - count) & mask);
    }
    return (unsigned)(b->bits << (count - b->held) & mask);
}

static void drop(dcn_jpeg_bits *b, unsigned count)
{
    if (count > b->held) {
        b->missing += count - b->held;
        b->held = 0;
    } else {
        b->held -= count;
    }
}

int dcn_jpeg_symbol(dcn_jpeg_bits *b, const dcn_jpeg_table *table)
{
    const unsigned next = peek(b, 16);
    const uint16_t fast = table->fast[next >> (16 - DCN_JPEG_FAST)];
    if (fast) {
        drop(b, fast >> 8);
        return fast & 255;
    }
    for (unsigned length = DCN_JPEG_FAST + 1; length <= 16; length++) {
        const int32_t code = (int32_t)(next >> (16 - length));
        if (code <= table->largest[length]) {
            drop(b, length);
            return table->symbols[(code + table->offset[length]) & 255];
        }
    }
    /* Also where the zeros behind the last bit are no code: then bits are missing. */
    b->missing += b->held < 16;
    return -1;
}

unsigned dcn_jpeg_take(dcn_jpeg_bits *b, unsigned count)
{
    const unsigned value = count ? peek(b, count) : 0;
    drop(b, count);
    return value;
}

int dcn_jpeg_value(dcn_jpeg_bits *b, unsigned length)
{
    const int value = (int)dcn_jpeg_take(b, length);
    return length && value < 1 << (length - 1) ? value - (1 << length) + 1 : value;
}

int dcn_jpeg_left_over(const dcn_jpeg_bits *b)
{
    return b->held >= 8 || b->place != dcn_jpeg_marker(b->data, b->size, b->place);
}

size_t dcn_jpeg_marker(const uint8_t *data, size_t size, size_t place)
{
    for (; place + 1 < size; place++) {
        if (data[place] == 0xFF && data[place + 1] != 0 && data[place + 1] != 0xFF) {
            return place;
        }
    }
    return size;
}
