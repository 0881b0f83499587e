/* SPDX-License-Identifier: BSD-3-Clause
 *
 * magicwave_tor.h -- the whole interface between tor's thread and its host.
 *
 * tor side:  patches/tor/payment/ (compiled into libtor.a as src/feature/payment/)
 * host side: src/tor/sys.rs (bindgen) and src/tor/hooks.rs (the safe wrapper)
 *
 * Threads. The callbacks run on tor's main thread: it must not block, must not unwind and
 * must copy what it wants to keep. Every mw_* function below may be called from any thread at any
 * time after mw_install(); they append to a bounded locked queue, wake tor's main loop and return
 * at once. None of them reads tor's data from a foreign thread.
 *
 * Units. Everything that is counted is a relay cell (514 bytes on the wire with a 4-byte circuit
 * id), both directions added up by the host, payment cells to or from the counting hop left out.
 */
#ifndef MAGICWAVE_TOR_H
#define MAGICWAVE_TOR_H

#include <stddef.h>
#include <stdint.h>

#define MW_ABI_VERSION 1

/* One payment cell: at most MW_CELL_MAX bytes of relay body, the first MW_STAMP_LEN of them the
 * stamp: version(1) flags(1) in_cells(8, big endian) out_cells(8, big endian). The C side fills the
 * stamp of every cell that a relay sends to the origin of a circuit, with that relay's own counters
 * at the moment the cell is encrypted; in cells of an origin it is {1, 0, 0, 0}. mw_send() takes and
 * MW_EV_CELL gives the body without the stamp. */
#define MW_CELL_MAX 490
#define MW_STAMP_LEN 18
#define MW_BODY_MAX (MW_CELL_MAX - MW_STAMP_LEN)

#define MW_MAX_HOPS 8

/* A relay on a path, as tor knows it. */
typedef struct mw_hop_t {
  uint8_t rsa[20];      /* RSA identity digest; all zero = unknown */
  uint8_t ed[32];       /* ed25519 identity; all zero = unknown */
  char nickname[24];    /* NUL-terminated, "" = unknown */
  char address[64];     /* NUL-terminated printable address, "" = unknown */
  uint16_t port;        /* OR port, 0 = unknown */
  uint8_t speaks;       /* 1 = the consensus says that it understands payment cells */
  uint8_t reserved;
} mw_hop_t;

/* Why the callback was called. */
enum {
  /* A circuit became known or changed. Origin: all its hops are open, `hops` is the path.
   * Relay: created (n_hops 1) or extended (n_hops 2): hops[0] is the previous hop (all zero
   * when it is a client), hops[1] the next one. */
  MW_EV_CIRCUIT = 1,
  /* Origin: the first BEGIN (not BEGIN_DIR) was sent: payment cells may be sent from now on. On a
   * leg of a conflux set, `set`: the set's first BEGIN, or the leg's first data when it came later. A leg that the BEGIN
   * did not take is `idle`, and a second event comes with its first data. */
  MW_EV_BEGIN = 2,
  /* A payment cell arrived: `body`; at an origin `hop` says who spoke, peer_* is its stamp. */
  MW_EV_CELL = 3,
  /* Relay: the circuit's service state changed: `state`. */
  MW_EV_STATE = 4,
  /* The counters of (circ, hop) reached what mw_watch() asked for; fires once per mw_watch(). */
  MW_EV_WATCH = 5,
  /* The circuit is gone; its number will never be used again. Final counters at a relay
   * (hop 0); at an origin one event per speaking hop, the last one with hop 0. */
  MW_EV_CLOSED = 6,
  /* Answer to mw_query(): one event per hop at an origin (hop 1..n), one with hop 0 at a relay,
   * after an MW_EV_CIRCUIT with what the consensus says of its neighbours now. */
  MW_EV_COUNTERS = 7,
  /* mw_launch() failed before there was a circuit: `token`, `reason`. */
  MW_EV_LAUNCH_FAILED = 8,
  /* tor is up and its main loop runs (before bootstrap). */
  MW_EV_READY = 9,
};

enum { MW_ROLE_NONE = 0, MW_ROLE_ORIGIN = 1, MW_ROLE_RELAY = 2 };

/* Service state of a circuit at a relay. */
enum {
  MW_STATE_OPEN = 0,     /* inside its window or what was paid, or best effort */
  MW_STATE_TRICKLE = 1,  /* used up: cells pass at the trickle rate */
  MW_STATE_STOPPED = 2,  /* grace is over: only payment cells pass */
};

typedef struct mw_event_t {
  uint32_t kind;
  uint32_t role;
  uint64_t circ;          /* at an origin: tor's global circuit id; never used twice in a process */
  uint64_t token;         /* of mw_launch(), 0 for a circuit that tor launched itself */
  uint64_t channel;       /* relay: id of the channel to the previous hop, never used twice */
  uint32_t hop;           /* origin: 1 = guard ..; relay: 0 */
  uint32_t state;         /* MW_STATE_* */
  uint32_t reason;        /* tor's END_CIRC_REASON_* on close, 0 = none */
  uint32_t prev_is_client;/* relay: 1 when the previous hop is no relay, so we are the guard */
  uint32_t speaks_hello;  /* relay: 1 once the origin sent a payment cell on this circuit */
  uint32_t purpose;       /* origin: tor's CIRCUIT_PURPOSE_* */
  uint32_t idle;          /* origin: 1 = a leg of a set that has begun and carries nothing yet */
  uint64_t in_cells;      /* own count for (circ, hop), towards the origin */
  uint64_t out_cells;     /* own count for (circ, hop), away from the origin */
  uint64_t peer_in_cells; /* stamp of the speaker, MW_EV_CELL at an origin */
  uint64_t peer_out_cells;
  uint64_t held_cells;    /* relay: cells held for this circuit now */
  const mw_hop_t *hops;   /* MW_EV_CIRCUIT */
  uint32_t n_hops;
  uint32_t body_len;      /* MW_EV_CELL */
  const uint8_t *body;
  uint64_t set;           /* origin: the conflux set that the circuit is a leg of now, 0 = none */
} mw_event_t;

/* Return 0, or anything else when the event had to be dropped (the C side counts it and goes on). */
typedef int32_t (*mw_event_fn)(void *host, const mw_event_t *event);

/* Circuits whose origin never sent a payment cell. */
enum { MW_STOCK_BEST_EFFORT = 0, MW_STOCK_PAID_ONLY = 1 };

typedef struct mw_policy_t {
  uint32_t enabled;             /* 0: count nothing, advertise nothing, hold nothing */
  uint32_t relay_enabled;       /* 1: advertise and enforce as a relay; 0: client only */
  uint32_t stock_clients;       /* MW_STOCK_* */
  uint32_t free_cells;          /* free window per circuit (behind a guard at most 127 = 64 KiB) */
  uint32_t free_cells_address;  /* guard: free cells outstanding per client address */
  uint32_t free_cells_channel;  /* behind a guard: free cells outstanding per upstream channel */
  uint32_t free_refill_ms;      /* one free cell returns to a pool each so many ms */
  uint32_t base_cells;          /* small allowance every circuit gets although its pool is empty */
  uint32_t trickle_bytes;       /* bytes per second while MW_STATE_TRICKLE */
  uint32_t grace_ms;            /* from TRICKLE to STOPPED */
  uint32_t max_held_cells;      /* per circuit; beyond it the circuit is closed (RESOURCELIMIT) */
  uint32_t max_held_total;      /* all circuits together, cells */
} mw_policy_t;

/* Before tor_run_main(). Keeps fn and host, copies policy. 0, or -1 when called twice. */
int mw_install(mw_event_fn fn, void *host, const mw_policy_t *policy);
/* Replace the policy of a running tor (relay_enabled and enabled keep their first value). */
int mw_set_policy(const mw_policy_t *policy);

/* A program that wants streams of us: a connection to a SOCKS port or another entry port, over TCP.
 * Addresses are IPv6 ones in network order, IPv4 mapped into them (::ffff:0:0/96). */
typedef struct mw_entry_t {
  uint8_t client[16];     /* the program's end */
  uint8_t server[16];     /* ours */
  uint16_t client_port;
  uint16_t server_port;
} mw_entry_t;

/* Runs on tor's main thread, once per connection, before a byte of it is read. Return 1 to take it;
 * after anything else it is closed. */
typedef int32_t (*mw_guard_fn)(void *host, const mw_entry_t *entry);

/* After mw_install(), before tor_run_main(): ask `fn` about each such connection. Without it everybody
 * is taken. Unix sockets are never asked about: the mode of their file guards them. DNSPort is UDP and
 * is not asked about either. 0, or -1 when called twice. */
int mw_guard(mw_guard_fn fn, void *host);

/* Results of the calls below: */
enum { MW_OK = 0, MW_FULL = -1, MW_BAD = -2, MW_DOWN = -3 };

/* Queue one payment cell. Origin: to `hop` (1..n); relay: hop 0, to the origin. A cell for a
 * circuit or hop that is gone, not open, does not speak, or whose queue is full is dropped. */
int mw_send(uint64_t circ, uint32_t hop, const uint8_t *body, size_t len);
/* Relay: `cells` (in + out, cumulative over the circuit's life) are paid for. Never lowers. */
int mw_grant(uint64_t circ, uint64_t cells);
/* Fire MW_EV_WATCH when in + out of (circ, hop) reaches `cells` (at once when it already did). */
int mw_watch(uint64_t circ, uint32_t hop, uint64_t cells);
int mw_query(uint64_t circ);
/* Build a circuit that ends at the relay with this RSA identity: one hop, or a path of tor's own
 * choice before it. It carries no streams and is not closed for being idle. MW_EV_CIRCUIT or
 * MW_EV_LAUNCH_FAILED/MW_EV_CLOSED with `token` tells how it went. */
enum { MW_LAUNCH_ONE_HOP = 1 };
int mw_launch(uint64_t token, const uint8_t rsa[20], uint32_t flags);
int mw_close(uint64_t circ);
/* Origin: attach no new stream to this circuit, nor to the other legs of its conflux set; tor builds
 * another by its own rules when a stream wants one. What rides it already stays. */
int mw_abandon(uint64_t circ);

/* Counts of what the C side dropped, for status; any thread. */
typedef struct mw_stats_t {
  uint64_t events_dropped;
  uint64_t commands_dropped;
  uint64_t cells_sent;       /* payment cells */
  uint64_t cells_received;
  uint64_t cells_invalid;    /* payment cells that were malformed, unexpected or too long */
  uint64_t held_now;
  uint64_t held_peak;
  uint64_t cells_own;        /* all relay cells of our own circuits, both ways */
} mw_stats_t;
void mw_stats(mw_stats_t *out);
/* "0.4.9.11" */
const char *mw_tor_version(void);

#endif /* MAGICWAVE_TOR_H */
