/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) The MagicWave developers. See LICENSE for licensing
 * information. */

/**
 * @file payment_entry.c
 * @brief Whose programs may use our SOCKS ports and other entry ports.
 *
 * What goes through an entry port of a client is paid by its wallet, so the
 * host is asked whose each connection is before anything of it is read. It
 * closes nothing that exists already, and no other listener is concerned.
 **/

#include "orconfig.h"
#include "feature/payment/payment_internal.h"
#include "core/or/connection_st.h"
#include "lib/log/ratelim.h"
#include "lib/net/address.h"

/** Seconds between two lines about refused connections. */
#define REFUSED_LOG_INTERVAL 60

/** The host's guard; written once, before tor's thread runs. */
static mw_guard_fn guard_fn = NULL;
static void *guard_arg = NULL;

/** See magicwave_tor.h. */
int
mw_guard(mw_guard_fn fn, void *host)
{
  if (guard_fn || !fn)
    return -1;
  guard_arg = host;
  guard_fn = fn;
  return 0;
}

/** Store <b>addr</b> as the 16 bytes of an IPv6 address; false when it is
 * neither that nor IPv4. */
static bool
to_ipv6(uint8_t *out, const tor_addr_t *addr)
{
  static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
  if (tor_addr_family(addr) == AF_INET6) {
    memcpy(out, tor_addr_to_in6_addr8(addr), 16);
    return true;
  }
  if (tor_addr_family(addr) == AF_INET) {
    const uint32_t ip = tor_addr_to_ipv4n(addr);
    memcpy(out, mapped, sizeof(mapped));
    memcpy(out + sizeof(mapped), &ip, sizeof(ip));
    return true;
  }
  return false;
}

/** Ask the host about the socket <b>s</b>; false when it says no, and when
 * there is nothing to ask about. */
static bool
host_takes(tor_socket_t s, const tor_addr_t *client, uint16_t port)
{
  struct sockaddr_storage own;
  socklen_t len = sizeof(own);
  tor_addr_t server;
  mw_entry_t entry;

  memset(&entry, 0, sizeof(entry));
  if (getsockname(s, (struct sockaddr *)&own, &len) < 0 ||
      tor_addr_from_sockaddr(&server, (struct sockaddr *)&own,
                             &entry.server_port) < 0)
    return false;
  if (!to_ipv6(entry.client, client) || !to_ipv6(entry.server, &server))
    return false;
  entry.client_port = port;
  return guard_fn(guard_arg, &entry) == 1;
}

/** True when the connection <b>s</b> from <b>client</b>, which an entry port
 * just accepted, must be closed: nobody who may spend our money opened it. */
bool
payment_entry_refused(const connection_t *listener, tor_socket_t s,
                      const tor_addr_t *client, uint16_t port)
{
  static ratelim_t limit = RATELIM_INIT(REFUSED_LOG_INTERVAL);
  if (!guard_fn || listener->socket_family == AF_UNIX)
    return false;
  if (host_takes(s, client, port))
    return false;
  log_fn_ratelim(&limit, LOG_WARN, LD_APP,
                 "Refused a connection to our SOCKS port from %s: it is not "
                 "of a program of our own user or of root, and our wallet "
                 "would pay for it. To share this port on purpose, set "
                 "shared_socks = true under [pay].",
                 fmt_and_decorate_addr(client));
  return true;
}
