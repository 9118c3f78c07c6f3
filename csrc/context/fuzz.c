/* Fuzzing of the context coder: any block must end in an error or in latents, any latents must
 * come back, whatever the number of threads, and all sets of instructions must agree in every sum
 * and choice.
 *
 * With libFuzzer this file is the target. With -DDCN_CONTEXT_STANDALONE it has a main() of its
 * own, which makes inputs at random for a number of seconds (first argument) and replays the files
 * that are named after it: for compilers that have only the sanitizers. With the argument `digest`
 * it prints a number that all machines must agree on.
 *
 * NON_ZERO_PER_STREAM should be small, so that small blocks, too, have several streams. */
#include <stdio.h>
#include <stdlib.h>

#include "../check.h"
#include "context_common.h"
#include "fuzz_model.h"

enum { MAX_SIDE = 32, PATHS = 3, HEAD = 8, MAX_INPUT = 20000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Buffers of the exact size, so that a sanitizer sees one byte too many. */
static void *buffer(size_t size)
{
    void *const memory = malloc(size ? size : 1);
    CHECK(memory != NULL);
    return memory;
}

/* A model in memory of its own, or NULL where the processor lacks the path. */
static const dcn_context *make(const dcn_context_parameters *p, dcn_context_path path,
                               void **memory)
{
    const dcn_context *model;
    const size_t size = dcn_context_model_size(p);
    CHECK(!dcn_context_is_error(size));
    *memory = buffer(size);
    const size_t result = dcn_context_init(&model, *memory, size, p, path);
    CHECK(result == 0 || dcn_context_error_code(result) == DCN_CONTEXT_PATH_MISSING);
    return model;
}

/* Whatever the parameters are, they are refused or safe to use. */
static void load_anything(const dcn_context_parameters *p)
{
    const size_t size = dcn_context_model_size(p);
    if (dcn_context_is_error(size)) {
        return;
    }
    const dcn_context *model;
    void *const memory = buffer(size);
    if (dcn_context_init(&model, memory, size, p, DCN_CONTEXT_PLAIN) == 0) {
        int16_t *const latents = buffer(p->channels * 12 * sizeof *latents);
        for (size_t i = 0; i < p->channels * 12; i++) {
            latents[i] = (int16_t)random_number(1U << 16);
        }
        const size_t work = dcn_context_workspace_size(model, 3, 4, 1);
        void *const workspace = buffer(work);
        float *const bits = buffer(p->channels * 12 * sizeof *bits);
        CHECK(dcn_context_bits(model, bits, latents, 3, 4, 99, 1, workspace, work) ==
              p->channels * 12);
        free(bits);
        free(workspace);
        free(latents);
    }
    free(memory);
}

typedef struct {
    const dcn_context *model;
    size_t rows, columns, count;
    unsigned rate, threads;
    uint8_t *workspace;
    size_t workspace_size;
} use;

static void decode_anything(const use *u, const uint8_t *data, size_t size, int16_t *expected,
                            size_t *expected_result)
{
    uint8_t *const block = buffer(size);
    if (size > 0) {
        memcpy(block, data, size);
    }
    int16_t *const latents = buffer(u->count * sizeof *latents);
    const size_t result = dcn_context_decode(u->model, latents, block, size, u->rows, u->columns,
                                             u->rate, u->threads, u->workspace, u->workspace_size);
    CHECK(dcn_context_is_error(result) || result == u->count);
    if (*expected_result == 0) {
        *expected_result = result;
        memcpy(expected, latents, u->count * sizeof *latents);
    } else {
        CHECK(dcn_context_is_error(result) == dcn_context_is_error(*expected_result));
        CHECK(result != u->count || memcmp(latents, expected, result * sizeof *latents) == 0);
    }
    free(latents);
    free(block);
}

/* The block, which must be the same for every path and number of threads. */
static size_t round_trip(const use *u, const int16_t *latents, uint8_t *expected,
                         size_t expected_size)
{
    const size_t bound = dcn_context_bound(u->model, u->rows, u->columns);
    uint8_t *const block = buffer(bound);
    const size_t size = dcn_context_encode(u->model, block, bound, latents, u->rows, u->columns,
                                           u->rate, u->threads, u->workspace, u->workspace_size);
    CHECK(!dcn_context_is_error(size) && size <= bound);
    if (expected_size == 0) {
        memcpy(expected, block, size);
    } else {
        CHECK(size == expected_size && memcmp(block, expected, size) == 0);
    }
    int16_t *const decoded = buffer(u->count * sizeof *decoded);
    CHECK(dcn_context_decode(u->model, decoded, block, size, u->rows, u->columns, u->rate,
                             u->threads, u->workspace, u->workspace_size) == u->count);
    CHECK(memcmp(decoded, latents, u->count * sizeof *decoded) == 0);
    uint8_t *const small = buffer(size / 2);
    const size_t none = dcn_context_encode(u->model, small, size / 2, latents, u->rows, u->columns,
                                           u->rate, u->threads, u->workspace, u->workspace_size);
    CHECK(dcn_context_error_code(none) == DCN_CONTEXT_DST_TOO_SMALL);
    free(small);
    free(decoded);
    free(block);
    return size;
}

/* All sums of the last place, which are at the beginning of the workspace. */
static void compare_sums(const use *u, const int16_t *latents, sums *expected, int first)
{
    int32_t *const means = buffer(u->count * sizeof *means);
    uint8_t *const scales = buffer(u->count);
    memset(u->workspace, 0, u->workspace_size);
    CHECK(dcn_context_predict(u->model, means, scales, latents, u->rows, u->columns, u->rate, 1,
                              u->workspace, u->workspace_size) == u->count);
    const size_t offset = (size_t)(0 - (uintptr_t)u->workspace) % ALIGNMENT;
    if (first) {
        memcpy(expected, u->workspace + offset, sizeof *expected);
    } else {
        CHECK(memcmp(expected, u->workspace + offset, sizeof *expected) == 0);
    }
    free(scales);
    free(means);
}

/* Any targets, some of them no numbers, give code words within bounds, the same for every path and
 * number of threads. */
static void quantise_anything(const use *u, const int16_t *latents, int16_t *expected, int first)
{
    float *const targets = buffer(u->count * sizeof *targets);
    float *const weights = buffer(DCN_CONTEXT_MAX_CHANNELS * sizeof *weights);
    int16_t *const chosen = buffer(u->count * sizeof *chosen);
    /* Many code words take their time: with these weights each of them may be the best so far. */
    const int16_t range = u->rate % 16 == 0 ? 0x7FFF : 0xF;
    const int16_t least = (int16_t)-(latents[0] & range), most = latents[u->count - 1] & range;
    for (size_t i = 0; i < u->count; i++) {
        targets[i] = (float)latents[i] * (latents[i] & 1 ? 0.37F : 1e34F);
        targets[i] = targets[i] - (latents[i] & 2 ? targets[i] * 1e6F : 0); /* infinite, or none */
    }
    for (size_t i = 0; i < DCN_CONTEXT_MAX_CHANNELS; i++) {
        weights[i] = (float)(i % 7) * (i % 2 ? 3 : -1e30F);
    }
    CHECK(dcn_context_quantise(u->model, chosen, targets, weights, u->rate & 1, least, most,
                               u->rows, u->columns, u->rate, u->threads, u->workspace,
                               u->workspace_size) == u->count);
    for (size_t i = 0; i < u->count; i++) {
        CHECK(chosen[i] >= least && chosen[i] <= most);
    }
    if (first) {
        memcpy(expected, chosen, u->count * sizeof *chosen);
    } else {
        CHECK(memcmp(expected, chosen, u->count * sizeof *chosen) == 0);
    }
    free(chosen);
    free(weights);
    free(targets);
}

static void latents_of(int16_t *latents, size_t count, const uint8_t *data, size_t size,
                       unsigned kind)
{
    for (size_t i = 0; i < count; i++) {
        const uint8_t byte = data[i % size];
        latents[i] = (int16_t)(kind == 0   ? (int)(byte >> 6) - 1
                               : kind == 1 ? (int8_t)byte
                               : kind == 2 ? (byte & 1 ? INT16_MAX : INT16_MIN)
                                           : byte << 8 | data[(i + 1) % size]);
    }
}

/* Mostly small blocks, because they are quick; large ones have several streams. */
static void shape_of(const uint8_t *data, size_t *rows, size_t *columns)
{
    const unsigned most = data[7] < 16 ? MAX_SIDE : 6;
    *rows = 1 + data[2] % most;
    *columns = 1 + data[3] % most;
}

/* The first bytes choose model and shape, the rest is a block, and also latents. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= HEAD || size > MAX_INPUT) {
        return 0;
    }
    random_state = 88172645463325252U ^ data[0] ^ (uint64_t)data[1] << 8;
    dcn_context_parameters p = random_parameters();
    static uint8_t block[MAX_SIDE * (MAX_SIDE * MAX_N * 7 + 16) + 32 * DCN_CONTEXT_MAX_STREAMS];
    static int16_t latents[MAX_N * MAX_SIDE * MAX_SIDE], decoded[MAX_N * MAX_SIDE * MAX_SIDE];
    static int16_t chosen[MAX_N * MAX_SIDE * MAX_SIDE];
    static sums expected;
    use u = {.rate = data[4], .threads = 1};
    shape_of(data, &u.rows, &u.columns);
    u.count = u.rows * u.columns * p.channels;
    latents_of(latents, u.count, data + HEAD, size - HEAD, data[5] % 4);
    size_t block_size = 0, decoded_size = 0;
    for (unsigned path = 0; path < PATHS; path++) {
        void *memory;
        u.model = make(&p, (dcn_context_path)(DCN_CONTEXT_PLAIN + path), &memory);
        /* One thread decodes several rows at once, three fewer. */
        for (u.threads = 1; u.model != NULL && u.threads <= 3; u.threads += 2) {
            u.workspace_size = dcn_context_workspace_size(u.model, u.rows, u.columns, u.threads);
            u.workspace = buffer(u.workspace_size);
            decode_anything(&u, data + HEAD, size - HEAD, decoded, &decoded_size);
            block_size = round_trip(&u, latents, block, block_size);
            compare_sums(&u, latents, &expected, path == 0 && u.threads == 1);
            quantise_anything(&u, latents, chosen, path == 0 && u.threads == 1);
            free(u.workspace);
        }
        free(memory);
    }
    /* Any 16 bits of the weights, and any 8 of the rest, may be wrong. */
    for (size_t i = HEAD; i + 3 < size && i < 40; i += 4) {
        uint8_t *const bytes = (uint8_t *)&arrays;
        bytes[(data[i] | (size_t)data[i + 1] << 8 | (size_t)data[i + 2] << 16) % sizeof arrays] =
            data[i + 3];
    }
    load_anything(&p);
    return 0;
}

#ifdef DCN_CONTEXT_STANDALONE
#include <time.h>

/* A block of the model and shape that its first bytes describe, or noise. */
static size_t make_input(uint8_t *input, uint64_t *seed)
{
    random_state = *seed;
    for (size_t i = 0; i < HEAD; i++) {
        input[i] = (uint8_t)random_number(256);
    }
    const size_t noise = HEAD + 1 + random_number(3000);
    for (size_t i = HEAD; i < noise; i++) {
        input[i] = (uint8_t)random_number(256);
    }
    const int valid = random_number(4) > 0;
    *seed = random_state;
    if (!valid) {
        return noise;
    }
    random_state = 88172645463325252U ^ input[0] ^ (uint64_t)input[1] << 8;
    const dcn_context_parameters p = random_parameters();
    size_t rows, columns;
    shape_of(input, &rows, &columns);
    static int16_t latents[MAX_N * MAX_SIDE * MAX_SIDE];
    latents_of(latents, rows * columns * p.channels, input + HEAD, noise - HEAD, input[6] % 4);
    void *memory;
    const dcn_context *const model = make(&p, DCN_CONTEXT_AUTO, &memory);
    const size_t work = dcn_context_workspace_size(model, rows, columns, 1);
    void *const workspace = buffer(work);
    const size_t size = dcn_context_encode(model, input + HEAD, MAX_INPUT - HEAD, latents, rows,
                                           columns, input[4], 1, workspace, work);
    free(workspace);
    free(memory);
    return dcn_context_is_error(size) ? noise : HEAD + size;
}

static int replay(const char *path)
{
    static uint8_t input[MAX_INPUT];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    LLVMFuzzerTestOneInput(input, fread(input, 1, sizeof input, file));
    fclose(file);
    return 0;
}

/* A number that depends on every byte of 150 inputs, most of which are encoded blocks: the same on
 * every machine. Each of them is used as a fuzzer would. */
static uint32_t digest(void)
{
    static uint8_t input[MAX_INPUT];
    uint64_t seed = 1;
    uint32_t sum = 0;
    for (unsigned run = 0; run < 150; run++) {
        const size_t size = make_input(input, &seed);
        for (size_t i = 0; i < size; i++) {
            sum = sum * 16777619U ^ input[i];
        }
        LLVMFuzzerTestOneInput(input, size);
    }
    return sum;
}

int main(int argc, char **argv)
{
    static uint8_t input[MAX_INPUT];
    if (argc > 1 && strcmp(argv[1], "digest") == 0) {
        printf("%08x\n", (unsigned)digest());
        return 0;
    }
    for (int i = 2; i < argc; i++) {
        if (replay(argv[i]) != 0) {
            return 1;
        }
    }
    const time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 10);
    uint64_t seed = 0x9E3779B97F4A7C15U;
    unsigned long runs = 0;
    for (; time(NULL) < end; runs++) {
        size_t size = make_input(input, &seed);
        random_state = seed;
        for (uint32_t n = random_number(5); n > 0; n--) {
            input[HEAD + random_number((uint32_t)(size - HEAD))] = (uint8_t)random_number(256);
        }
        if (random_number(4) == 0) {
            size = HEAD + 1 + random_number((uint32_t)(size - HEAD));
        }
        seed = random_state;
        LLVMFuzzerTestOneInput(input, size);
    }
    printf("fuzz: %lu inputs, no findings\n", runs);
    return 0;
}
#endif
