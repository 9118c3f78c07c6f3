#include "fse_common.h"

int dcn_fse_is_error(size_t result)
{
    return result > FSE_ERROR(DCN_FSE_SYMBOL_WRONG + 1);
}

dcn_fse_error dcn_fse_error_code(size_t result)
{
    return dcn_fse_is_error(result) ? (dcn_fse_error)((size_t)0 - result) : DCN_FSE_OK;
}

const char *dcn_fse_error_name(dcn_fse_error code)
{
    switch (code) {
    case DCN_FSE_OK: return "no error";
    case DCN_FSE_NOT_COMPRESSIBLE: return "not compressible";
    case DCN_FSE_REPEATED_SYMBOL: return "one repeated symbol";
    case DCN_FSE_DST_TOO_SMALL: return "destination too small";
    case DCN_FSE_SRC_WRONG: return "wrong source";
    case DCN_FSE_TABLE_CORRUPT: return "damaged table description";
    case DCN_FSE_STREAM_CORRUPT: return "damaged bit-stream";
    case DCN_FSE_SIZE_WRONG: return "wrong channel size";
    case DCN_FSE_SYMBOL_WRONG: return "symbol outside the alphabet";
    }
    return "unknown error";
}

void dcn_fse_spread(uint8_t *spread, const int16_t *normalised, unsigned max_symbol,
                    unsigned table_log)
{
    const unsigned size = 1U << table_log;
    const unsigned mask = size - 1;
    const unsigned step = (size >> 1) + (size >> 3) + 3;
    unsigned top = size - 1;
    for (unsigned s = 0; s <= max_symbol; s++) {
        if (normalised[s] == -1) {
            spread[top--] = (uint8_t)s;
        }
    }
    if (top == mask) {
        /* No cell is taken: lay the symbols out in a row, then move that row's cells, whose
         * places do not depend on each other. */
        uint8_t row[(1 << DCN_FSE_MAX_TABLE_LOG) + 8];
        unsigned end = 0;
        for (unsigned s = 0; s <= max_symbol; s++) {
            const uint64_t eight = s * (UINT64_MAX / 255);
            for (int n = 0; n < normalised[s]; n += 8) {
                store64(row + end + n, eight);
            }
            end += (unsigned)normalised[s];
        }
        for (unsigned n = 0; n < size; n += 4) {
            spread[n * step & mask] = row[n];
            spread[(n + 1) * step & mask] = row[n + 1];
            spread[(n + 2) * step & mask] = row[n + 2];
            spread[(n + 3) * step & mask] = row[n + 3];
        }
        return;
    }
    unsigned position = 0;
    for (unsigned s = 0; s <= max_symbol; s++) {
        for (int n = 0; n < normalised[s]; n++) {
            spread[position] = (uint8_t)s;
            do {
                position = (position + step) & mask;
            } while (position > top);
        }
    }
}
