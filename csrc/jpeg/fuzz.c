/* Fuzzing of the walk through JPEG data: any input must end in a status and a report that makes
 * sense.
 *
 * With libFuzzer this file is the target. With -DDCN_JPEG_STANDALONE it has a main() of its own,
 * which mutates two small files for a number of seconds (first argument): for compilers that have
 * only the sanitizers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../check.h"
#include "fuzz_seeds.h"
#include "jpeg_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A buffer of the exact size, so that a sanitizer sees one byte too many. */
    uint8_t *copy = malloc(size ? size : 1);
    CHECK(copy != NULL);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    dcn_jpeg_report report;
    const dcn_jpeg_status status = dcn_jpeg_walk(copy, size, &report);
    CHECK(report.missing <= report.expected && report.end <= size);
    CHECK(report.scans <= DCN_JPEG_MAX_SCANS || status == DCN_JPEG_TOO_MANY_SCANS);
    free(copy);
    return 0;
}

#ifdef DCN_JPEG_STANDALONE
static uint32_t state = 1;

static uint32_t draw(uint32_t below)
{
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    return state % below;
}

int main(int argc, char **argv)
{
    const time_t end = time(NULL) + (argc > 1 ? atol(argv[1]) : 10);
    unsigned long count = 0;
    CHECK(sizeof SEEDS[0].data >= SEEDS[0].size && sizeof SEEDS[1].data >= SEEDS[1].size);
    for (; time(NULL) < end; count++) {
        uint8_t data[sizeof SEEDS[0].data];
        const size_t size = SEEDS[count & 1].size;
        memcpy(data, SEEDS[count & 1].data, size);
        for (uint32_t i = draw(8); i > 0; i--) {
            /* Sizes are left small, or most of the time goes into blocks that have no data. */
            data[draw((uint32_t)size)] = (uint8_t)draw(256);
        }
        LLVMFuzzerTestOneInput(data, size - draw(4) * draw((uint32_t)size) / 4);
    }
    printf("%lu inputs\n", count);
    return 0;
}
#endif
