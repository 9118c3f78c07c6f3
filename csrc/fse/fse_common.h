/* What encoder and decoder share: errors, bits and bytes, and how symbols are spread. */
#ifndef DCN_FSE_COMMON_H
#define DCN_FSE_COMMON_H

#include <string.h>

#include "fse.h"

/* A bit writer must stay in registers: its address may not leave a hot loop, since any store
 * through a byte pointer could otherwise change it. */
#if defined(__GNUC__)
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#else
#define ALWAYS_INLINE static inline
#endif

/* A second copy of a hot loop for processors with BMI2, whose shifts by a variable amount cost a
 * third; chosen at run time. */
#if defined(__GNUC__) && defined(__x86_64__)
#define HAS_BMI2_COPY 1
#define BMI2_COPY     __attribute__((target("bmi2")))
#define USE_BMI2()    __builtin_cpu_supports("bmi2")
#else
#define HAS_BMI2_COPY 0
#endif

#define FSE_ERROR(code) ((size_t)0 - (size_t)(code))

static inline unsigned highest_bit(uint32_t value)
{
    return 31U - (unsigned)__builtin_clz(value);
}

/* The format is little-endian; compilers turn these into one instruction. */
static inline uint64_t load64(const uint8_t *p)
{
    uint64_t value;
    memcpy(&value, p, sizeof value);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

static inline void store64(uint8_t *p, uint64_t value)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    memcpy(p, &value, sizeof value);
}

/* Lay out the symbols 0..max_symbol in a table of 1 << table_log cells (RFC 8878, 4.1.1):
 * those with "less than one" cell from the top down, the others by a stride that visits every
 * cell. The counts must add up to the table. */
void dcn_fse_spread(uint8_t *spread, const int16_t *normalised, unsigned max_symbol,
                    unsigned table_log);

#endif
