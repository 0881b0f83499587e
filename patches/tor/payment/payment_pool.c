/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) The MagicWave developers. See LICENSE for licensing
 * information. */

/**
 * @file payment_pool.c
 * @brief Where free windows come from.
 *
 * Without a common purse each new circuit, each new connection and each new
 * key would be a new free window. So free cells are drawn from pools: at a
 * guard one per client address (IPv6: per /64), behind a guard one per
 * upstream relay. A pool holds a limited number of free cells. They come back
 * when they are paid for, and one by one with time; closing a circuit gives
 * nothing back.
 *
 * The trickle of unpaid circuits has a purse for the same reason: however
 * many circuits trickle, those of one address together get no more than
 * ADDRESS_TRICKLES times the rate of one, those of one relay no more than
 * RELAY_TRICKLES times.
 *
 * A pool lives while a circuit uses it or until it is full again. There are
 * at most MAX_POOLS; who comes when all are taken shares one last pool.
 **/

#include "feature/payment/payment_internal.h"
#include "core/or/channel.h"
#include "ext/siphash.h"
#include "lib/net/address.h"
#include "lib/time/compat_time.h"

/** Most pools at a time. */
#define MAX_POOLS 16384
/** How many circuits' trickle one client address, one upstream relay has. */
#define ADDRESS_TRICKLES 4
#define RELAY_TRICKLES 64
/** Look for pools to drop at most so often, in ms. */
#define SWEEP_MS 1000

/** Whose pool it is: a kind and a digest or an address prefix. */
typedef struct pool_key_t {
  uint8_t kind;
  uint8_t id[DIGEST_LEN];
} pool_key_t;

enum { POOL_ADDRESS = 1, POOL_RELAY = 2, POOL_OVERFLOW = 3 };

typedef struct payment_pool_t {
  HT_ENTRY(payment_pool_t) node;
  pool_key_t key;
  /** Circuits that point here. */
  uint32_t refs;
  /** Cells that are taken and neither paid for nor come back with time. */
  uint32_t taken;
  /** Up to when the refill is accounted for, in ms. */
  uint64_t refilled_at;
  /** Bytes that may trickle now, and when that was brought up to date. */
  int64_t bucket;
  uint64_t bucket_at;
} payment_pool_t;

static inline int
pool_eq(const payment_pool_t *a, const payment_pool_t *b)
{
  return !memcmp(&a->key, &b->key, sizeof(a->key));
}

static inline unsigned
pool_hash(const payment_pool_t *p)
{
  return (unsigned) siphash24g(&p->key, sizeof(p->key));
}

static HT_HEAD(payment_pool_map, payment_pool_t) pools = HT_INITIALIZER();
HT_PROTOTYPE(payment_pool_map, payment_pool_t, node, pool_hash, pool_eq);
HT_GENERATE2(payment_pool_map, payment_pool_t, node, pool_hash, pool_eq,
             0.6, tor_reallocarray_, tor_free_);

/** Cells that a pool of this kind has when nobody took any. */
static uint32_t
pool_size(const payment_pool_t *p)
{
  return p->key.kind == POOL_ADDRESS ? payment_policy.free_cells_address
                                     : payment_policy.free_cells_channel;
}

/** Let come back what came back with time. */
static void
refill(payment_pool_t *p, uint64_t now)
{
  const uint32_t each = payment_policy.free_refill_ms;
  uint64_t n;
  if (!each || !p->taken) {
    p->refilled_at = now;
    return;
  }
  n = (now - p->refilled_at) / each;
  p->refilled_at += n * each;
  p->taken -= (uint32_t) MIN(n, p->taken);
}

/** Drop the pools that nobody needs; true when one was dropped. */
static bool
sweep(uint64_t now)
{
  static uint64_t last_sweep = 0;
  payment_pool_t **it, **next;
  bool dropped = false;

  if (last_sweep && now - last_sweep < SWEEP_MS)
    return false;
  last_sweep = now;
  for (it = HT_START(payment_pool_map, &pools); it; it = next) {
    payment_pool_t *p = *it;
    refill(p, now);
    if (p->refs || p->taken) {
      next = HT_NEXT(payment_pool_map, &pools, it);
      continue;
    }
    next = HT_NEXT_RMV(payment_pool_map, &pools, it);
    tor_free(p);
    dropped = true;
  }
  return dropped;
}

/** Write into <b>key</b> who is at the other end of <b>chan</b>. */
static void
make_key(pool_key_t *key, const channel_t *chan, bool client)
{
  tor_addr_t addr;

  memset(key, 0, sizeof(*key));
  if (!client) {
    key->kind = POOL_RELAY;
    memcpy(key->id, chan->identity_digest, DIGEST_LEN);
    return;
  }
  key->kind = POOL_ADDRESS;
  if (!channel_get_addr_if_possible(chan, &addr))
    return;
  if (tor_addr_family(&addr) == AF_INET) {
    const uint32_t ip = tor_addr_to_ipv4n(&addr);
    memcpy(key->id, &ip, sizeof(ip));
  } else if (tor_addr_family(&addr) == AF_INET6) {
    key->id[DIGEST_LEN - 1] = 6;
    memcpy(key->id, tor_addr_to_in6_addr8(&addr), 8);
  }
}

/** Return the pool for circuits that come from <b>chan</b>, which is a
 * <b>client</b>'s or a relay's; give it back with payment_pool_release(). */
payment_pool_t *
payment_pool_get(const channel_t *chan, bool client)
{
  const uint64_t now = monotime_coarse_absolute_msec();
  payment_pool_t search, *p;

  make_key(&search.key, chan, client);
  p = HT_FIND(payment_pool_map, &pools, &search);
  if (!p && HT_SIZE(&pools) >= MAX_POOLS && !sweep(now)) {
    memset(&search.key, 0, sizeof(search.key));
    search.key.kind = POOL_OVERFLOW;
    p = HT_FIND(payment_pool_map, &pools, &search);
  }
  if (!p) {
    p = tor_malloc_zero(sizeof(*p));
    p->key = search.key;
    p->refilled_at = p->bucket_at = now;
    HT_INSERT(payment_pool_map, &pools, p);
  }
  ++p->refs;
  return p;
}

/** A circuit that drew from <b>p</b> is gone. What it took stays taken. */
void
payment_pool_release(payment_pool_t *p)
{
  tor_assert(p->refs > 0);
  if (--p->refs || p->taken)
    return;
  HT_REMOVE(payment_pool_map, &pools, p);
  tor_free(p);
}

/** Take <b>cells</b> free cells; false when there are not so many. */
bool
payment_pool_take(payment_pool_t *p, uint32_t cells)
{
  const uint32_t size = pool_size(p);
  refill(p, monotime_coarse_absolute_msec());
  if (p->taken >= size || cells > size - p->taken)
    return false;
  p->taken += cells;
  return true;
}

/** <b>cells</b> free cells were paid for. */
void
payment_pool_return(payment_pool_t *p, uint32_t cells)
{
  if (!p)
    return;
  p->taken -= MIN(cells, p->taken);
}

/** May another cell trickle through a circuit of this pool? */
bool
payment_pool_may_trickle(payment_pool_t *p, uint64_t now)
{
  const uint32_t factor =
    p->key.kind == POOL_ADDRESS ? ADDRESS_TRICKLES : RELAY_TRICKLES;
  payment_fill_bucket(&p->bucket, &p->bucket_at, now,
                      (uint64_t)payment_policy.trickle_bytes * factor);
  return p->bucket >= PAYMENT_CELL_BYTES;
}

/** So much trickled. */
void
payment_pool_charge(payment_pool_t *p, int64_t bytes)
{
  p->bucket -= bytes;
}

/** Free everything, at the end. */
void
payment_pool_free_all(void)
{
  payment_pool_t **it, **next;
  for (it = HT_START(payment_pool_map, &pools); it; it = next) {
    payment_pool_t *p = *it;
    next = HT_NEXT_RMV(payment_pool_map, &pools, it);
    tor_free(p);
  }
  HT_CLEAR(payment_pool_map, &pools);
}
