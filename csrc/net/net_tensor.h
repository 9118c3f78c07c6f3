/* Numbers as weight files have them. Types are given by constants, so that what depends on them is
 * decided outside of loops. */
#ifndef DCN_NET_TENSOR_H
#define DCN_NET_TENSOR_H

#include "net_common.h"

INLINE uint32_t bits_of(const void *data, uint32_t type, size_t i)
{
    const uint8_t *const at = (const uint8_t *)data + i * (type == DCN_NET_F32 ? 4 : 2);
    const uint32_t low = at[0] | (uint32_t)at[1] << 8;
    return type == DCN_NET_F32 ? low | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24 : low;
}

INLINE float as_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A finite element. */
INLINE float element_of(const void *data, uint32_t type, size_t i)
{
    const uint32_t bits = bits_of(data, type, i);
    if (type == DCN_NET_F16) {
        /* The exponent's bias is 112 smaller; the product is exact, and so for subnormals, too. */
        return as_float((bits & 0x8000) << 16 | (bits & 0x7fff) << 13) * 0x1p112F;
    }
    return as_float(type == DCN_NET_BF16 ? bits << 16 : bits);
}

#endif
