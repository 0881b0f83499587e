/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) The MagicWave developers. See LICENSE for licensing
 * information. */

/**
 * @file payment_edge.c
 * @brief Holding a circuit at the relay where it ends, and SENDMEs at both.
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

/** Most SENDMEs that wait on one circuit: those of 7.5 MiB of DATA cells,
 * more than a window of 60 MB/s at 100 ms. */
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

/** Keep a SENDME; false when there are too many and the circuit closes. */
bool
payment_sendme_push(payment_circ_t *pc, streamid_t stream_id,
                    const char *body, size_t len)
{
  payment_sendme_t *sendme;

  if (pc->sendmes.n >= MAX_SENDMES) {
    circuit_mark_for_close(pc->circ, END_CIRC_REASON_RESOURCELIMIT);
    return false;
  }
  sendme = tor_malloc_zero(sizeof(*sendme));
  sendme->stream_id = stream_id;
  sendme->len = (uint8_t) len;
  if (len)
    memcpy(sendme->body, body, len);
  TOR_SIMPLEQ_INSERT_TAIL(&pc->sendmes.head, sendme, next);
  ++pc->sendmes.n;
  return true;
}

/** Take the oldest SENDME; there is one. */
static payment_sendme_t *
sendme_pop(payment_circ_t *pc)
{
  payment_sendme_t *sendme = TOR_SIMPLEQ_FIRST(&pc->sendmes.head);
  TOR_SIMPLEQ_REMOVE_HEAD(&pc->sendmes.head, next);
  --pc->sendmes.n;
  return sendme;
}

/** Send the oldest SENDME to <b>layer</b>, NULL when we are a relay. */
void
payment_sendme_send(payment_circ_t *pc, crypt_path_t *layer)
{
  payment_sendme_t *sendme = sendme_pop(pc);
  relay_send_command_from_edge(sendme->stream_id, pc->circ,
                               RELAY_COMMAND_SENDME,
                               (const char *)sendme->body, sendme->len,
                               layer);
  tor_free(sendme);
}

/** The circuit goes: forget its SENDMEs. */
void
payment_sendme_clear(payment_circ_t *pc)
{
  while (pc->sendmes.n) {
    payment_sendme_t *sendme = sendme_pop(pc);
    tor_free(sendme);
  }
}

/** tor is about to send a cell of its own from the circuit's end. True when
 * it is a SENDME and we keep it. */
bool
payment_defer_sendme(circuit_t *circ, const crypt_path_t *layer,
                     streamid_t stream_id, uint8_t relay_command,
                     const char *body, size_t len)
{
  payment_circ_t *pc = circ->payment;
  payment_service_t *s;

  if (PREDICT_LIKELY(relay_command != RELAY_COMMAND_SENDME) || !pc)
    return false;
  if (pc->role == MW_ROLE_ORIGIN)
    return payment_conflux_defer(pc, layer, stream_id, body, len);
  s = &pc->service;
  if (s->pumping || len > PAYMENT_SENDME_BODY)
    return false;
  if (!pc->sendmes.n && payment_may_pass(pc, 0) &&
      s->state == MW_STATE_OPEN)
    return false;
  if (payment_sendme_push(pc, stream_id, body, len) &&
      s->state != MW_STATE_STOPPED)
    payment_make_busy(pc);
  return true;
}

/** A DATA cell arrived at the circuit's end. */
void
payment_edge_note_data(payment_circ_t *pc)
{
  payment_service_t *s = &pc->service;

  (void) payment_may_pass(pc, 0);
  if (s->state == MW_STATE_OPEN && !pc->sendmes.n) {
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
  const unsigned invites = sendme_get_inc_count(pc->circ, NULL);

  payment_charge(pc, invites);
  s->n_unacked -= MIN(s->n_unacked, invites);
  payment_sendme_send(pc, NULL);
}

/** Let go what may go; called with service.pumping set. */
void
payment_edge_release(payment_circ_t *pc)
{
  payment_service_t *s = &pc->service;

  while (pc->sendmes.n && !pc->circ->marked_for_close &&
         payment_queue_has_room(&TO_OR_CIRCUIT(pc->circ)->p_chan_cells) &&
         payment_may_pass(pc, 0))
    release_sendme(pc);

  if (s->edges_stopped && !pc->circ->marked_for_close &&
      payment_may_pass(pc, 1)) {
    s->edges_stopped = false;
    circuit_resume_edge_reading(pc->circ, NULL);
  }
}
