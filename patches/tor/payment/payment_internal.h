/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) The MagicWave developers. See LICENSE for licensing
 * information. */

/**
 * @file payment_internal.h
 * @brief What the files of this directory share; nobody else includes it.
 *
 * All of it belongs to tor's main thread, except what payment_queue.c guards
 * with its mutex and the counters of payment_stat_t.
 **/

#ifndef TOR_FEATURE_PAYMENT_PAYMENT_INTERNAL_H
#define TOR_FEATURE_PAYMENT_PAYMENT_INTERNAL_H

#include "core/or/or.h"
#include "core/or/cell_st.h"
#include "feature/payment/magicwave_tor.h"
#include "feature/payment/payment.h"
#include "ext/ht.h"
#include "ext/tor_queue.h"

/** The one version of the stamp that we write and read. */
#define PAYMENT_STAMP_VERSION 1
/** Bytes of one relay cell on the wire, for the trickle's token bucket. */
#define PAYMENT_CELL_BYTES 514
/** A guard may give any free window, a relay behind it at most this many
 * cells per circuit (64 KiB): it cannot tell whose circuits these are. */
#define PAYMENT_FREE_BEHIND_GUARD 127
/** Room left in a circuit's queue below which no payment cell is sent and no
 * held cell is released: what tor itself wants to send must always fit. */
#define PAYMENT_QUEUE_RESERVE 32

/** Longest SENDME that can wait; version 1 takes 23 bytes. */
#define PAYMENT_SENDME_BODY 32

/** One relay cell that waits for its circuit to be paid. */
typedef struct payment_held_t {
  TOR_SIMPLEQ_ENTRY(payment_held_t) next;
  cell_t cell;
} payment_held_t;

/** A first-in first-out queue of held cells. */
typedef struct payment_fifo_t {
  TOR_SIMPLEQ_HEAD(payment_fifo_head_t, payment_held_t) head;
  uint32_t n;
} payment_fifo_t;

/** One SENDME of ours that waits: its body was final when it was made. */
typedef struct payment_sendme_t {
  TOR_SIMPLEQ_ENTRY(payment_sendme_t) next;
  streamid_t stream_id;
  uint8_t len;
  uint8_t body[PAYMENT_SENDME_BODY];
} payment_sendme_t;

/** A first-in first-out queue of SENDMEs of ours. */
typedef struct payment_sendmes_t {
  TOR_SIMPLEQ_HEAD(payment_sendme_head_t, payment_sendme_t) head;
  uint32_t n;
} payment_sendmes_t;

struct payment_pool_t;

/** Service state of one circuit at a relay. */
typedef struct payment_service_t {
  /** Cells (both directions, over the circuit's life) that are paid for. */
  uint64_t granted;
  /** Free cells drawn from the pool and not returned. */
  uint32_t drawn;
  /** MW_STATE_*. */
  uint32_t state;
  /** When the state left OPEN, and when the bucket was last filled, in ms. */
  uint64_t unpaid_since;
  uint64_t bucket_at;
  /** Bytes that may pass now; below zero after a debt of our own cells. */
  int64_t bucket;
  /** Where free cells come from, and what caps the trickle; once needed. */
  struct payment_pool_t *pool;
  /** Cells held towards the origin (raw, before our layer of encryption) and
   * away from it (after our layer of decryption). */
  payment_fifo_t in, out;
  /** Circuit end: DATA cells that came in while SENDMEs were held. */
  uint32_t n_unacked;
  /** Circuit end: our window said 0, so somebody must restart the edges. */
  bool edges_stopped;
  /** What the streams of this circuit have been. */
  bool saw_begin_dir, saw_begin;
  /** In payment_hold.c's list of circuits that need ticks. */
  bool busy;
  /** Being released right now: do not recurse. */
  bool pumping;
} payment_service_t;

/** What is counted for one hop; payment_count.c says which cell counts. */
typedef struct payment_hop_t {
  /** Cells towards the origin and away from it. */
  uint64_t in, out;
  /** What mw_watch() asked for, or 0. */
  uint64_t watch;
  /** Origin: the consensus says that it understands payment cells. */
  bool speaks;
  /** Origin: we sent it a payment cell, so it may answer. */
  bool asked;
} payment_hop_t;

/** What we know of one circuit; circuit_t.payment points here. */
typedef struct payment_circ_t {
  HT_ENTRY(payment_circ_t) node;
  /** Relay: payment_hold.c's list. Origin: payment_conflux.c's. */
  TOR_LIST_ENTRY(payment_circ_t) busy_node;
  /** Our name for it: see payment_circ.c. */
  uint64_t id;
  /** MW_ROLE_*. */
  uint32_t role;
  circuit_t *circ;
  /** Of mw_launch(), or 0. */
  uint64_t token;
  /** The host heard of it, so it will hear of its end. */
  bool announced;
  /** Origin: payment cells may be sent. */
  bool begun;
  /** Origin: a leg that has begun and carries nothing yet. */
  bool idle;
  /** Relay: the origin sent a payment cell. */
  bool hello;
  /** Relay: the previous hop is no relay. */
  bool prev_is_client;
  /** Relay: global identifier of the channel to the previous hop. */
  uint64_t channel;
  /** SENDMEs held: at the relay where the circuit ends, at the origin of a
   * conflux leg. */
  payment_sendmes_t sendmes;
  /** Relay only. */
  payment_service_t service;
  /** Counters by hop: 1..MW_MAX_HOPS at an origin; at a relay there is only
   * entry 0. */
  payment_hop_t hop[];
} payment_circ_t;

/** Totals for mw_stats(); other threads read them. */
typedef struct payment_stat_t {
  uint64_t events_dropped, commands_dropped;
  uint64_t cells_sent, cells_received, cells_invalid;
  uint64_t held_now, held_peak;
  uint64_t cells_own;
} payment_stat_t;

extern mw_policy_t payment_policy;
extern payment_stat_t payment_stat;

/** Add <b>n</b> to a member of payment_stat. */
#define payment_stat_add(member, n) \
  __atomic_fetch_add(&payment_stat.member, (uint64_t)(n), __ATOMIC_RELAXED)

/* payment_sys.c */
bool payment_on(void);
bool payment_relay_on(void);
int32_t payment_call_host(const mw_event_t *event);
void payment_apply_policy(const mw_policy_t *policy);
bool payment_is_down(void);

/* payment_circ.c */
payment_circ_t *payment_circ_get(circuit_t *circ);
payment_circ_t *payment_circ_find(uint64_t id);
const crypt_path_t *payment_cpath_hop(const circuit_t *circ, unsigned hop);
unsigned payment_hop_of(const circuit_t *circ, const crypt_path_t *layer);
unsigned payment_n_hops(const circuit_t *circ);
uint64_t payment_used(const payment_circ_t *pc);
void payment_each_circ(void (*fn)(payment_circ_t *pc));
void payment_circ_free_all(void);

/* payment_count.c */
void payment_check_watch(payment_circ_t *pc, unsigned hop);

/* payment_cell.c */
void payment_do_send(payment_circ_t *pc, unsigned hop, const uint8_t *body,
                     size_t len);
bool payment_queue_has_room(const cell_queue_t *queue);

/* payment_event.c */
void payment_fill_hop(mw_hop_t *hop, const char *rsa_digest);
bool payment_digest_speaks(const char *rsa_digest);
void payment_emit(payment_circ_t *pc, uint32_t kind, unsigned hop);
void payment_emit_circuit(payment_circ_t *pc);
void payment_emit_cell(payment_circ_t *pc, unsigned hop, const uint8_t *cell,
                       size_t len);
void payment_emit_closed(payment_circ_t *pc, uint32_t reason);
void payment_emit_counters(payment_circ_t *pc);
void payment_emit_launch_failed(uint64_t token, uint32_t reason);
void payment_emit_ready(void);

/* payment_credit.c */
void payment_service_init(payment_circ_t *pc);
void payment_fill_bucket(int64_t *bucket, uint64_t *at, uint64_t now,
                         uint64_t rate);
bool payment_may_pass(payment_circ_t *pc, unsigned pending);
void payment_charge(payment_circ_t *pc, unsigned cells);
bool payment_is_exempt(const payment_circ_t *pc);
void payment_grant(payment_circ_t *pc, uint64_t cells);
void payment_reconsider(payment_circ_t *pc);
void payment_check_grace(payment_circ_t *pc, uint64_t now);

/* payment_hold.c */
int payment_hold_outbound(payment_circ_t *pc, const cell_t *cell);
void payment_service_clear(payment_circ_t *pc);
void payment_make_busy(payment_circ_t *pc);
void payment_pump(payment_circ_t *pc);
void payment_hold_free_all(void);

/* payment_edge.c */
bool payment_sendme_push(payment_circ_t *pc, streamid_t stream_id,
                         const char *body, size_t len);
void payment_sendme_send(payment_circ_t *pc, crypt_path_t *layer);
void payment_sendme_clear(payment_circ_t *pc);
void payment_edge_release(payment_circ_t *pc);
void payment_edge_note_data(payment_circ_t *pc);

/* payment_conflux.c */
bool payment_conflux_defer(payment_circ_t *pc, const crypt_path_t *layer,
                           streamid_t stream_id, const char *body,
                           size_t len);
void payment_conflux_note_cell(void);
uint64_t payment_conflux_set(const circuit_t *circ);
void payment_conflux_clear(payment_circ_t *pc);
void payment_conflux_free_all(void);

/* payment_pool.c */
struct payment_pool_t *payment_pool_get(const channel_t *chan, bool client);
void payment_pool_release(struct payment_pool_t *pool);
bool payment_pool_take(struct payment_pool_t *pool, uint32_t cells);
void payment_pool_return(struct payment_pool_t *pool, uint32_t cells);
bool payment_pool_may_trickle(struct payment_pool_t *pool, uint64_t now);
void payment_pool_charge(struct payment_pool_t *pool, int64_t bytes);
void payment_pool_free_all(void);

/* payment_queue.c */
void payment_queue_start(void);
void payment_queue_stop(void);

/* payment_launch.c */
void payment_launched_is_gone(void);
void payment_do_launch(uint64_t token, const uint8_t *rsa, uint32_t flags);

#endif /* !defined(TOR_FEATURE_PAYMENT_PAYMENT_INTERNAL_H) */
