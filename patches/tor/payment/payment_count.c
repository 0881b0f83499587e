/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) The MagicWave developers. See LICENSE for licensing
 * information. */

/**
 * @file payment_count.c
 * @brief Which cell counts, where and when.
 *
 * The unit is the relay cell, whatever its command: data, SENDME, padding,
 * EXTEND, EXTENDED, everything. A hop counts a cell exactly when the cell
 * passes this hop's own layer of encryption, beginning with the very first
 * one after its CREATED:
 *
 *  - A relay counts inbound each cell to which it adds its layer (made by
 *    itself or come from behind), outbound each cell from which it removes
 *    its layer (addressed to itself or passed on).
 *  - An origin keeps the same two numbers for each hop. A cell recognised
 *    from hop j has passed the layers of hops 1..j, so has one sent to hop j.
 *    EXTEND for hop j goes to hop j-1 and EXTENDED comes from there, so
 *    neither counts for j: both sides begin at zero with j's keys.
 *
 * Left out is one thing: a payment cell that the hop itself sends or
 * recognises. Nearer hops cannot tell it from any other cell and count it.
 *
 * Cells of a circuit stay in order. So when the origin reads a stamp, what it
 * counted inbound for the speaker is what the speaker had counted when it
 * encrypted the stamp, and what the speaker had counted outbound is at most
 * what the origin had sent. With conflux each leg is a circuit of its own and
 * counts what went over it: the hooks lie behind the choice of the leg.
 *
 * A held cell towards the origin is counted when it is released, a held cell
 * away from it when it comes in: that is where the layer is removed.
 **/

#include "feature/payment/payment_internal.h"
#include "core/or/circuitlist.h"
#include "core/or/conflux.h"
#include "core/or/conflux_st.h"

/** Fire MW_EV_WATCH when the counters of <b>hop</b> came that far. */
void
payment_check_watch(payment_circ_t *pc, unsigned hop)
{
  payment_hop_t *h = &pc->hop[hop];
  if (PREDICT_LIKELY(!h->watch) || h->in + h->out < h->watch)
    return;
  h->watch = 0;
  payment_emit(pc, MW_EV_WATCH, hop);
}

/** At an origin, count one cell that went to or came from the hop at
 * <b>layer</b>. */
static void
count_at_origin(payment_circ_t *pc, const crypt_path_t *layer, bool inbound,
                bool is_payment)
{
  const unsigned last = payment_hop_of(pc->circ, layer);
  unsigned h;

  payment_stat_add(cells_own, 1);
  for (h = 1; h <= last && h <= MW_MAX_HOPS; ++h) {
    if (is_payment && h == last)
      break;
    if (inbound)
      ++pc->hop[h].in;
    else
      ++pc->hop[h].out;
    payment_check_watch(pc, h);
  }
}

/** At a relay, count one cell and look whether it used up the window. */
static void
count_at_relay(payment_circ_t *pc, bool inbound)
{
  if (inbound)
    ++pc->hop[0].in;
  else
    ++pc->hop[0].out;
  payment_check_watch(pc, 0);
}

/** Payment cells may be sent on this circuit from now on. An <b>idle</b> leg
 * of a conflux set carries nothing yet, and many never do. */
static void
mark_begun(circuit_t *circ, bool idle)
{
  payment_circ_t *pc = payment_circ_get(circ);
  if (!pc || (pc->begun && (idle || !pc->idle)))
    return;
  pc->begun = true;
  pc->idle = idle;
  payment_emit(pc, MW_EV_BEGIN, 0);
}

/** A BEGIN went over <b>circ</b>. In a conflux set data may take any leg
 * from now on, so every leg has begun, and is idle until some does. A leg that
 * joins later has begun when data takes it. */
static void
note_begin(circuit_t *circ)
{
  if (!circ->conflux) {
    mark_begun(circ, false);
    return;
  }
  CONFLUX_FOR_EACH_LEG_BEGIN(circ->conflux, leg) {
    if (!leg->circ->marked_for_close)
      mark_begun(leg->circ, leg->circ != circ);
  } CONFLUX_FOR_EACH_LEG_END(leg);
}

/** At an origin, a cell of <b>relay_command</b> took this circuit. */
static void
note_leg(payment_circ_t *pc, uint8_t relay_command)
{
  if (PREDICT_UNLIKELY(!pc->begun || pc->idle) &&
      relay_command == RELAY_COMMAND_DATA && pc->circ->conflux)
    mark_begun(pc->circ, false);
}

/** A cell of our own was encrypted and queued. <b>layer</b> is the hop that
 * it goes to, NULL when we are a relay and it goes to the origin. */
void
payment_note_sent(circuit_t *circ, uint8_t relay_command,
                  const crypt_path_t *layer)
{
  payment_circ_t *pc = payment_circ_get(circ);
  const bool is_payment = relay_command == RELAY_COMMAND_PAYMENT;

  if (!pc)
    return;
  if (pc->role == MW_ROLE_ORIGIN) {
    count_at_origin(pc, layer, false, is_payment);
    if (relay_command == RELAY_COMMAND_BEGIN)
      note_begin(circ);
    else
      note_leg(pc, relay_command);
    return;
  }
  if (is_payment)
    return;
  count_at_relay(pc, true);
  payment_charge(pc, 1);
  if (relay_command == RELAY_COMMAND_EXTENDED2 ||
      relay_command == RELAY_COMMAND_EXTENDED)
    payment_emit_circuit(pc);
}

/** A cell was decrypted and is addressed to us. <b>layer</b> is the hop that
 * sent it, NULL when we are a relay. */
void
payment_note_recognized(circuit_t *circ, uint8_t relay_command,
                        const crypt_path_t *layer)
{
  payment_circ_t *pc = payment_circ_get(circ);
  const bool is_payment = relay_command == RELAY_COMMAND_PAYMENT;

  if (!pc)
    return;
  if (pc->role == MW_ROLE_ORIGIN) {
    count_at_origin(pc, layer, true, is_payment);
    /* A service is begun to, it does not begin. */
    if (relay_command == RELAY_COMMAND_BEGIN)
      note_begin(circ);
    else
      note_leg(pc, relay_command);
    if (circ->conflux)
      payment_conflux_note_cell();
    return;
  }
  if (is_payment)
    return;
  if (relay_command == RELAY_COMMAND_BEGIN_DIR)
    pc->service.saw_begin_dir = true;
  else if (relay_command == RELAY_COMMAND_BEGIN ||
           relay_command == RELAY_COMMAND_RESOLVE)
    pc->service.saw_begin = true;
  count_at_relay(pc, false);
  if (relay_command == RELAY_COMMAND_DATA)
    payment_edge_note_data(pc);
}

/** A cell passes through us, is not for us, and our layer was just added or
 * removed. Return 1 when tor is to pass it on now, or what
 * circuit_receive_relay_cell() is to return when it is not. */
int
payment_pass_on(circuit_t *circ, const cell_t *cell,
                cell_direction_t direction)
{
  payment_circ_t *pc;

  if (CIRCUIT_IS_ORIGIN(circ) || !(pc = payment_circ_get(circ)))
    return 1;
  if (direction == CELL_DIRECTION_IN) {
    count_at_relay(pc, true);
    return 1;
  }
  count_at_relay(pc, false);
  return payment_hold_outbound(pc, cell);
}
