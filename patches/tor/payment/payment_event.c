/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) The MagicWave developers. See LICENSE for licensing
 * information. */

/**
 * @file payment_event.c
 * @brief Building the events that the host gets.
 **/

#define CRYPT_PATH_PRIVATE

#include "feature/payment/payment_internal.h"
#include "core/or/channel.h"
#include "core/or/circuitlist.h"
#include "core/or/connection_or.h"
#include "core/or/crypt_path_st.h"
#include "core/or/extendinfo.h"
#include "core/or/extend_info_st.h"
#include "core/or/or_circuit_st.h"
#include "core/or/origin_circuit_st.h"
#include "feature/nodelist/node_st.h"
#include "feature/nodelist/nodelist.h"
#include "feature/nodelist/routerinfo_st.h"
#include "feature/nodelist/routerstatus_st.h"
#include "lib/arch/bytes.h"

/** Does the consensus (or the descriptor of a bridge) say that this relay
 * understands payment cells? */
bool
payment_digest_speaks(const char *rsa_digest)
{
  const node_t *node = node_get_by_id(rsa_digest);
  if (node && node->rs)
    return node->rs->pv.supports_payment;
  if (node && node->ri)
    return node->ri->pv.supports_payment;
  return false;
}

/** Fill <b>hop</b> with what the node list knows of a relay. */
void
payment_fill_hop(mw_hop_t *hop, const char *rsa_digest)
{
  const node_t *node;
  const ed25519_public_key_t *ed;
  tor_addr_port_t ap;

  memset(hop, 0, sizeof(*hop));
  if (fast_mem_is_zero(rsa_digest, DIGEST_LEN))
    return;
  memcpy(hop->rsa, rsa_digest, DIGEST_LEN);
  node = node_get_by_id(rsa_digest);
  if (!node)
    return;
  hop->speaks = payment_digest_speaks(rsa_digest);
  ed = node_get_ed25519_id(node);
  if (ed)
    memcpy(hop->ed, ed->pubkey, ED25519_PUBKEY_LEN);
  if (node_get_nickname(node))
    strlcpy(hop->nickname, node_get_nickname(node), sizeof(hop->nickname));
  node_get_prim_orport(node, &ap);
  if (tor_addr_to_str(hop->address, &ap.addr, sizeof(hop->address), 0))
    hop->port = ap.port;
  else
    hop->address[0] = '\0';
}

/** As payment_fill_hop(), for a hop that we extended to: what the node list
 * does not know, the extend info may. */
static void
fill_hop_from_extend_info(mw_hop_t *hop, const extend_info_t *ei)
{
  const tor_addr_port_t *ap;

  memset(hop, 0, sizeof(*hop));
  if (!ei)
    return;
  payment_fill_hop(hop, ei->identity_digest);
  if (fast_mem_is_zero((const char *)hop->ed, sizeof(hop->ed)))
    memcpy(hop->ed, ei->ed_identity.pubkey, ED25519_PUBKEY_LEN);
  if (!hop->nickname[0] && ei->nickname[0] != '$')
    strlcpy(hop->nickname, ei->nickname, sizeof(hop->nickname));
  if (!hop->port && (ap = extend_info_pick_orport(ei)) &&
      tor_addr_to_str(hop->address, &ap->addr, sizeof(hop->address), 0))
    hop->port = ap->port;
}

/** Fill in what every event about <b>hop</b> of <b>pc</b> says. */
static void
init_event(mw_event_t *ev, const payment_circ_t *pc, uint32_t kind,
           unsigned hop)
{
  memset(ev, 0, sizeof(*ev));
  ev->kind = kind;
  ev->role = pc->role;
  ev->circ = pc->id;
  ev->token = pc->token;
  ev->hop = hop;
  if (pc->role == MW_ROLE_RELAY) {
    ev->channel = pc->channel;
    ev->state = pc->service.state;
    ev->prev_is_client = pc->prev_is_client;
    ev->speaks_hello = pc->hello;
    ev->held_cells = (uint64_t)pc->service.in.n + pc->service.out.n;
    ev->in_cells = pc->hop[0].in;
    ev->out_cells = pc->hop[0].out;
  } else {
    ev->purpose = pc->circ->purpose;
    ev->set = payment_conflux_set(pc->circ);
    ev->idle = pc->idle;
    if (hop >= 1 && hop <= MW_MAX_HOPS) {
      ev->in_cells = pc->hop[hop].in;
      ev->out_cells = pc->hop[hop].out;
    }
  }
}

/** Tell the host that <b>kind</b> happened to <b>hop</b>. */
void
payment_emit(payment_circ_t *pc, uint32_t kind, unsigned hop)
{
  mw_event_t ev;
  init_event(&ev, pc, kind, hop);
  payment_call_host(&ev);
}

/** Tell the host where this circuit leads. */
void
payment_emit_circuit(payment_circ_t *pc)
{
  mw_hop_t hops[MW_MAX_HOPS];
  mw_event_t ev;
  unsigned n = 0, h;

  init_event(&ev, pc, MW_EV_CIRCUIT, 0);
  if (pc->role == MW_ROLE_ORIGIN) {
    n = payment_n_hops(pc->circ);
    for (h = 0; h < n; ++h)
      fill_hop_from_extend_info(&hops[h],
                          payment_cpath_hop(pc->circ, h + 1)->extend_info);
  } else {
    const channel_t *prev = TO_OR_CIRCUIT(pc->circ)->p_chan;
    memset(hops, 0, 2 * sizeof(hops[0]));
    /* Perhaps a relay that the consensus did not name when the circuit was
     * made; tor itself marks such a channel as a relay's only when the next
     * circuit comes over it. */
    if (prev && connection_or_digest_is_known_relay(prev->identity_digest))
      payment_fill_hop(&hops[0], prev->identity_digest);
    n = 1;
    if (pc->circ->n_chan) {
      payment_fill_hop(&hops[1], pc->circ->n_chan->identity_digest);
      n = 2;
    }
  }
  ev.hops = hops;
  ev.n_hops = n;
  payment_call_host(&ev);
}

/** Hand a valid payment cell, stamp and all, to the host. */
void
payment_emit_cell(payment_circ_t *pc, unsigned hop, const uint8_t *cell,
                  size_t len)
{
  mw_event_t ev;
  init_event(&ev, pc, MW_EV_CELL, hop);
  if (pc->role == MW_ROLE_ORIGIN) {
    ev.peer_in_cells = tor_ntohll(get_uint64(cell + 2));
    ev.peer_out_cells = tor_ntohll(get_uint64(cell + 10));
  }
  ev.body = cell + MW_STAMP_LEN;
  ev.body_len = (uint32_t)(len - MW_STAMP_LEN);
  payment_call_host(&ev);
}

/** One event of <b>kind</b> with the counters of each hop, or of those only
 * that speak. */
static void
emit_each_hop(payment_circ_t *pc, uint32_t kind, bool only_speaking)
{
  const unsigned n = payment_n_hops(pc->circ);
  unsigned h;
  for (h = 1; h <= n; ++h) {
    if (!only_speaking || pc->hop[h].speaks)
      payment_emit(pc, kind, h);
  }
}

/** Tell the host that this circuit is gone. */
void
payment_emit_closed(payment_circ_t *pc, uint32_t reason)
{
  mw_event_t ev;
  if (pc->role == MW_ROLE_ORIGIN)
    emit_each_hop(pc, MW_EV_CLOSED, true);
  init_event(&ev, pc, MW_EV_CLOSED, 0);
  ev.reason = reason;
  payment_call_host(&ev);
}

/** Answer mw_query(). A relay says its neighbours again: the consensus may
 * have named one only after the circuit was made. */
void
payment_emit_counters(payment_circ_t *pc)
{
  if (pc->role == MW_ROLE_ORIGIN) {
    emit_each_hop(pc, MW_EV_COUNTERS, false);
  } else {
    payment_emit_circuit(pc);
    payment_emit(pc, MW_EV_COUNTERS, 0);
  }
}

/** mw_launch() came to nothing. */
void
payment_emit_launch_failed(uint64_t token, uint32_t reason)
{
  mw_event_t ev;
  memset(&ev, 0, sizeof(ev));
  ev.kind = MW_EV_LAUNCH_FAILED;
  ev.role = MW_ROLE_ORIGIN;
  ev.token = token;
  ev.reason = reason;
  payment_call_host(&ev);
}

/** tor's main loop runs. */
void
payment_emit_ready(void)
{
  mw_event_t ev;
  memset(&ev, 0, sizeof(ev));
  ev.kind = MW_EV_READY;
  payment_call_host(&ev);
}
