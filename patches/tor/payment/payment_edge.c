/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) The MagicWave developers. See LICENSE for licensing
 * information. */

/**
 * @file payment_edge.c
 * @brief Holding a circuit at the relay where it ends.
 *
 * Downloads: while the circuit is held its package window reads as zero, so
 * tor stops reading the streams, exactly as when the window is used up, and
 * TCP holds back the server.
 *
 * Uploads: cells for us must be decrypted as they come (a payment cell may be
 * the next), and a SENDME carries the tag of the last one, so they cannot
 * wait. What waits is our SENDME, ready as it is: the origin fills its
 * congestion window and stops. An origin that goes on regardless is closed
 * when as many cells came as we would have held.
 *
 * CONNECTED, END and the like pass; they are few, and count.
 **/

#include "feature/payment/payment_internal.h"
#include "core/or/circuitlist.h"
#include "core/or/congestion_control_common.h"
#include "core/or/or_circuit_st.h"
#include "core/or/relay.h"

/** Most SENDMEs that wait on one circuit. */
#define MAX_SENDMES 512

/** tor asks whether the streams of <b>circ</b> may send another cell. */
bool
payment_edges_held(const circuit_t *circ)
{
  payment_circ_t *pc = circ->payment;
  if (!pc || pc->role != MW_ROLE_RELAY)
    return false;
  if (payment_may_pass(pc, 1))
    return false;
  pc->service.edges_stopped = true;
  return true;
}

/** tor is about to send a cell of its own from the circuit's end. True when
 * it is a SENDME and we keep it. */
bool
payment_defer_sendme(circuit_t *circ, streamid_t stream_id,
                     uint8_t relay_command, const char *body, size_t len)
{
  payment_circ_t *pc = circ->payment;
  payment_service_t *s;
  payment_sendme_t *sendme;

  if (relay_command != RELAY_COMMAND_SENDME || !pc ||
      pc->role != MW_ROLE_RELAY)
    return false;
  s = &pc->service;
  if (s->pumping || len > sizeof(sendme->body))
    return false;
  if (!s->n_sendmes && payment_may_pass(pc, 0) &&
      s->state == MW_STATE_OPEN)
    return false;
  if (s->n_sendmes >= MAX_SENDMES) {
    circuit_mark_for_close(circ, END_CIRC_REASON_RESOURCELIMIT);
    return true;
  }
  sendme = tor_malloc_zero(sizeof(*sendme));
  sendme->stream_id = stream_id;
  sendme->len = (uint8_t) len;
  if (len)
    memcpy(sendme->body, body, len);
  TOR_SIMPLEQ_INSERT_TAIL(&s->sendmes, sendme, next);
  ++s->n_sendmes;
  if (s->state != MW_STATE_STOPPED)
    payment_make_busy(pc);
  return true;
}

/** A DATA cell arrived at the circuit's end. */
void
payment_edge_note_data(payment_circ_t *pc)
{
  payment_service_t *s = &pc->service;

  (void) payment_may_pass(pc, 0);
  if (s->state == MW_STATE_OPEN && !s->n_sendmes) {
    s->n_unacked = 0;
    return;
  }
  if (++s->n_unacked > payment_policy.max_held_cells &&
      !pc->circ->marked_for_close)
    circuit_mark_for_close(pc->circ, END_CIRC_REASON_RESOURCELIMIT);
}

/** Send the oldest SENDME. It invites as many cells as it acknowledges. */
static void
release_sendme(payment_circ_t *pc)
{
  payment_service_t *s = &pc->service;
  payment_sendme_t *sendme = TOR_SIMPLEQ_FIRST(&s->sendmes);
  const unsigned invites = sendme_get_inc_count(pc->circ, NULL);

  TOR_SIMPLEQ_REMOVE_HEAD(&s->sendmes, next);
  --s->n_sendmes;
  payment_charge(pc, invites);
  s->n_unacked -= MIN(s->n_unacked, invites);
  relay_send_command_from_edge(sendme->stream_id, pc->circ,
                               RELAY_COMMAND_SENDME,
                               (const char *)sendme->body, sendme->len, NULL);
  tor_free(sendme);
}

/** Let go what may go; called with service.pumping set. */
void
payment_edge_release(payment_circ_t *pc)
{
  payment_service_t *s = &pc->service;

  while (s->n_sendmes && !pc->circ->marked_for_close &&
         payment_queue_has_room(&TO_OR_CIRCUIT(pc->circ)->p_chan_cells) &&
         payment_may_pass(pc, 0))
    release_sendme(pc);

  if (s->edges_stopped && !pc->circ->marked_for_close &&
      payment_may_pass(pc, 1)) {
    s->edges_stopped = false;
    circuit_resume_edge_reading(pc->circ, NULL);
  }
}

/** The circuit goes. */
void
payment_edge_clear(payment_circ_t *pc)
{
  payment_service_t *s = &pc->service;
  while (s->n_sendmes) {
    payment_sendme_t *sendme = TOR_SIMPLEQ_FIRST(&s->sendmes);
    TOR_SIMPLEQ_REMOVE_HEAD(&s->sendmes, next);
    --s->n_sendmes;
    tor_free(sendme);
  }
}
