/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) The MagicWave developers. See LICENSE for licensing
 * information. */

/**
 * @file payment_conflux.c
 * @brief Circuits of ours that are legs of a conflux set.
 *
 * When one leg is held by a hop that is not paid, the exit goes on over the
 * others, and all that arrives waits in tor's out-of-order queue for the cell
 * that is held. tor puts no useful limit to that queue. So while it is longer
 * than MAX_OOO_BYTES we keep the SENDMEs of the legs that are ahead of the
 * gap: the exit fills its congestion window there and stops. What piles up is
 * bounded by the limit and one window for each leg.
 *
 * Cells of a leg come in order. The next cell to deliver can therefore only
 * come over a leg that has not got further than what was delivered; no SENDME
 * of such a leg is ever kept, nor for longer than it takes to get back into
 * the main loop once it has become one. So the cell that everything waits for
 * never waits for us.
 *
 * A SENDME that waits is final: it carries the tag of the cell that it
 * acknowledges, and they leave in the order in which they were made, which is
 * the order in which the exit wants the tags.
 **/

#define TOR_CONFLUX_PRIVATE

#include "feature/payment/payment_internal.h"
#include "core/or/circuitlist.h"
#include "core/or/conflux.h"
#include "core/or/conflux_st.h"
#include "core/or/conflux_util.h"
#include "lib/evloop/compat_libevent.h"

/** Bytes in the out-of-order queue of a set beyond which SENDMEs are kept.
 * Legs whose round trips differ by 100 ms need 2 MiB of it at 20 MiB/s: legs
 * that are merely unlike are left alone. */
#define MAX_OOO_BYTES (2u << 20)
/** Look again so often when no cell makes us, in ms: a leg may be gone, or
 * tor's queue may have had no room. */
#define LOOK_MS 250

/** Origins that keep SENDMEs. */
static TOR_LIST_HEAD(keeping_head_t, payment_circ_t) keeping =
  TOR_LIST_HEAD_INITIALIZER(keeping);
static mainloop_event_t *look_event = NULL;
/** What we send now was kept long enough. */
static bool releasing = false;

/** Name the conflux set of <b>circ</b>; 0 when it is in none. */
uint64_t
payment_conflux_set(const circuit_t *circ)
{
  uint64_t set = 0;
  if (circ->conflux)
    memcpy(&set, circ->conflux->nonce, sizeof(set));
  return set;
}

/** True when the queue of this leg's set is too long and the cell that it
 * waits for cannot come over this leg. */
static bool
is_too_far_ahead(const circuit_t *circ)
{
  conflux_t *cfx = circ->conflux;
  const conflux_leg_t *leg;

  if (!cfx || cfx->ooo_q_alloc_cost <= MAX_OOO_BYTES)
    return false;
  leg = conflux_get_leg(cfx, circ);
  return leg && leg->last_seq_recv > cfx->last_seq_delivered;
}

/** No SENDME of this circuit waits any more. */
static void
forget(payment_circ_t *pc)
{
  payment_sendme_clear(pc);
  TOR_LIST_REMOVE(pc, busy_node);
}

/** Send what may go; true when SENDMEs still wait. */
static bool
release(payment_circ_t *pc)
{
  circuit_t *circ = pc->circ;

  releasing = true;
  while (pc->sendmes.n && !circ->marked_for_close && !is_too_far_ahead(circ)
         && payment_queue_has_room(&circ->n_chan_cells))
    payment_sendme_send(pc, conflux_get_destination_hop(circ));
  releasing = false;
  return pc->sendmes.n && !circ->marked_for_close;
}

static void
look_cb(mainloop_event_t *ev, void *arg)
{
  const struct timeval delay = { 0, LOOK_MS * 1000 };
  payment_circ_t *pc, *next;
  (void) arg;

  /* No circuit is freed in here: tor only marks them. */
  TOR_LIST_FOREACH_SAFE(pc, &keeping, busy_node, next) {
    if (!release(pc))
      forget(pc);
  }
  if (!TOR_LIST_EMPTY(&keeping))
    mainloop_event_schedule(ev, &delay);
}

/** tor is about to send a SENDME to the hop at <b>layer</b> of our circuit.
 * True when we keep it. */
bool
payment_conflux_defer(payment_circ_t *pc, const crypt_path_t *layer,
                      streamid_t stream_id, const char *body, size_t len)
{
  circuit_t *circ = pc->circ;

  if (PREDICT_LIKELY(!circ->conflux) || releasing || stream_id ||
      len > PAYMENT_SENDME_BODY ||
      layer != conflux_get_destination_hop(circ))
    return false;
  if (!pc->sendmes.n && !is_too_far_ahead(circ))
    return false;
  if (!pc->sendmes.n) {
    const struct timeval delay = { 0, LOOK_MS * 1000 };
    if (!look_event)
      look_event = mainloop_event_new(look_cb, NULL);
    if (TOR_LIST_EMPTY(&keeping))
      mainloop_event_schedule(look_event, &delay);
    TOR_LIST_INSERT_HEAD(&keeping, pc, busy_node);
  }
  payment_sendme_push(pc, stream_id, body, len);
  return true;
}

/** A cell came over a leg. When tor has handled it, the queue may be shorter
 * or the gap elsewhere. */
void
payment_conflux_note_cell(void)
{
  if (PREDICT_UNLIKELY(!TOR_LIST_EMPTY(&keeping)))
    mainloop_event_activate(look_event);
}

/** The circuit goes. */
void
payment_conflux_clear(payment_circ_t *pc)
{
  if (pc->sendmes.n)
    forget(pc);
}

/** The main loop is over. */
void
payment_conflux_free_all(void)
{
  mainloop_event_free(look_event);
}
