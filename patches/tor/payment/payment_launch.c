/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) The MagicWave developers. See LICENSE for licensing
 * information. */

/**
 * @file payment_launch.c
 * @brief Circuits that the host asks for.
 *
 * They exist for payment cells between the two ends. tor gives them the
 * purpose of a controller's circuit: no stream is attached to them and they
 * are not closed for being idle.
 **/

#include "feature/payment/payment_internal.h"
#include "core/or/circuitbuild.h"
#include "core/or/circuitlist.h"
#include "core/or/circuituse.h"
#include "core/or/extendinfo.h"
#include "core/or/origin_circuit_st.h"
#include "feature/nodelist/nodelist.h"
#include "feature/relay/router.h"

/** Most circuits of this kind at a time: each costs others memory, too. */
#define MAX_LAUNCHED 512
/** Circuits of this kind that live. */
static unsigned n_launched = 0;

/** A circuit with a token is freed. */
void
payment_launched_is_gone(void)
{
  --n_launched;
}

/** Begin to build a circuit that ends at the relay with identity <b>rsa</b>;
 * see mw_launch(). */
void
payment_do_launch(uint64_t token, const uint8_t *rsa, uint32_t flags)
{
  const bool one_hop = flags & MW_LAUNCH_ONE_HOP;
  const int circ_flags = CIRCLAUNCH_IS_INTERNAL |
    (one_hop ? CIRCLAUNCH_ONEHOP_TUNNEL : 0);
  const node_t *node = node_get_by_id((const char *)rsa);
  extend_info_t *ei;
  origin_circuit_t *circ;
  payment_circ_t *pc;

  if (n_launched >= MAX_LAUNCHED) {
    payment_emit_launch_failed(token, END_CIRC_REASON_RESOURCELIMIT);
    return;
  }
  if (router_digest_is_me((const char *)rsa))
    node = NULL;
  ei = node ? extend_info_from_node(node, one_hop, false) : NULL;
  if (!ei) {
    payment_emit_launch_failed(token, END_CIRC_REASON_NOPATH);
    return;
  }
  /* For this purpose tor knows how long a path to a given end must be: one
   * hop more than usual, because somebody else may have chosen the end. No
   * stream can be attached before it gets its real one below. */
  circ = circuit_establish_circuit(CIRCUIT_PURPOSE_C_GENERAL, ei, circ_flags);
  extend_info_free(ei);
  pc = circ ? payment_circ_get(TO_CIRCUIT(circ)) : NULL;
  if (!pc) {
    if (circ)
      circuit_mark_for_close(TO_CIRCUIT(circ), END_CIRC_REASON_INTERNAL);
    payment_emit_launch_failed(token, END_CIRC_REASON_NOPATH);
    return;
  }
  pc->token = token;
  ++n_launched;
  circuit_change_purpose(TO_CIRCUIT(circ), CIRCUIT_PURPOSE_CONTROLLER);
}
