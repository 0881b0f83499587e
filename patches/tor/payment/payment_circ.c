/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) The MagicWave developers. See LICENSE for licensing
 * information. */

/**
 * @file payment_circ.c
 * @brief Names and lives of circuits.
 *
 * A circuit has a number that is never used again in this process. At an
 * origin it is tor's global identifier, so it is the same as on the control
 * port. At a relay it comes from a counter of ours with the highest bit set:
 * the two never collide.
 *
 * We learn of a circuit when its first relay cell passes, so circuits that
 * are created and then never used cost nothing.
 **/

#define CRYPT_PATH_PRIVATE

#include "feature/payment/payment_internal.h"
#include "core/or/channel.h"
#include "core/or/circuitlist.h"
#include "core/or/connection_or.h"
#include "core/or/crypt_path_st.h"
#include "core/or/extend_info_st.h"
#include "core/or/or_circuit_st.h"
#include "core/or/origin_circuit_st.h"

/** Numbers of circuits at a relay begin here. */
#define RELAY_ID_BASE (UINT64_C(1) << 63)

static inline int
payment_circ_eq(const payment_circ_t *a, const payment_circ_t *b)
{
  return a->id == b->id;
}

static inline unsigned
payment_circ_hash(const payment_circ_t *pc)
{
  /* Both kinds of number are counters of our own: nobody can aim at a
   * bucket. */
  return (unsigned)(pc->id ^ (pc->id >> 32)) * 2654435761u;
}

static HT_HEAD(payment_circ_map, payment_circ_t) circ_map =
  HT_INITIALIZER();
HT_PROTOTYPE(payment_circ_map, payment_circ_t, node, payment_circ_hash,
             payment_circ_eq);
HT_GENERATE2(payment_circ_map, payment_circ_t, node, payment_circ_hash,
             payment_circ_eq, 0.6, tor_reallocarray_, tor_free_);

/** Is there a client at the other end of <b>chan</b>? Who shows an identity
 * that no relay has is one, too: else it would get a fresh pool for each key
 * that it makes up. */
static bool
is_client(const channel_t *chan)
{
  return channel_is_client(chan) ||
    !connection_or_digest_is_known_relay(chan->identity_digest);
}

/** Fill in what a relay knows of a circuit from its channel. */
static void
init_relay_circ(payment_circ_t *pc)
{
  static uint64_t last_id = RELAY_ID_BASE;
  const channel_t *chan = TO_OR_CIRCUIT(pc->circ)->p_chan;

  pc->role = MW_ROLE_RELAY;
  pc->id = ++last_id;
  if (chan) {
    pc->channel = chan->global_identifier;
    pc->prev_is_client = is_client(chan);
  }
  payment_service_init(pc);
}

/** Return what we know of <b>circ</b>, making its record when it is new; NULL
 * when circuits of this kind do not concern us. */
payment_circ_t *
payment_circ_get(circuit_t *circ)
{
  payment_circ_t *pc;

  if (circ->payment)
    return circ->payment;
  if (!payment_on() || payment_is_down())
    return NULL;
  if (!CIRCUIT_IS_ORIGIN(circ) && !payment_relay_on())
    return NULL;

  const size_t n_hops = CIRCUIT_IS_ORIGIN(circ) ? MW_MAX_HOPS + 1 : 1;
  pc = tor_malloc_zero(offsetof(payment_circ_t, hop) +
                       n_hops * sizeof(payment_hop_t));
  pc->circ = circ;
  if (CIRCUIT_IS_ORIGIN(circ)) {
    pc->role = MW_ROLE_ORIGIN;
    pc->id = TO_ORIGIN_CIRCUIT(circ)->global_identifier;
  } else {
    init_relay_circ(pc);
  }
  TOR_SIMPLEQ_INIT(&pc->sendmes.head);
  circ->payment = pc;
  HT_INSERT(payment_circ_map, &circ_map, pc);

  if (pc->role == MW_ROLE_RELAY) {
    pc->announced = true;
    payment_emit_circuit(pc);
  }
  return pc;
}

/** Return the circuit with number <b>id</b>, or NULL when it is gone. */
payment_circ_t *
payment_circ_find(uint64_t id)
{
  payment_circ_t key;
  key.id = id;
  return HT_FIND(payment_circ_map, &circ_map, &key);
}

/** Call <b>fn</b> for every circuit; it must not free any. */
void
payment_each_circ(void (*fn)(payment_circ_t *pc))
{
  payment_circ_t **it;
  for (it = HT_START(payment_circ_map, &circ_map); it;
       it = HT_NEXT(payment_circ_map, &circ_map, it))
    fn(*it);
}

/** Cells of both directions that count at this relay. */
uint64_t
payment_used(const payment_circ_t *pc)
{
  return pc->hop[0].in + pc->hop[0].out;
}

/** Return the <b>hop</b>th hop (1 = first) of an origin circuit, or NULL. */
const crypt_path_t *
payment_cpath_hop(const circuit_t *circ, unsigned hop)
{
  const crypt_path_t *first = CONST_TO_ORIGIN_CIRCUIT(circ)->cpath;
  const crypt_path_t *it = first;
  unsigned i = 1;
  if (!first || !hop)
    return NULL;
  do {
    if (i == hop)
      return it;
    ++i;
    it = it->next;
  } while (it != first);
  return NULL;
}

/** Return the place (1 = first) of <b>layer</b> on an origin circuit. Hops
 * past MW_MAX_HOPS are one too far to have counters of their own. */
unsigned
payment_hop_of(const circuit_t *circ, const crypt_path_t *layer)
{
  const crypt_path_t *first = CONST_TO_ORIGIN_CIRCUIT(circ)->cpath;
  const crypt_path_t *it = first;
  unsigned i = 1;
  if (!first)
    return 0;
  do {
    if (it == layer)
      return i;
    if (++i > MW_MAX_HOPS)
      return MW_MAX_HOPS + 1;
    it = it->next;
  } while (it != first);
  return 0;
}

/** Number of hops of an origin circuit, at most MW_MAX_HOPS. */
unsigned
payment_n_hops(const circuit_t *circ)
{
  unsigned n = 0;
  while (n < MW_MAX_HOPS && payment_cpath_hop(circ, n + 1))
    ++n;
  return n;
}

/** All hops of <b>ocirc</b> are open (again, when it was extended). */
void
payment_circuit_opened(origin_circuit_t *ocirc)
{
  circuit_t *circ = TO_CIRCUIT(ocirc);
  payment_circ_t *pc = payment_circ_get(circ);
  unsigned h;

  if (!pc)
    return;
  for (h = 1; h <= MW_MAX_HOPS; ++h) {
    const crypt_path_t *layer = payment_cpath_hop(circ, h);
    pc->hop[h].speaks = layer && layer->extend_info &&
      payment_digest_speaks(layer->extend_info->identity_digest);
  }
  pc->announced = true;
  payment_emit_circuit(pc);
}

/** <b>circ</b> is about to be freed: say goodbye and forget it. */
void
payment_circuit_free(circuit_t *circ)
{
  payment_circ_t *pc = circ->payment;

  if (!pc)
    return;
  if ((pc->announced || pc->token) && !payment_is_down()) {
    const int reason = circ->marked_for_close_reason;
    payment_emit_closed(pc, reason > 0 ? (uint32_t)reason : 0);
  }
  if (pc->role == MW_ROLE_RELAY)
    payment_service_clear(pc);
  else
    payment_conflux_clear(pc);
  payment_sendme_clear(pc);
  if (pc->token)
    payment_launched_is_gone();
  HT_REMOVE(payment_circ_map, &circ_map, pc);
  circ->payment = NULL;
  tor_free(pc);
}

/** Free the map; circuits that are still in it are freed by their owner. */
void
payment_circ_free_all(void)
{
  HT_CLEAR(payment_circ_map, &circ_map);
}
