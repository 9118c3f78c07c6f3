/* The order of a network's layers, and what it asks of buffers. */
#include "net_model.h"

/* Latents around a layer's own that it reads. */
static size_t seen_around(const dcn_net *n, size_t number)
{
    const layer *const l = &n->layers[number];
    const size_t scale = n->buffers[l->input].scale;
    return (l->padding + scale - 1) / scale;
}

/* Group layers into stages: a layer begins one if it has another grid than the one before, or reads
 * more of a plane than its own place. */
static dcn_net_error divide(dcn_net *n)
{
    uint8_t known[DCN_NET_MAX_BUFFERS] = {1}; /* planes that are, and locals of this stage */
    uint32_t around = DCN_NET_NONE;           /* the plane of which this stage reads neighbours */
    n->stage_count = 0;
    for (size_t i = 0; i < n->layer_count; i++) {
        const layer *const l = &n->layers[i];
        const int looks_around = l->side > 1;
        if (i == 0 || looks_around || l->grid != n->stages[n->stage_count - 1].grid) {
            for (size_t b = 0; b < n->buffer_count; b++) {
                known[b] = known[b] && !n->buffers[b].local;
            }
            around = looks_around ? l->input : DCN_NET_NONE;
            n->stages[n->stage_count++] = (stage){.first = i, .grid = l->grid};
        }
        const buffer *const out = &n->buffers[l->output];
        if (!known[l->input] || (looks_around && n->buffers[l->input].local) ||
            (l->add != DCN_NET_NONE && !known[l->add]) ||
            (l->gate != DCN_NET_NONE && !known[l->gate]) || l->output == around ||
            l->output == l->input || (out->local && l->shuffle > 1)) {
            return DCN_NET_BUFFER_WRONG;
        }
        known[l->output] = 1;
        n->stages[n->stage_count - 1].last = i + 1;
        n->error_stages = l->compared ? n->stage_count : n->error_stages;
    }
    /* Each stage gives what those behind it see around the part that is wanted. */
    size_t reach = 0;
    for (size_t s = n->stage_count; s > 0; s--) {
        n->stages[s - 1].reach = reach;
        reach += seen_around(n, n->stages[s - 1].first);
    }
    n->reach = reach;
    return DCN_NET_OK;
}

/* Whether a stage that is more rows behind writes a buffer only when a layer of another one before
 * it, which looks around, has seen it. */
static int stays_until_read(const dcn_net *n, size_t number)
{
    const layer *const l = &n->layers[n->stages[number].first];
    for (size_t s = number + 1; s < n->stage_count; s++) {
        for (size_t i = n->stages[s].first; i < n->stages[s].last; i++) {
            if (n->layers[i].output == l->input && n->stages[number].reach - n->stages[s].reach <
                                                       seen_around(n, n->stages[number].first)) {
                return 0;
            }
        }
    }
    return 1;
}

/* How far apart the first row that is written of each buffer and the last that is read are, in
 * latents, while bands pass. */
static void find_spans(dcn_net *n)
{
    size_t newest[DCN_NET_MAX_BUFFERS] = {n->reach};
    uint8_t known[DCN_NET_MAX_BUFFERS] = {1};
    n->banded = 1;
    for (size_t s = 0; s < n->stage_count; s++) {
        const stage *const own = &n->stages[s];
        n->banded = n->banded && stays_until_read(n, s);
        for (size_t i = own->first; i < own->last; i++) {
            const layer *const l = &n->layers[i];
            newest[l->output] = known[l->output] ? newest[l->output] : own->reach;
            known[l->output] = 1;
            const uint32_t used[] = {l->input, l->output, l->add, l->gate};
            for (size_t u = 0; u < sizeof used / sizeof *used; u++) {
                if (used[u] == DCN_NET_NONE) {
                    continue;
                }
                buffer *const b = &n->buffers[used[u]];
                const size_t around = u == 0 && i == own->first ? seen_around(n, i) : 0;
                const size_t span = newest[used[u]] - own->reach + around;
                b->span = span > b->span ? span : b->span;
            }
        }
    }
}

/* What each buffer is needed as, and the widest padding with which it is read. */
static void use(dcn_net *n)
{
    for (size_t i = 0; i < n->layer_count; i++) {
        const layer *const l = &n->layers[i];
        buffer *const in = &n->buffers[l->input];
        *(l->narrow ? &in->narrow : &in->wide) = 1;
        in->border = l->padding > in->border ? l->padding : in->border;
        if (l->add != DCN_NET_NONE) {
            n->buffers[l->add].wide = 1;
        }
        n->buffers[l->output].wide |= l->compared != 0;
    }
    for (size_t i = 0; i < n->layer_count; i++) {
        const uint32_t gate = n->layers[i].gate;
        if (gate != DCN_NET_NONE && !n->buffers[gate].narrow) {
            n->buffers[gate].wide = 1;
        }
    }
    n->buffers[n->layers[n->layer_count - 1].output].wide = 1;
}

/* Which layers do not depend on the rate, and which of these others, or the output, read. */
static void find_fixed(dcn_net *n)
{
    layer *writers[DCN_NET_MAX_BUFFERS] = {NULL};
    for (size_t i = 0; i < n->layer_count; i++) {
        layer *const l = &n->layers[i];
        layer *read[3];
        size_t count = 0;
        const uint32_t used[] = {l->input, l->add, l->gate};
        for (size_t u = 0; u < sizeof used / sizeof *used; u++) {
            if (used[u] != DCN_NET_NONE && writers[used[u]] != NULL) {
                read[count++] = writers[used[u]];
            }
        }
        l->fixed = l->rate_bias == NULL;
        for (size_t k = 0; k < count; k++) {
            l->fixed = l->fixed && read[k]->fixed;
        }
        for (size_t k = 0; k < count && !l->fixed; k++) {
            read[k]->kept = read[k]->fixed;
        }
        writers[l->output] = l;
    }
    layer *const last = &n->layers[n->layer_count - 1];
    last->kept = last->fixed;
}

dcn_net_error dcn_net_order(dcn_net *n)
{
    use(n);
    const dcn_net_error error = divide(n);
    if (error == DCN_NET_OK) {
        find_spans(n);
        find_fixed(n);
    }
    return error;
}
