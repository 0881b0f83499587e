/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) The MagicWave developers. See LICENSE for licensing
 * information. */

/**
 * @file payment_sys.c
 * @brief The payment subsystem: installing a host, policy, start and end.
 *
 * The subsystem counts the relay cells of each circuit, carries payment
 * cells between the origin of a circuit and its hops, and holds the cells of
 * circuits that are not paid for. What is a fair price, who owes whom and
 * what the bodies of payment cells mean is the host's affair: the host is
 * the program that linked libtor.a and called mw_install(). Without one
 * every hook returns at its first line.
 **/

#include "orconfig.h"
#include "feature/payment/payment_internal.h"
#include "feature/payment/payment_sys.h"
#include "lib/subsys/subsys.h"

/** What we advertise; protover.c and versions.c know how to read it. */
#define PAYMENT_PROTOCOL "MagicWave=1"

mw_policy_t payment_policy;
payment_stat_t payment_stat;

/** The host; written once, before tor's thread runs. */
static mw_event_fn host_fn = NULL;
static void *host_arg = NULL;
/** Set at the end of tor's life, read by any thread. */
static int is_down = 0;

/** See magicwave_tor.h. */
int
mw_install(mw_event_fn fn, void *host, const mw_policy_t *policy)
{
  if (host_fn || !fn || !policy)
    return -1;
  host_arg = host;
  memcpy(&payment_policy, policy, sizeof(payment_policy));
  host_fn = fn;
  return 0;
}

/** True when a host is there and wants payments at all. */
bool
payment_on(void)
{
  return host_fn && payment_policy.enabled;
}

/** True when we count, advertise and enforce as a relay. */
bool
payment_relay_on(void)
{
  return payment_on() && payment_policy.relay_enabled;
}

/** True when tor's main loop is over. */
bool
payment_is_down(void)
{
  return __atomic_load_n(&is_down, __ATOMIC_ACQUIRE);
}

/** Replace the policy, except for its first two members: the descriptor and
 * the counters of living circuits depend on them. */
void
payment_apply_policy(const mw_policy_t *policy)
{
  const uint32_t enabled = payment_policy.enabled;
  const uint32_t relay_enabled = payment_policy.relay_enabled;
  memcpy(&payment_policy, policy, sizeof(payment_policy));
  payment_policy.enabled = enabled;
  payment_policy.relay_enabled = relay_enabled;
  payment_each_circ(payment_reconsider);
}

/** Hand one event to the host and count it when the host drops it. */
int32_t
payment_call_host(const mw_event_t *event)
{
  const int32_t r = host_fn(host_arg, event);
  if (r)
    payment_stat_add(events_dropped, 1);
  return r;
}

/** tor's libevent base exists and its main loop is about to run. */
void
payment_mainloop_start(void)
{
  if (!host_fn)
    return;
  payment_queue_start();
}

/** Return a newly allocated list of the subprotocols to put into our
 * descriptor, given those that tor itself <b>supported</b>. */
char *
payment_protocol_list(const char *supported)
{
  char *list = NULL;
  if (!payment_relay_on())
    return tor_strdup(supported);
  tor_asprintf(&list, "%s %s", supported, PAYMENT_PROTOCOL);
  return list;
}

/** See magicwave_tor.h. */
void
mw_stats(mw_stats_t *out)
{
  if (!out)
    return;
#define LOAD(member) \
  out->member = __atomic_load_n(&payment_stat.member, __ATOMIC_RELAXED)
  LOAD(events_dropped);
  LOAD(commands_dropped);
  LOAD(cells_sent);
  LOAD(cells_received);
  LOAD(cells_invalid);
  LOAD(held_now);
  LOAD(held_peak);
  LOAD(cells_own);
#undef LOAD
}

/** See magicwave_tor.h. */
const char *
mw_tor_version(void)
{
  return VERSION;
}

/** tor ends; its circuits are gone by now. */
static void
subsys_payment_shutdown(void)
{
  __atomic_store_n(&is_down, 1, __ATOMIC_RELEASE);
  payment_queue_stop();
  payment_hold_free_all();
  payment_conflux_free_all();
  payment_circ_free_all();
  payment_pool_free_all();
}

const struct subsys_fns_t sys_payment = {
  SUBSYS_DECLARE_LOCATION(),

  .name = "payment",
  .supported = true,
  .level = PAYMENT_SUBSYS_LEVEL,

  .shutdown = subsys_payment_shutdown,
};
