/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) The MagicWave developers. See LICENSE for licensing
 * information. */

/**
 * @file payment.h
 * @brief What the rest of tor calls: one function per call site.
 *
 * Every function here may be called at any time and does nothing unless a
 * host installed itself with mw_install() (magicwave_tor.h).
 **/

#ifndef TOR_FEATURE_PAYMENT_PAYMENT_H
#define TOR_FEATURE_PAYMENT_PAYMENT_H

#include "core/or/or.h"

struct relay_msg_t;

/* Start and end (payment_sys.c) */
void payment_mainloop_start(void);
char *payment_protocol_list(const char *supported);

/* Lives of circuits (payment_circ.c) */
void payment_circuit_opened(origin_circuit_t *circ);
void payment_circuit_free(circuit_t *circ);

/* Every relay cell passes one of these (payment_count.c, payment_hold.c) */
void payment_note_sent(circuit_t *circ, uint8_t relay_command,
                       const crypt_path_t *layer);
void payment_note_recognized(circuit_t *circ, uint8_t relay_command,
                             const crypt_path_t *layer);
int payment_pass_on(circuit_t *circ, const cell_t *cell,
                    cell_direction_t direction);
bool payment_hold_inbound(circuit_t *circ, const cell_t *cell);

/* Payment cells (payment_cell.c) */
void payment_process_cell(circuit_t *circ, const crypt_path_t *layer,
                          const struct relay_msg_t *msg);

/* The ends of a circuit (payment_edge.c) */
bool payment_edges_held(const circuit_t *circ);
bool payment_defer_sendme(circuit_t *circ, const crypt_path_t *layer,
                          streamid_t stream_id, uint8_t relay_command,
                          const char *body, size_t len);

/* Who may use our entry ports (payment_entry.c) */
bool payment_entry_refused(const connection_t *listener, tor_socket_t s,
                           const tor_addr_t *client, uint16_t port);

/* What else tor wants to know (payment_hold.c) */
size_t payment_held_bytes(void);
size_t payment_handle_oom(size_t current_allocation);
double payment_ewma_weight(const circuit_t *circ);

#endif /* !defined(TOR_FEATURE_PAYMENT_PAYMENT_H) */
