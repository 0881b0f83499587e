/* SPDX-License-Identifier: BSD-3-Clause
 *
 * host.c -- the smallest possible host of the patched tor, for tests.
 *
 *   host [--echo] [--guard] [--policy name=value,...] -- tor's own arguments
 *
 * Events go to standard output, one JSON object a line. Commands come from
 * standard input, one a line (numbers decimal, bodies hex, "-" = empty):
 *
 *   send CIRC HOP BODY        mw_send()
 *   raw CIRC HOP BODY         a payment cell with exactly this body, stamp
 *                             included or not, past every check of ours
 *   begindir CIRC HOP         the beginning of a directory stream of no one
 *   flood CIRC HOP N          N payment cells at once
 *   grant CIRC CELLS          mw_grant()
 *   watch CIRC HOP CELLS      mw_watch()
 *   query CIRC | close CIRC   mw_query(), mw_close()
 *   abandon CIRC              mw_abandon()
 *   launch TOKEN RSA FLAGS    mw_launch()
 *   policy name=value,...     mw_set_policy()
 *   stats                     mw_stats(), and our resident memory
 *   quit                      end tor
 *
 * With --guard only programs of our own user and of root may use SOCKS ports
 * over IPv4. With --echo every payment cell that arrives at a relay is answered
 * with its own body. "raw" and "begindir" reach into tor on tor's thread: a
 * product must not.
 */

#include "orconfig.h"
#include "core/or/or.h"
#include "core/or/circuit_st.h"
#include "core/or/circuitlist.h"
#include "core/or/crypt_path_st.h"
#include "core/or/relay.h"
#include "feature/api/tor_api.h"
#include "feature/payment/payment_internal.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t out_mutex = PTHREAD_MUTEX_INITIALIZER;
static int echo = 0;
static mw_policy_t policy = {
  .enabled = 1, .relay_enabled = 1, .stock_clients = MW_STOCK_BEST_EFFORT,
  .free_cells = 127, .free_cells_address = 1000, .free_cells_channel = 1000,
  .free_refill_ms = 10, .base_cells = 32, .trickle_bytes = 8192,
  .grace_ms = 3000, .max_held_cells = 2000, .max_held_total = 20000,
};

/* A stream id that tor gives to none of its own so early. */
#define NOBODYS_STREAM 60000

/* What "raw" or "begindir" wants; tor's thread picks it up when the counters
 * event comes. */
static struct {
  uint64_t circ;
  uint32_t hop;
  uint8_t command;
  uint8_t body[512];
  size_t len;
  int wanted;
} raw;

static void
set_policy(const char *list)
{
  char *copy = strdup(list), *save = NULL, *item;
  for (item = strtok_r(copy, ",", &save); item;
       item = strtok_r(NULL, ",", &save)) {
    char name[64];
    unsigned value;
    if (sscanf(item, "%63[^=]=%u", name, &value) != 2)
      continue;
#define SET(member) if (!strcmp(name, #member)) policy.member = value
    SET(enabled); SET(relay_enabled); SET(stock_clients); SET(free_cells);
    SET(free_cells_address); SET(free_cells_channel); SET(free_refill_ms);
    SET(base_cells); SET(trickle_bytes); SET(grace_ms); SET(max_held_cells);
    SET(max_held_total);
#undef SET
  }
  free(copy);
}

static size_t
from_hex(const char *hex, uint8_t *out, size_t max)
{
  size_t n = 0;
  unsigned byte;
  if (!strcmp(hex, "-"))
    return 0;
  while (n < max && sscanf(hex + 2 * n, "%2x", &byte) == 1)
    out[n++] = (uint8_t) byte;
  return n;
}

static void
print_hex(const char *name, const uint8_t *data, size_t len)
{
  printf(",\"%s\":\"", name);
  for (size_t i = 0; i < len; ++i)
    printf("%02x", data[i]);
  printf("\"");
}

/* On tor's thread: send a cell that need not be a good one. */
static void
send_raw(void)
{
  payment_circ_t *pc = payment_circ_find(raw.circ);
  crypt_path_t *layer = NULL;
  if (!pc)
    return;
  if (pc->role == MW_ROLE_ORIGIN)
    layer = (crypt_path_t *) payment_cpath_hop(pc->circ, raw.hop);
  relay_send_command_from_edge(
    raw.command == RELAY_COMMAND_PAYMENT ? 0 : NOBODYS_STREAM, pc->circ,
    raw.command, (const char *) raw.body, raw.len, layer);
}

/* Have tor's thread send such a cell. */
static int
order_raw(uint64_t circ, uint32_t hop, uint8_t command, const char *hex)
{
  int n;
  for (n = 0; n < 2000 && __atomic_load_n(&raw.wanted, __ATOMIC_ACQUIRE); ++n)
    usleep(1000);
  raw.circ = circ;
  raw.hop = hop;
  raw.command = command;
  raw.len = from_hex(hex, raw.body, sizeof(raw.body));
  __atomic_store_n(&raw.wanted, 1, __ATOMIC_RELEASE);
  return mw_query(circ);
}

/* Relay cell format (0 or 1) that is spoken with a hop of our own circuit. */
static int
cell_format(const mw_event_t *ev, unsigned hop)
{
  payment_circ_t *pc = payment_circ_find(ev->circ);
  const crypt_path_t *layer = NULL;
  if (pc && pc->role == MW_ROLE_ORIGIN)
    layer = payment_cpath_hop(pc->circ, hop);
  return layer && layer->relay_cell_format == RELAY_CELL_FORMAT_V1;
}

static int32_t
on_event(void *arg, const mw_event_t *ev)
{
  (void) arg;
  /* Before anybody reads of the event and asks for the next one. */
  if (ev->kind == MW_EV_COUNTERS &&
      __atomic_load_n(&raw.wanted, __ATOMIC_ACQUIRE) &&
      ev->circ == raw.circ) {
    send_raw();
    __atomic_store_n(&raw.wanted, 0, __ATOMIC_RELEASE);
  }
  pthread_mutex_lock(&out_mutex);
  printf("{\"kind\":%u,\"role\":%u,\"circ\":%" PRIu64 ",\"token\":%" PRIu64
         ",\"channel\":%" PRIu64 ",\"hop\":%u,\"state\":%u,\"reason\":%u"
         ",\"client\":%u,\"hello\":%u,\"purpose\":%u,\"in\":%" PRIu64
         ",\"out\":%" PRIu64 ",\"peer_in\":%" PRIu64 ",\"peer_out\":%" PRIu64
         ",\"held\":%" PRIu64 ",\"set\":%" PRIu64,
         ev->kind, ev->role, ev->circ, ev->token, ev->channel, ev->hop,
         ev->state, ev->reason, ev->prev_is_client, ev->speaks_hello,
         ev->purpose, ev->in_cells, ev->out_cells, ev->peer_in_cells,
         ev->peer_out_cells, ev->held_cells, ev->set);
  if (ev->kind == MW_EV_CELL)
    print_hex("body", ev->body, ev->body_len);
  if (ev->n_hops) {
    printf(",\"hops\":[");
    for (uint32_t i = 0; i < ev->n_hops; ++i) {
      const mw_hop_t *h = &ev->hops[i];
      printf("%s{\"nick\":\"%s\",\"address\":\"%s\",\"port\":%u,"
             "\"speaks\":%u,\"format\":%d", i ? "," : "", h->nickname,
             h->address, h->port, h->speaks, cell_format(ev, i + 1));
      print_hex("rsa", h->rsa, sizeof(h->rsa));
      print_hex("ed", h->ed, sizeof(h->ed));
      printf("}");
    }
    printf("]");
  }
  printf("}\n");
  fflush(stdout);
  pthread_mutex_unlock(&out_mutex);

  if (echo && ev->kind == MW_EV_CELL && ev->role == MW_ROLE_RELAY)
    mw_send(ev->circ, 0, ev->body, ev->body_len);
  return 0;
}

/* Is the program at the other end ours, or root's? */
static int32_t
on_entry(void *arg, const mw_entry_t *e)
{
  uint32_t client, server;
  char line[512];
  int32_t found = 0;
  FILE *f = fopen("/proc/net/tcp", "r");
  (void) arg;
  memcpy(&client, e->client + 12, 4);
  memcpy(&server, e->server + 12, 4);
  while (f && !found && fgets(line, sizeof(line), f)) {
    unsigned at, at_port, to, to_port, uid;
    if (sscanf(line, " %*d: %8X:%4X %8X:%4X %*X %*s %*s %*s %u",
               &at, &at_port, &to, &to_port, &uid) == 5)
      found = at == client && at_port == e->client_port && to == server &&
              to_port == e->server_port && (uid == 0 || uid == geteuid());
  }
  if (f)
    fclose(f);
  return found;
}

static unsigned long
resident_kib(void)
{
  unsigned long kib = 0;
  char line[256];
  FILE *f = fopen("/proc/self/status", "r");
  while (f && fgets(line, sizeof(line), f))
    sscanf(line, "VmRSS: %lu", &kib);
  if (f)
    fclose(f);
  return kib;
}

static void
print_stats(void)
{
  mw_stats_t s;
  mw_stats(&s);
  pthread_mutex_lock(&out_mutex);
  printf("{\"kind\":\"stats\",\"events_dropped\":%" PRIu64
         ",\"commands_dropped\":%" PRIu64 ",\"sent\":%" PRIu64
         ",\"received\":%" PRIu64 ",\"invalid\":%" PRIu64
         ",\"held_now\":%" PRIu64 ",\"held_peak\":%" PRIu64
         ",\"rss_kib\":%lu,\"version\":\"%s\"}\n",
         s.events_dropped, s.commands_dropped, s.cells_sent, s.cells_received,
         s.cells_invalid, s.held_now, s.held_peak, resident_kib(),
         mw_tor_version());
  fflush(stdout);
  pthread_mutex_unlock(&out_mutex);
}

static void
report(const char *what, int r)
{
  pthread_mutex_lock(&out_mutex);
  printf("{\"kind\":\"result\",\"call\":\"%s\",\"value\":%d}\n", what, r);
  fflush(stdout);
  pthread_mutex_unlock(&out_mutex);
}

static int
run_line(const char *line)
{
  uint64_t circ = 0, cells = 0;
  uint32_t hop = 0;
  char hex[2048];
  uint8_t body[1024];
  int r = MW_BAD;

  if (sscanf(line, "send %" SCNu64 " %u %2047s", &circ, &hop, hex) == 3) {
    r = mw_send(circ, hop, body, from_hex(hex, body, sizeof(body)));
  } else if (sscanf(line, "raw %" SCNu64 " %u %2047s", &circ, &hop, hex)
             == 3) {
    r = order_raw(circ, hop, RELAY_COMMAND_PAYMENT, hex);
  } else if (sscanf(line, "begindir %" SCNu64 " %u", &circ, &hop) == 2) {
    r = order_raw(circ, hop, RELAY_COMMAND_BEGIN_DIR, "-");
  } else if (sscanf(line, "flood %" SCNu64 " %u %" SCNu64, &circ, &hop,
                    &cells) == 3) {
    memset(body, 0x46, MW_BODY_MAX);
    for (r = 0; cells && r == MW_OK; --cells)
      r = mw_send(circ, hop, body, MW_BODY_MAX);
  } else if (sscanf(line, "grant %" SCNu64 " %" SCNu64, &circ, &cells) == 2) {
    r = mw_grant(circ, cells);
  } else if (sscanf(line, "watch %" SCNu64 " %u %" SCNu64, &circ, &hop,
                    &cells) == 3) {
    r = mw_watch(circ, hop, cells);
  } else if (sscanf(line, "query %" SCNu64, &circ) == 1) {
    r = mw_query(circ);
  } else if (sscanf(line, "close %" SCNu64, &circ) == 1) {
    r = mw_close(circ);
  } else if (sscanf(line, "abandon %" SCNu64, &circ) == 1) {
    r = mw_abandon(circ);
  } else if (sscanf(line, "launch %" SCNu64 " %2047s %u", &circ, hex, &hop)
             == 3) {
    from_hex(hex, body, 20);
    r = mw_launch(circ, body, hop);
  } else if (sscanf(line, "policy %2047s", hex) == 1) {
    set_policy(hex);
    r = mw_set_policy(&policy);
  } else if (!strncmp(line, "stats", 5)) {
    print_stats();
    return 0;
  } else if (!strncmp(line, "quit", 4)) {
    return -1;
  }
  if (r != MW_OK)
    report(line, r);
  return 0;
}

static void *
read_commands(void *arg)
{
  char line[4096];
  (void) arg;
  while (fgets(line, sizeof(line), stdin)) {
    line[strcspn(line, "\n")] = '\0';
    if (run_line(line) < 0)
      break;
  }
  /* Asked to, or whoever held our standard input is gone. */
  kill(getpid(), SIGTERM);
  return NULL;
}

int
main(int argc, char **argv)
{
  tor_main_configuration_t *cfg = tor_main_configuration_new();
  pthread_t thread;
  int i, r, guard = 0;

  for (i = 1; i < argc && strcmp(argv[i], "--"); ++i) {
    if (!strcmp(argv[i], "--echo"))
      echo = 1;
    else if (!strcmp(argv[i], "--guard"))
      guard = 1;
    else if (!strcmp(argv[i], "--policy") && i + 1 < argc)
      set_policy(argv[++i]);
  }
  argv[i < argc ? i : 0] = argv[0];
  if (i >= argc)
    i = 0;
  if (mw_install(on_event, NULL, &policy) != 0 ||
      mw_install(on_event, NULL, &policy) != -1)
    return 2;
  if (guard && (mw_guard(on_entry, NULL) != 0 ||
                mw_guard(on_entry, NULL) != -1))
    return 2;
  if (pthread_create(&thread, NULL, read_commands, NULL) != 0)
    return 2;
  pthread_detach(thread);
  tor_main_configuration_set_command_line(cfg, argc - i, argv + i);
  r = tor_run_main(cfg);
  tor_main_configuration_free(cfg);
  printf("{\"kind\":\"end\",\"value\":%d,\"after\":%d}\n", r, mw_query(1));
  fflush(stdout);
  return r;
}
