/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) The MagicWave developers. See LICENSE for licensing
 * information. */

/**
 * @file payment_cell.c
 * @brief Payment cells: relay command PAYMENT, no stream, stamp and body.
 *
 * Nothing here can close a circuit: whoever cannot send, or receives what it
 * should not, drops the cell and counts it.
 **/

#define CRYPT_PATH_PRIVATE

#include "feature/payment/payment_internal.h"
#include "core/or/circuitlist.h"
#include "core/or/circuituse.h"
#include "core/or/crypt_path_st.h"
#include "core/or/or_circuit_st.h"
#include "core/or/origin_circuit_st.h"
#include "core/or/relay.h"
#include "core/or/relay_msg_st.h"
#include "feature/nodelist/networkstatus.h"
#include "lib/arch/bytes.h"

/** True when one more cell on <b>queue</b> cannot make tor close the
 * circuit; the limit is the one that relay.c reads from the consensus. */
bool
payment_queue_has_room(const cell_queue_t *queue)
{
  const int32_t in_limit =
    networkstatus_get_param(NULL, "circ_max_cell_queue_size",
                            2500, 50, INT32_MAX);
  const int32_t out_limit =
    networkstatus_get_param(NULL, "circ_max_cell_queue_size_out",
                            in_limit, 50, INT32_MAX);
  return queue->n + PAYMENT_QUEUE_RESERVE < MIN(in_limit, out_limit);
}

/** Put the stamp at the head of a cell: our counters when we are a relay. */
static void
write_stamp(const payment_circ_t *pc, uint8_t *cell)
{
  memset(cell, 0, MW_STAMP_LEN);
  cell[0] = PAYMENT_STAMP_VERSION;
  if (pc->role == MW_ROLE_RELAY) {
    set_uint64(cell + 2, tor_htonll(pc->hop[0].in));
    set_uint64(cell + 10, tor_htonll(pc->hop[0].out));
  }
}

/** Return true when a payment cell may go to <b>hop</b> now; at an origin set
 * *<b>layer_out</b> to it. */
static bool
may_send(payment_circ_t *pc, unsigned hop, crypt_path_t **layer_out)
{
  circuit_t *circ = pc->circ;

  *layer_out = NULL;
  if (circ->marked_for_close)
    return false;

  if (pc->role == MW_ROLE_RELAY) {
    /* Who never spoke may not understand. */
    return hop == 0 && pc->hello && TO_OR_CIRCUIT(circ)->p_chan &&
      circ->state != CIRCUIT_STATE_ONIONSKIN_PENDING &&
      payment_queue_has_room(&TO_OR_CIRCUIT(circ)->p_chan_cells);
  }

  if (hop < 1 || hop > MW_MAX_HOPS || !pc->hop[hop].speaks)
    return false;
  /* Before the first BEGIN such a cell would tell the hop what kind of client
   * this is on a circuit that may never be used, and it would use up a
   * RELAY_EARLY that tor may want for extending it. */
  if (!pc->begun && !pc->token)
    return false;
  if (circ->state != CIRCUIT_STATE_OPEN || !circ->n_chan)
    return false;
  *layer_out = (crypt_path_t *) payment_cpath_hop(circ, hop);
  return *layer_out && (*layer_out)->state == CPATH_STATE_OPEN &&
    payment_queue_has_room(&circ->n_chan_cells);
}

/** Send one payment cell, or drop it; see mw_send(). */
void
payment_do_send(payment_circ_t *pc, unsigned hop, const uint8_t *body,
                size_t len)
{
  uint8_t cell[MW_CELL_MAX];
  crypt_path_t *layer;

  if (len > MW_BODY_MAX || !may_send(pc, hop, &layer)) {
    payment_stat_add(commands_dropped, 1);
    return;
  }
  /* Read now, encrypted below, and nothing in between. */
  write_stamp(pc, cell);
  if (len)
    memcpy(cell + MW_STAMP_LEN, body, len);
  if (pc->role == MW_ROLE_ORIGIN)
    pc->hop[hop].asked = true;
  if (relay_send_command_from_edge(0, pc->circ, RELAY_COMMAND_PAYMENT,
                                   (const char *)cell, MW_STAMP_LEN + len,
                                   layer) == 0)
    payment_stat_add(cells_sent, 1);
}

/** Return true when <b>msg</b> is a payment cell that we expect from
 * <b>hop</b> (0: from the origin). */
static bool
is_valid(const payment_circ_t *pc, unsigned hop, const relay_msg_t *msg)
{
  if (msg->stream_id != 0 || msg->length < MW_STAMP_LEN ||
      msg->length > MW_CELL_MAX || msg->body[0] != PAYMENT_STAMP_VERSION)
    return false;
  if (pc->role == MW_ROLE_RELAY)
    return hop == 0;
  /* A hop speaks when it was spoken to: else any relay could send us cells
   * that count as valid data. */
  return hop >= 1 && hop <= MW_MAX_HOPS && pc->hop[hop].speaks &&
    pc->hop[hop].asked;
}

/** A payment cell arrived: from the hop at <b>layer</b>, or from the origin
 * when <b>layer</b> is NULL. */
void
payment_process_cell(circuit_t *circ, const crypt_path_t *layer,
                     const relay_msg_t *msg)
{
  payment_circ_t *pc = payment_circ_get(circ);
  const unsigned hop = layer ? payment_hop_of(circ, layer) : 0;

  if (!pc || !is_valid(pc, hop, msg)) {
    if (pc)
      payment_stat_add(cells_invalid, 1);
    return;
  }
  payment_stat_add(cells_received, 1);
  if (layer)
    circuit_read_valid_data(TO_ORIGIN_CIRCUIT(circ), msg->length);
  if (pc->role == MW_ROLE_RELAY && !pc->hello) {
    pc->hello = true;
    payment_reconsider(pc);
  }
  payment_emit_cell(pc, hop, msg->body, msg->length);
}
