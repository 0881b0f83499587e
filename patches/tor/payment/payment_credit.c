/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) The MagicWave developers. See LICENSE for licensing
 * information. */

/**
 * @file payment_credit.c
 * @brief May one more cell of this circuit pass?
 *
 * <pre>
 *            used up                grace over
 *   OPEN ---------------> TRICKLE ---------------> STOPPED
 *    ^                       |                        |
 *    +-----------------------+------------------------+
 *        mw_grant(), or free cells came back to the pool
 * </pre>
 *
 * Used is what payment_count.c counted, both directions. It may reach what
 * is granted (cumulative over the circuit's life), plus a small base, plus
 * free cells: these are drawn one by one from the pool of the client's
 * address or of the upstream relay, and go back when a grant covers them.
 * In TRICKLE a token bucket lets some cells pass, as far as the pool's own
 * bucket does, in STOPPED none. Payment
 * cells to and from this hop never ask.
 *
 * Exempt are directory circuits (they end here and carry BEGIN_DIR only) and,
 * under MW_STOCK_BEST_EFFORT, circuits whose origin never sent a payment
 * cell; the latter yield to the others in the scheduler, see
 * payment_ewma_weight().
 **/

#include "feature/payment/payment_internal.h"
#include "core/or/circuitlist.h"
#include "core/or/or_circuit_st.h"
#include "lib/time/compat_time.h"

/** Out of TRICKLE or STOPPED by free cells only when there are so many (or
 * all that are left of the window), lest the state flutter at the rate at
 * which a pool fills. */
#define REOPEN_CELLS 32
/** Longest time that a bucket is filled for at once, in ms. */
#define MAX_FILL_MS 10000

/** Begin a relay's service to a circuit. */
void
payment_service_init(payment_circ_t *pc)
{
  payment_service_t *s = &pc->service;
  s->state = MW_STATE_OPEN;
  TOR_SIMPLEQ_INIT(&s->in.head);
  TOR_SIMPLEQ_INIT(&s->out.head);
}

/** True when this circuit needs no grant. */
bool
payment_is_exempt(const payment_circ_t *pc)
{
  const payment_service_t *s = &pc->service;
  if (s->saw_begin_dir && !s->saw_begin && !pc->circ->n_chan &&
      !pc->circ->n_hop)
    return true;
  return payment_policy.stock_clients == MW_STOCK_BEST_EFFORT && !pc->hello;
}

/** Cells that may be used without drawing another free one. */
static uint64_t
allowance(const payment_circ_t *pc)
{
  return pc->service.granted + payment_policy.base_cells + pc->service.drawn;
}

/** Largest free window of this circuit, in cells. */
static uint32_t
free_window(const payment_circ_t *pc)
{
  if (pc->prev_is_client)
    return payment_policy.free_cells;
  return MIN(payment_policy.free_cells, PAYMENT_FREE_BEHIND_GUARD);
}

/** Return the pool that this circuit draws from; NULL when its channel to the
 * previous hop is gone. */
static struct payment_pool_t *
get_pool(payment_circ_t *pc)
{
  payment_service_t *s = &pc->service;
  const channel_t *chan = TO_OR_CIRCUIT(pc->circ)->p_chan;
  if (!s->pool && chan)
    s->pool = payment_pool_get(chan, pc->prev_is_client);
  return s->pool;
}

/** True when what is used and <b>pending</b> more cells are granted or free;
 * draws free cells when that is what it takes. */
static bool
is_covered(payment_circ_t *pc, unsigned pending)
{
  payment_service_t *s = &pc->service;
  const uint64_t need = payment_used(pc) + pending;
  const uint64_t have = allowance(pc);
  const uint32_t window = free_window(pc);
  uint64_t draw;

  if (need <= have)
    return true;
  if (s->drawn >= window)
    return false;
  draw = need - have;
  if (s->state != MW_STATE_OPEN)
    draw = MAX(draw, MIN(REOPEN_CELLS, window - s->drawn));
  if (draw > window - s->drawn)
    return false;
  if (!get_pool(pc) || !payment_pool_take(s->pool, (uint32_t)draw))
    return false;
  s->drawn += (uint32_t)draw;
  return true;
}

/** Change the state and say so. */
static void
set_state(payment_circ_t *pc, uint32_t state)
{
  if (pc->service.state == state)
    return;
  pc->service.state = state;
  payment_emit(pc, MW_EV_STATE, 0);
}

/** Put into *<b>bucket</b>, last filled *<b>at</b>, what came until <b>now</b>
 * at <b>rate</b> bytes per second; it holds what one second brings. */
void
payment_fill_bucket(int64_t *bucket, uint64_t *at, uint64_t now,
                    uint64_t rate)
{
  const uint64_t ms = MIN(now - *at, MAX_FILL_MS);
  const int64_t cap = MAX((int64_t)rate, 2 * PAYMENT_CELL_BYTES);
  const int64_t more = (int64_t)(ms * rate / 1000);

  if (more <= 0)
    return;
  *at = now;
  *bucket = MIN(*bucket + more, cap);
}

/** TRICKLE becomes STOPPED when it lasted for the grace time. */
void
payment_check_grace(payment_circ_t *pc, uint64_t now)
{
  if (pc->service.state == MW_STATE_TRICKLE &&
      now - pc->service.unpaid_since >= payment_policy.grace_ms)
    set_state(pc, MW_STATE_STOPPED);
}

/** May one more cell pass this relay? <b>pending</b> is 1 when the cell is
 * not counted yet, 0 when it is. The caller calls payment_charge() for each
 * cell that it lets pass. */
bool
payment_may_pass(payment_circ_t *pc, unsigned pending)
{
  payment_service_t *s = &pc->service;
  uint64_t now;

  if (payment_is_exempt(pc) || is_covered(pc, pending)) {
    set_state(pc, MW_STATE_OPEN);
    return true;
  }
  now = monotime_coarse_absolute_msec();
  if (s->state == MW_STATE_OPEN) {
    s->unpaid_since = s->bucket_at = now;
    s->bucket = 0;
    set_state(pc, MW_STATE_TRICKLE);
    payment_make_busy(pc);
  }
  payment_check_grace(pc, now);
  if (s->state != MW_STATE_TRICKLE || !get_pool(pc))
    return false;
  payment_fill_bucket(&s->bucket, &s->bucket_at, now,
                      payment_policy.trickle_bytes);
  return s->bucket >= PAYMENT_CELL_BYTES &&
    payment_pool_may_trickle(s->pool, now);
}

/** <b>cells</b> passed. Cells of our own may put the bucket into debt. */
void
payment_charge(payment_circ_t *pc, unsigned cells)
{
  const int64_t bytes = (int64_t)cells * PAYMENT_CELL_BYTES;
  if (pc->service.state != MW_STATE_TRICKLE)
    return;
  pc->service.bucket -= bytes;
  if (pc->service.pool)
    payment_pool_charge(pc->service.pool, bytes);
}

/** Something changed in the circuit's favour, or may have: let held cells go
 * at the next tick. */
void
payment_reconsider(payment_circ_t *pc)
{
  if (pc->role != MW_ROLE_RELAY || pc->service.state == MW_STATE_OPEN)
    return;
  if (payment_is_exempt(pc) || is_covered(pc, 0)) {
    set_state(pc, MW_STATE_OPEN);
    payment_make_busy(pc);
  }
}

/** The host was paid for <b>cells</b> over the circuit's life. */
void
payment_grant(payment_circ_t *pc, uint64_t cells)
{
  payment_service_t *s = &pc->service;
  uint64_t used, paid, outstanding;

  if (pc->role != MW_ROLE_RELAY || cells <= s->granted)
    return;
  /* Far above any circuit's life, far below an overflow of allowance(). */
  s->granted = MIN(cells, UINT64_MAX / 4);

  /* Free cells that this covers are no longer owed. */
  used = payment_used(pc);
  paid = s->granted + payment_policy.base_cells;
  outstanding = used > paid ? used - paid : 0;
  if (outstanding < s->drawn) {
    payment_pool_return(s->pool, s->drawn - (uint32_t)outstanding);
    s->drawn = (uint32_t)outstanding;
  }
  payment_reconsider(pc);
}
