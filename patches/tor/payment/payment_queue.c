/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) The MagicWave developers. See LICENSE for licensing
 * information. */

/**
 * @file payment_queue.c
 * @brief How other threads talk to tor's: a bounded queue and a wake-up.
 *
 * The mw_* functions of magicwave_tor.h only append to the queue, under a
 * mutex that is held for a few instructions, and wake the main loop through
 * tor's alert sockets. tor's own locks and its main-loop events cannot be
 * used for that: the former do not exist before tor_run_main(), the latter
 * are not safe from a foreign thread.
 **/

#include "feature/payment/payment_internal.h"
#include "core/or/circuit_st.h"
#include "core/or/circuitlist.h"
#include "core/or/circuituse.h"
#include "lib/evloop/compat_libevent.h"
#include "lib/log/log.h"
#include "lib/net/alertsock.h"

#include <event2/event.h>
#include <pthread.h>

/** Most commands that wait at a time (at most about 2.3 MB). */
#define MAX_COMMANDS 4096
/** Most commands that are carried out before other events get their turn. */
#define MAX_BATCH 256

enum { CMD_SEND, CMD_GRANT, CMD_WATCH, CMD_QUERY, CMD_LAUNCH, CMD_CLOSE,
       CMD_ABANDON, CMD_POLICY };

/** One call of a mw_* function. */
typedef struct command_t {
  struct command_t *next;
  int kind;
  uint32_t hop;
  uint32_t flags;
  uint64_t circ;
  uint64_t cells;
  uint64_t token;
  size_t len;
  union {
    uint8_t body[MW_BODY_MAX];
    uint8_t rsa[DIGEST_LEN];
    mw_policy_t policy;
  } u;
} command_t;

/** Guards the members of queue, and the write end of the alert sockets. */
static pthread_mutex_t queue_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct {
  command_t *first;
  command_t **last;
  unsigned n;
  /** The main loop was woken and did not look yet. */
  bool alerted;
  /** The alert sockets exist. */
  bool running;
} queue = { NULL, NULL, 0, false, false };

static alert_sockets_t alert_socks;
static struct event *alert_event = NULL;

/** Wake the main loop; the mutex is held. */
static void
alert_main_loop(void)
{
  if (!queue.running || queue.alerted)
    return;
  if (alert_socks.alert_fn(alert_socks.write_fd) == 0)
    queue.alerted = true;
}

/** Append a copy of <b>cmd</b>. */
static int
push(const command_t *cmd)
{
  command_t *copy;

  if (payment_is_down() || !payment_on())
    return MW_DOWN;
  /* Not tor_malloc(): it ends the process when there is no memory. */
  copy = raw_malloc(sizeof(*copy));
  if (!copy)
    return MW_FULL;
  memcpy(copy, cmd, sizeof(*copy));
  copy->next = NULL;

  pthread_mutex_lock(&queue_mutex);
  if (queue.n >= MAX_COMMANDS) {
    pthread_mutex_unlock(&queue_mutex);
    raw_free(copy);
    payment_stat_add(commands_dropped, 1);
    return MW_FULL;
  }
  if (!queue.first)
    queue.last = &queue.first;
  *queue.last = copy;
  queue.last = &copy->next;
  ++queue.n;
  alert_main_loop();
  pthread_mutex_unlock(&queue_mutex);
  return MW_OK;
}

/** Take the oldest command; NULL when there is none. */
static command_t *
pop(void)
{
  command_t *cmd;
  pthread_mutex_lock(&queue_mutex);
  cmd = queue.first;
  if (cmd) {
    queue.first = cmd->next;
    --queue.n;
  }
  pthread_mutex_unlock(&queue_mutex);
  return cmd;
}

/** Carry out a command that concerns one circuit. */
static void
run_for_circ(const command_t *cmd)
{
  payment_circ_t *pc = payment_circ_find(cmd->circ);

  if (!pc || pc->circ->marked_for_close) {
    payment_stat_add(commands_dropped, 1);
    return;
  }
  switch (cmd->kind) {
    case CMD_SEND:
      payment_do_send(pc, cmd->hop, cmd->u.body, cmd->len);
      break;
    case CMD_GRANT:
      payment_grant(pc, cmd->cells);
      payment_pump(pc);
      break;
    case CMD_WATCH:
      if ((pc->role == MW_ROLE_RELAY) != (cmd->hop == 0)) {
        payment_stat_add(commands_dropped, 1);
        break;
      }
      pc->hop[cmd->hop].watch = MAX(cmd->cells, 1);
      payment_check_watch(pc, cmd->hop);
      break;
    case CMD_QUERY:
      payment_emit_counters(pc);
      break;
    case CMD_CLOSE:
      circuit_mark_for_close(pc->circ, END_CIRC_REASON_FINISHED);
      break;
    case CMD_ABANDON:
      if (pc->role != MW_ROLE_ORIGIN) {
        payment_stat_add(commands_dropped, 1);
        break;
      }
      mark_circuit_unusable_for_new_conns(TO_ORIGIN_CIRCUIT(pc->circ));
      break;
  }
}

/** Carry out what waits, but not so much that tor's own work waits. */
static void
run_commands(void)
{
  unsigned n;
  for (n = 0; n < MAX_BATCH; ++n) {
    command_t *cmd = pop();
    if (!cmd)
      return;
    if (cmd->kind == CMD_LAUNCH)
      payment_do_launch(cmd->token, cmd->u.rsa, cmd->flags);
    else if (cmd->kind == CMD_POLICY)
      payment_apply_policy(&cmd->u.policy);
    else
      run_for_circ(cmd);
    raw_free(cmd);
  }
  pthread_mutex_lock(&queue_mutex);
  if (queue.first)
    alert_main_loop();
  pthread_mutex_unlock(&queue_mutex);
}

/** Somebody called. */
static void
alert_cb(evutil_socket_t fd, short what, void *arg)
{
  (void) fd;
  (void) what;
  (void) arg;
  pthread_mutex_lock(&queue_mutex);
  alert_socks.drain_fn(alert_socks.read_fd);
  queue.alerted = false;
  pthread_mutex_unlock(&queue_mutex);
  run_commands();
}

/** The first turn of the main loop. */
static void
ready_cb(evutil_socket_t fd, short what, void *arg)
{
  (void) fd;
  (void) what;
  (void) arg;
  payment_emit_ready();
  run_commands();
}

/** The libevent base exists: begin to listen. */
void
payment_queue_start(void)
{
  const struct timeval now = { 0, 0 };

  if (queue.running)
    return;
  if (alert_sockets_create(&alert_socks, 0) < 0) {
    log_err(LD_GENERAL, "Cannot make the sockets by which the payment "
            "subsystem is woken; payments are off.");
    payment_policy.enabled = 0;
    return;
  }
  alert_event = tor_event_new(tor_libevent_get_base(), alert_socks.read_fd,
                              EV_READ|EV_PERSIST, alert_cb, NULL);
  event_add(alert_event, NULL);
  pthread_mutex_lock(&queue_mutex);
  queue.running = true;
  pthread_mutex_unlock(&queue_mutex);
  event_base_once(tor_libevent_get_base(), -1, EV_TIMEOUT, ready_cb, NULL,
                  &now);
}

/** The main loop is over: forget what nobody will carry out. */
void
payment_queue_stop(void)
{
  bool was_running;
  command_t *cmd;

  pthread_mutex_lock(&queue_mutex);
  was_running = queue.running;
  queue.running = false;
  pthread_mutex_unlock(&queue_mutex);
  if (was_running) {
    tor_event_free(alert_event);
    alert_sockets_close(&alert_socks);
  }
  while ((cmd = pop()))
    raw_free(cmd);
}

/* See magicwave_tor.h for all that follow. */

int
mw_set_policy(const mw_policy_t *policy)
{
  command_t cmd = { .kind = CMD_POLICY };
  if (!policy)
    return MW_BAD;
  cmd.u.policy = *policy;
  return push(&cmd);
}

int
mw_send(uint64_t circ, uint32_t hop, const uint8_t *body, size_t len)
{
  command_t cmd = { .kind = CMD_SEND, .circ = circ, .hop = hop, .len = len };
  if (hop > MW_MAX_HOPS || len > MW_BODY_MAX || (len && !body))
    return MW_BAD;
  if (len)
    memcpy(cmd.u.body, body, len);
  return push(&cmd);
}

int
mw_grant(uint64_t circ, uint64_t cells)
{
  const command_t cmd = { .kind = CMD_GRANT, .circ = circ, .cells = cells };
  return push(&cmd);
}

int
mw_watch(uint64_t circ, uint32_t hop, uint64_t cells)
{
  const command_t cmd = { .kind = CMD_WATCH, .circ = circ, .hop = hop,
                          .cells = cells };
  if (hop > MW_MAX_HOPS)
    return MW_BAD;
  return push(&cmd);
}

int
mw_query(uint64_t circ)
{
  const command_t cmd = { .kind = CMD_QUERY, .circ = circ };
  return push(&cmd);
}

int
mw_launch(uint64_t token, const uint8_t rsa[20], uint32_t flags)
{
  command_t cmd = { .kind = CMD_LAUNCH, .token = token, .flags = flags };
  if (!rsa || !token || (flags & ~(uint32_t)MW_LAUNCH_ONE_HOP))
    return MW_BAD;
  memcpy(cmd.u.rsa, rsa, DIGEST_LEN);
  return push(&cmd);
}

int
mw_close(uint64_t circ)
{
  const command_t cmd = { .kind = CMD_CLOSE, .circ = circ };
  return push(&cmd);
}

int
mw_abandon(uint64_t circ)
{
  const command_t cmd = { .kind = CMD_ABANDON, .circ = circ };
  return push(&cmd);
}
