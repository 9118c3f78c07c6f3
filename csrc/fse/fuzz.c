/* Fuzzing of the entropy coder: any input must end in an error or in symbols, and whatever was
 * compressed must come back.
 *
 * With libFuzzer this file is the target. With -DDCN_FSE_STANDALONE it has a main() of its own,
 * which mutates blocks at random for a number of seconds (first argument) and replays the files
 * that are named after it: for compilers that have only the sanitizers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../check.h"
#include "fse.h"

enum { MAX_COUNT = 70000, MAX_CHANNELS = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Buffers of the exact size, so that a sanitizer sees one byte too many. */
static uint8_t *copy_of(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    CHECK(copy != NULL);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    return copy;
}

static void decode_anything(const uint8_t *data, size_t size, size_t count, unsigned max_symbol)
{
    static dcn_fse_decoder work;
    uint8_t *block = copy_of(data, size);
    uint8_t *symbols = malloc(count ? count : 1);
    CHECK(symbols != NULL);
    int16_t normalised[DCN_FSE_MAX_SYMBOLS];
    unsigned table_log = 0;
    const size_t table = dcn_fse_read_table(normalised, &table_log, max_symbol, block, size);
    if (!dcn_fse_is_error(table)) {
        CHECK(table <= size && table_log <= DCN_FSE_MAX_TABLE_LOG);
        int cells = 0;
        for (unsigned s = 0; s < DCN_FSE_MAX_SYMBOLS; s++) {
            CHECK(s <= max_symbol || normalised[s] == 0);
            cells += normalised[s] < 0 ? 1 : normalised[s];
        }
        CHECK(cells == 1 << table_log);
    }
    const size_t result = dcn_fse_decompress(symbols, count, block, size, max_symbol, &work);
    CHECK(dcn_fse_is_error(result) || result == count);
    if (result == count) {
        for (size_t i = 0; i < count; i++) {
            CHECK(symbols[i] <= max_symbol);
        }
    }
    free(symbols);
    free(block);
}

static void decode_planes(const uint8_t *data, size_t size, size_t channels, size_t count)
{
    uint32_t sizes[MAX_CHANNELS];
    size_t offsets[MAX_CHANNELS];
    if (size < channels * 2) {
        return;
    }
    for (size_t c = 0; c < channels; c++) {
        sizes[c] = data[2 * c] | (uint32_t)data[2 * c + 1] << 8;
    }
    const size_t rest = size - channels * 2;
    uint8_t *payload = copy_of(data + channels * 2, rest);
    uint8_t *symbols = malloc(channels * count);
    CHECK(symbols != NULL);
    const size_t result =
        dcn_fse_decode_planes(symbols, sizes, payload, rest, channels, count, 31, 3, offsets);
    CHECK(dcn_fse_is_error(result) || result == channels * count);
    free(symbols);
    free(payload);
}

static void round_trip(const uint8_t *data, size_t size)
{
    static dcn_fse_encoder encoder;
    static dcn_fse_decoder decoder;
    uint8_t *source = copy_of(data, size);
    uint8_t *block = malloc(size);
    uint8_t *symbols = malloc(size);
    CHECK(block != NULL && symbols != NULL);
    const size_t result = dcn_fse_compress(block, size, source, size, &encoder);
    if (!dcn_fse_is_error(result)) {
        CHECK(result < size);
        CHECK(dcn_fse_decompress(symbols, size, block, result, 255, &decoder) == size);
        CHECK(memcmp(symbols, source, size) == 0);
    }
    const size_t channels = size < MAX_CHANNELS ? 1 : 1 + data[0] % MAX_CHANNELS;
    const size_t count = size / channels;
    uint32_t sizes[MAX_CHANNELS];
    size_t offsets[MAX_CHANNELS];
    const size_t payload = dcn_fse_encode_planes(block, sizes, source, channels, count, 3);
    CHECK(payload <= channels * count);
    CHECK(dcn_fse_decode_planes(symbols, sizes, block, payload, channels, count, 255, 3, offsets) ==
          channels * count);
    CHECK(memcmp(symbols, source, channels * count) == 0);
    free(symbols);
    free(block);
    free(source);
}

/* The first three bytes choose the counts, the rest is the data. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4 || size > MAX_COUNT) {
        return 0;
    }
    const size_t count = data[0] | (size_t)data[1] << 8;
    decode_anything(data + 3, size - 3, count, data[2]);
    decode_planes(data + 3, size - 3, 1 + data[2] % MAX_CHANNELS, 1 + count % 4096);
    round_trip(data + 3, size - 3);
    return 0;
}

#ifdef DCN_FSE_STANDALONE
#include <time.h>

static uint64_t random_state = 88172645463325252U;

static uint32_t random_number(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % below;
}

/* Skewed symbols, compressed, behind the three bytes that describe them. */
static size_t make_input(uint8_t *input, size_t capacity)
{
    static uint8_t source[MAX_COUNT];
    static dcn_fse_encoder work;
    const size_t count = 3 + random_number(random_number(8) ? 600 : 60000);
    const uint32_t alphabet = 1 + random_number(256);
    for (size_t i = 0; i < count; i++) {
        const uint32_t value = random_number(alphabet);
        source[i] = (uint8_t)(value * random_number(alphabet) / alphabet);
    }
    input[0] = (uint8_t)count;
    input[1] = (uint8_t)(count >> 8);
    input[2] = (uint8_t)(random_number(2) ? 255 : random_number(256));
    const size_t size = dcn_fse_compress(input + 3, capacity - 3, source, count, &work);
    if (dcn_fse_is_error(size)) {
        memcpy(input + 3, source, count);
        return 3 + count;
    }
    return 3 + size;
}

static int replay(const char *path)
{
    static uint8_t input[MAX_COUNT];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    LLVMFuzzerTestOneInput(input, fread(input, 1, sizeof input, file));
    fclose(file);
    return 0;
}

int main(int argc, char **argv)
{
    static uint8_t input[MAX_COUNT];
    for (int i = 2; i < argc; i++) {
        if (replay(argv[i]) != 0) {
            return 1;
        }
    }
    const time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 10);
    unsigned long runs = 0;
    for (; time(NULL) < end; runs++) {
        size_t size = make_input(input, sizeof input);
        for (uint32_t n = random_number(5); n > 0; n--) {
            input[random_number((uint32_t)size)] = (uint8_t)random_number(256);
        }
        if (random_number(4) == 0) {
            size = 1 + random_number((uint32_t)size);
        }
        LLVMFuzzerTestOneInput(input, size);
    }
    printf("fuzz: %lu inputs, no findings\n", runs);
    return 0;
}
#endif
