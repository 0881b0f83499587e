/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) The MagicWave developers. See LICENSE for licensing
 * information. */

/**
 * @file payment_hold.c
 * @brief Holding the cells of circuits that are not paid for.
 *
 * Cells wait in queues of our own, never in tor's: what is in tor's queues
 * cannot be overtaken, and a full one closes the circuit.
 *
 *  - Towards the origin a cell waits as it came, before our layer is added.
 *    Our own cells (payment requests above all) are encrypted after what was
 *    released and before what is held, so they leave at once.
 *  - Away from the origin a cell waits after our layer is removed: only then
 *    we know that it is not for us. What is for us is handled at once, so the
 *    origin's payment reaches us past anything that is held.
 *  - Where the circuit ends there is nothing to hold in between; see
 *    payment_edge.c.
 *
 * A cell that comes from behind a payee waits for that payee alone: the
 * nearest unpaid hop is paid first.
 *
 * Held cells are limited per circuit and in all; a circuit that goes beyond
 * is closed. tor's memory limit knows of them, too. Released cells go into
 * tor's queues only while there is room, the rest waits for the next tick.
 **/

#include "feature/payment/payment_internal.h"
#include "app/config/config.h"
#include "core/or/channel.h"
#include "core/or/circuitlist.h"
#include "core/or/or_circuit_st.h"
#include "core/or/relay.h"
#include "lib/evloop/compat_libevent.h"
#include "lib/time/compat_time.h"

/** How often circuits are looked after that trickle or are being released. */
#define TICK_MS 20
/** Most cells that one circuit releases at once: others want to be served. */
#define MAX_PUMP_CELLS 512
/** A circuit that pays nothing weighs so many times as much when tor looks
 * for the one that was quietest: it gets what the others leave over. */
#define BEST_EFFORT_WEIGHT 16.0
/** When memory is short, close so many holders at most in one go. */
#define MAX_OOM_CLOSES 64

/** Circuits that want ticks. */
static TOR_LIST_HEAD(busy_head_t, payment_circ_t) busy_list =
  TOR_LIST_HEAD_INITIALIZER(busy_list);
static mainloop_event_t *tick_event = NULL;

static void tick_cb(mainloop_event_t *ev, void *arg);

/** Ask for a tick when there is none to come. */
static void
schedule_tick(void)
{
  const struct timeval delay = { 0, TICK_MS * 1000 };
  if (!tick_event)
    tick_event = mainloop_event_new(tick_cb, NULL);
  mainloop_event_schedule(tick_event, &delay);
}

/** Look after this circuit at the next tick. */
void
payment_make_busy(payment_circ_t *pc)
{
  if (pc->service.busy)
    return;
  if (TOR_LIST_EMPTY(&busy_list))
    schedule_tick();
  pc->service.busy = true;
  TOR_LIST_INSERT_HEAD(&busy_list, pc, busy_node);
}

/** No more ticks for this circuit. */
static void
make_idle(payment_circ_t *pc)
{
  if (!pc->service.busy)
    return;
  pc->service.busy = false;
  TOR_LIST_REMOVE(pc, busy_node);
}

/** True when this circuit waits for something that only a tick brings. */
static bool
wants_ticks(const payment_circ_t *pc)
{
  const payment_service_t *s = &pc->service;
  if (pc->circ->marked_for_close || s->state == MW_STATE_STOPPED)
    return false;
  return s->state == MW_STATE_TRICKLE || s->in.n || s->out.n ||
    pc->sendmes.n || s->edges_stopped;
}

static void
tick_cb(mainloop_event_t *ev, void *arg)
{
  payment_circ_t *pc, *next;
  const uint64_t now = monotime_coarse_absolute_msec();
  (void) ev;
  (void) arg;

  /* No circuit is freed in here: tor only marks them. */
  TOR_LIST_FOREACH_SAFE(pc, &busy_list, busy_node, next) {
    payment_check_grace(pc, now);
    payment_pump(pc);
    if (!wants_ticks(pc))
      make_idle(pc);
  }
  if (!TOR_LIST_EMPTY(&busy_list))
    schedule_tick();
}

/** Add <b>n</b> to the number of all held cells. */
static void
note_held(int64_t n)
{
  const uint64_t now = payment_stat_add(held_now, n) + (uint64_t) n;
  if (n > 0 && now > payment_stat.held_peak)
    __atomic_store_n(&payment_stat.held_peak, now, __ATOMIC_RELAXED);
}

/** Append a copy of <b>cell</b>. */
static void
fifo_push(payment_fifo_t *fifo, const cell_t *cell)
{
  payment_held_t *held = tor_malloc(sizeof(*held));
  memcpy(&held->cell, cell, sizeof(*cell));
  TOR_SIMPLEQ_INSERT_TAIL(&fifo->head, held, next);
  ++fifo->n;
  note_held(1);
}

/** Move the oldest cell to <b>out</b>; the queue is not empty. */
static void
fifo_pop(payment_fifo_t *fifo, cell_t *out)
{
  payment_held_t *held = TOR_SIMPLEQ_FIRST(&fifo->head);
  TOR_SIMPLEQ_REMOVE_HEAD(&fifo->head, next);
  memcpy(out, &held->cell, sizeof(*out));
  tor_free(held);
  --fifo->n;
  note_held(-1);
}

static void
fifo_clear(payment_fifo_t *fifo)
{
  cell_t cell;
  while (fifo->n)
    fifo_pop(fifo, &cell);
}

/** True when this circuit, or all of them, hold as much as they may. */
static bool
is_full(const payment_service_t *s)
{
  return s->in.n + s->out.n >= payment_policy.max_held_cells ||
    payment_stat.held_now >= payment_policy.max_held_total;
}

/** Where <b>circ</b> leads when it has no next hop but was joined to another
 * one at a rendezvous point; else NULL. */
static circuit_t *
spliced_to(circuit_t *circ)
{
  or_circuit_t *other = TO_OR_CIRCUIT(circ)->rend_splice;
  return other ? TO_CIRCUIT(other) : NULL;
}

/** A cell arrived from the next hop, or from the circuit that is joined to
 * this one. True when we keep it. */
bool
payment_hold_inbound(circuit_t *circ, const cell_t *cell)
{
  payment_circ_t *pc;
  payment_service_t *s;

  if (CIRCUIT_IS_ORIGIN(circ) || circ->marked_for_close ||
      !(pc = payment_circ_get(circ)))
    return false;
  s = &pc->service;
  if (!s->in.n && payment_may_pass(pc, 1)) {
    payment_charge(pc, 1);
    return false;
  }
  if (is_full(s)) {
    circuit_mark_for_close(circ, END_CIRC_REASON_RESOURCELIMIT);
    return true;
  }
  fifo_push(&s->in, cell);
  payment_pump(pc);
  return true;
}

/** A cell from the origin is not for us. Return as payment_pass_on(). */
int
payment_hold_outbound(payment_circ_t *pc, const cell_t *cell)
{
  payment_service_t *s = &pc->service;
  cell_t copy;

  if (!s->out.n && payment_may_pass(pc, 0)) {
    payment_charge(pc, 1);
    return 1;
  }
  if (is_full(s))
    return -END_CIRC_REASON_RESOURCELIMIT;
  memcpy(&copy, cell, sizeof(copy));
  /* When this is another number by then, the circuit was truncated and
   * extended to another hop, and the cell is not for that one. */
  copy.circ_id = pc->circ->n_circ_id;
  fifo_push(&s->out, &copy);
  payment_pump(pc);
  return 0;
}

/** Release one cell away from the origin, as circuit_receive_relay_cell()
 * would have passed it on. */
static void
release_outbound(circuit_t *circ, cell_t *cell)
{
  circuit_t *other;

  if (circ->n_chan) {
    if (cell->circ_id != circ->n_circ_id)
      return;
    if (append_cell_to_circuit_queue(circ, circ->n_chan, cell,
                                     CELL_DIRECTION_OUT, 0) < 0)
      circuit_mark_for_close(circ, END_CIRC_REASON_RESOURCELIMIT);
  } else if ((other = spliced_to(circ))) {
    int reason;
    cell->circ_id = TO_OR_CIRCUIT(other)->p_circ_id;
    cell->command = CELL_RELAY;
    if (payment_hold_inbound(other, cell))
      return;
    reason = circuit_receive_relay_cell(cell, other, CELL_DIRECTION_IN);
    if (reason < 0)
      circuit_mark_for_close(circ, -reason);
  }
}

/** True when tor's queue away from the origin can take a cell. */
static bool
has_room_outbound(circuit_t *circ)
{
  circuit_t *other;
  if (circ->n_chan)
    return payment_queue_has_room(&circ->n_chan_cells);
  other = spliced_to(circ);
  return !other ||
    payment_queue_has_room(&TO_OR_CIRCUIT(other)->p_chan_cells);
}

/** Release at most one cell in each direction; true when there was one. */
static bool
release_some(payment_circ_t *pc)
{
  payment_service_t *s = &pc->service;
  circuit_t *circ = pc->circ;
  bool released = false;
  cell_t cell;

  if (s->in.n && payment_queue_has_room(&TO_OR_CIRCUIT(circ)->p_chan_cells)
      && payment_may_pass(pc, 1)) {
    int reason;
    payment_charge(pc, 1);
    fifo_pop(&s->in, &cell);
    reason = circuit_receive_relay_cell(&cell, circ, CELL_DIRECTION_IN);
    if (reason < 0)
      circuit_mark_for_close(circ, -reason);
    released = true;
  }
  if (!circ->marked_for_close && s->out.n && has_room_outbound(circ) &&
      payment_may_pass(pc, 0)) {
    payment_charge(pc, 1);
    fifo_pop(&s->out, &cell);
    release_outbound(circ, &cell);
    released = true;
  }
  return released;
}

/** Let go what may go. */
void
payment_pump(payment_circ_t *pc)
{
  payment_service_t *s = &pc->service;
  unsigned n = 0;

  if (s->pumping || pc->role != MW_ROLE_RELAY)
    return;
  s->pumping = true;
  while (!pc->circ->marked_for_close && n++ < MAX_PUMP_CELLS &&
         release_some(pc))
    ;
  if (!pc->circ->marked_for_close)
    payment_edge_release(pc);
  s->pumping = false;
  if (wants_ticks(pc))
    payment_make_busy(pc);
}

/** The circuit goes: free what it held. */
void
payment_service_clear(payment_circ_t *pc)
{
  payment_service_t *s = &pc->service;
  make_idle(pc);
  fifo_clear(&s->in);
  fifo_clear(&s->out);
  if (s->pool)
    payment_pool_release(s->pool);
  s->pool = NULL;
}

/** Bytes in held cells, for tor's memory accounting. */
size_t
payment_held_bytes(void)
{
  return (size_t)payment_stat.held_now * sizeof(payment_held_t);
}

/** tor is out of memory with <b>current_allocation</b> bytes in queues. When
 * a good part of it is ours close the circuits that hold most, until tor is
 * below its limit. Return the number of bytes freed. */
size_t
payment_handle_oom(size_t current_allocation)
{
  const size_t limit = (size_t) get_options()->MaxMemInQueues;
  const size_t before = payment_held_bytes();
  unsigned n;

  for (n = 0; n < MAX_OOM_CLOSES; ++n) {
    const size_t freed = before - payment_held_bytes();
    payment_circ_t *worst = NULL;
    uint32_t most = 0;
    if (payment_held_bytes() < limit / 10 ||
        current_allocation - freed < limit)
      break;
    SMARTLIST_FOREACH_BEGIN(circuit_get_global_list(), circuit_t *, circ) {
      payment_circ_t *pc = circ->payment;
      if (pc && pc->service.in.n + pc->service.out.n > most) {
        worst = pc;
        most = pc->service.in.n + pc->service.out.n;
      }
    } SMARTLIST_FOREACH_END(circ);
    if (!worst)
      break;
    if (!worst->circ->marked_for_close)
      circuit_mark_for_close(worst->circ, END_CIRC_REASON_RESOURCELIMIT);
    fifo_clear(&worst->service.in);
    fifo_clear(&worst->service.out);
  }
  return before - payment_held_bytes();
}

/** How much a cell of <b>circ</b> weighs when tor's scheduler looks for the
 * circuit that sent least lately. */
double
payment_ewma_weight(const circuit_t *circ)
{
  const payment_circ_t *pc = circ->payment;
  if (!pc || pc->role != MW_ROLE_RELAY || pc->hello ||
      payment_policy.stock_clients != MW_STOCK_BEST_EFFORT)
    return 1.0;
  return BEST_EFFORT_WEIGHT;
}

/** The main loop is over. */
void
payment_hold_free_all(void)
{
  mainloop_event_free(tick_event);
}
