/* What checking a description, ordering its layers and laying them out share. */
#ifndef DCN_NET_MODEL_H
#define DCN_NET_MODEL_H

#include "net_common.h"

/* Whether a description is that of a network. */
dcn_net_error dcn_net_check(const dcn_net_parameters *p);

/* Numbers that a place of a buffer has. */
size_t dcn_net_step_of(const dcn_net_parameters *p, uint32_t number);

/* Rows and columns of a layer's matrix. */
size_t dcn_net_rows_of(const dcn_net_parameters *p, const dcn_net_layer *l);
size_t dcn_net_columns_of(const dcn_net_parameters *p, const dcn_net_layer *l);

/* Put the layers of a network that is laid out in order: its stages, and what they need of buffers.
 */
dcn_net_error dcn_net_order(dcn_net *n);

#endif
