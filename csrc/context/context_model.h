/* What checking and laying out a model's parameters share. */
#ifndef DCN_CONTEXT_MODEL_H
#define DCN_CONTEXT_MODEL_H

#include "context_common.h"

/* The first unit of channel c: units of degree c are those with c H <= u N < (c + 1) H. */
static inline unsigned first_unit(const dcn_context_parameters *p, unsigned c)
{
    return (c * p->hidden + p->channels - 1) / p->channels;
}

static inline size_t symbols(const dcn_context_parameters *p, size_t scale)
{
    return 2 * (size_t)p->radius[scale] + 2;
}

/* 0, or an error where a size or a table's shape is out of range. */
size_t dcn_context_check_sizes(const dcn_context_parameters *p);

/* Everything else but the frequencies; the sizes are in range. */
dcn_context_error dcn_context_check(const dcn_context_parameters *p);

#endif
