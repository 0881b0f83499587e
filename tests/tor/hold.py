# SPDX-License-Identifier: MIT OR Apache-2.0
"""Unpaid circuits: held, trickling, stopped, served again."""

import hashlib
import os
import threading
import time

from network import (CELL, CLOSED, OPEN, STATE, STOPPED, TRICKLE, WATCH)
from world import (MIB, PLENTY, TRICKLE_BYTES)


def held_then_served(w, payee, upload=False):
    """One hop is not paid during a transfer, then it is."""
    names = ["relay0", "relay1", "relay2"]
    circ, _ = w.circuit(names)
    s = w.stream(circ)
    relay = w.net.nodes[names[payee]]
    numbers = {}
    for hop, name in enumerate(names):
        numbers[hop] = w.hello(circ, hop + 1, name)
        if hop != payee:
            w.grant(name, numbers[hop], PLENTY)
    number, mark = numbers[payee], relay.mark()
    size = 3 * MIB
    if upload:
        return upload_held(w, circ, s, relay, number, mark, payee + 1)
    s.ask(size)
    relay.wait(lambda e: e["kind"] == STATE and e["circ"] == number and
               e["state"] == TRICKLE, mark, what="TRICKLE")
    # What is in flight behind the payee comes too, then only a trickle.
    s.read(1)
    trickled = s.read(2)
    assert trickled <= 2 * TRICKLE_BYTES + 4096, trickled
    relay.wait(lambda e: e["kind"] == STATE and e["circ"] == number and
               e["state"] == STOPPED, mark, what="STOPPED")
    s.read(0.5)
    assert s.read(2) == 0, "stopped, but bytes arrive"
    # Payment cells pass both ways, to the payee and to nearer hops.
    for hop in range(payee + 1):
        w.hello(circ, hop + 1, names[hop])
    used = relay.counters(number, 0)
    # Paid for some: runs and stops again, without closing.
    some = used["in"] + used["out"] + used["held"] + 500
    began = time.monotonic()
    w.grant(names[payee], number, some)
    relay.wait(lambda e: e["kind"] == STATE and e["circ"] == number and
               e["state"] == OPEN, mark, what="OPEN")
    assert s.wait(5), "nothing came after the grant"
    first = time.monotonic() - began
    s.read(1)
    relay.tell(f"watch {number} 0 {some - 10}")
    relay.wait(lambda e: e["kind"] == WATCH and e["circ"] == number, mark)
    w.grant(names[payee], number, PLENTY)
    s.read()
    assert s.intact(size), "file differs"
    for hop, name in enumerate(names):
        w.hello(circ, hop + 1, name)
    assert relay.stats()["held_now"] == 0
    s.close()
    w.client.tell(f"close {circ}")
    return f"trickled {trickled} bytes in 2 s, held {used['held']} cells, " \
           f"first bytes {1000 * first:.0f} ms after the grant"


def upload_held(w, circ, s, relay, number, mark, hop):
    size = 2 * MIB
    data = os.urandom(MIB) * 2
    done = {}

    def put():
        s.sock.settimeout(120)
        s.sock.sendall(b"PUT %d\n" % size + data)
        done["digest"] = s._exactly(64).decode()

    thread = threading.Thread(target=put, daemon=True)
    thread.start()
    relay.wait(lambda e: e["kind"] == STATE and e["circ"] == number and
               e["state"] == STOPPED, mark, what="STOPPED")
    time.sleep(1)
    one = relay.counters(number, 0)
    time.sleep(2)
    two = relay.counters(number, 0)
    assert two["out"] == one["out"], (one, two)
    assert two["out"] < size // 500, "nothing was held back"
    w.hello(circ, hop, relay.name)
    relay.tell(f"grant {number} {PLENTY}")
    thread.join(60)
    assert done.get("digest") == hashlib.sha256(data).hexdigest(), done
    w.hello(circ, hop, relay.name)
    s.close()
    w.client.tell(f"close {circ}")
    return f"{two['out']} cells had come, {two['held']} held"


def a_guard_holds_a_download_and_recovers(w):
    return held_then_served(w, 0)


def a_middle_holds_a_download_and_recovers(w):
    return held_then_served(w, 1)


def an_exit_holds_a_download_and_recovers(w):
    return held_then_served(w, 2)


def a_guard_holds_an_upload_and_recovers(w):
    return held_then_served(w, 0, upload=True)


def an_exit_holds_an_upload_and_recovers(w):
    return held_then_served(w, 2, upload=True)


def stock_clients_are_served_under_best_effort(w):
    circ, _ = w.circuit(["relay0", "relay1", "relay2"])
    s = w.stream(circ)
    s.fetch(2 * MIB)
    assert not w.client.find(lambda e: e["kind"] == CELL and
                             e["circ"] == circ)
    s.close()


def stock_clients_are_held_under_paid_only(w):
    relay = w.relays[3]
    relay.tell("policy stock_clients=1,free_cells=200,base_cells=40")
    try:
        circ, _ = w.circuit(["relay0", "relay1", "relay3"])
        mark = relay.mark()
        s = w.stream(circ)
        s.ask(MIB)
        event = relay.wait(lambda e: e["kind"] == STATE and
                           e["state"] == TRICKLE, mark)
        assert not event["hello"]
        # Behind a guard nobody gets more than 64 KiB free.
        assert event["in"] + event["out"] <= 40 + 127 + 1, event
        w.grant("relay3", event["circ"], PLENTY)
        s.read()
        assert s.intact(MIB)
        s.close()
    finally:
        relay.tell("policy stock_clients=0,free_cells=127,base_cells=32")


def free_windows_come_from_one_pool(w):
    """Ten circuits of one upstream do not get ten free windows."""
    relay = w.relays[3]
    relay.tell("policy free_cells_channel=300,free_refill_ms=60000,"
               "base_cells=20")
    time.sleep(0.3)
    used = []
    try:
        for _ in range(5):
            circ, _ = w.circuit(["relay0", "relay1", "relay3"])
            s = w.stream(circ)
            number = w.hello(circ, 3, "relay3")
            for hop in (1, 2):
                w.grant(f"relay{hop - 1}",
                        w.hello(circ, hop, f"relay{hop - 1}"), PLENTY)
            mark = relay.mark()
            s.ask(MIB)
            e = relay.wait(lambda e: e["kind"] == STATE and
                           e["circ"] == number and e["state"] == TRICKLE, 0)
            used.append(e["in"] + e["out"])
            s.close()
            w.client.tell(f"close {circ}")
        assert max(used[:2]) > 100, used
        assert all(u <= 22 for u in used[3:]), used
        assert sum(used) <= 300 + 5 * 22, used
    finally:
        relay.tell("policy free_cells_channel=1000,free_refill_ms=10,"
                   "base_cells=32")
    return f"used {used}"


def the_trickle_of_one_address_is_capped(w):
    """Ten unpaid circuits of a client trickle like four."""
    relay = w.relays[3]
    relay.tell("policy grace_ms=600000")
    time.sleep(0.3)
    streams = []
    try:
        for _ in range(10):
            circ, _ = w.circuit(["relay3", "relay1", "relay2"])
            s = w.stream(circ)
            for hop, name in ((2, "relay1"), (3, "relay2")):
                w.grant(name, w.hello(circ, hop, name), PLENTY)
            w.hello(circ, 1, "relay3")
            s.ask(MIB)
            streams.append((circ, s))
        for _, s in streams:
            s.read(0.3)
        # What lies in sockets by now, then what comes in 8 seconds.
        for _, s in streams:
            s.read(0.01)
        began = time.monotonic()
        time.sleep(8)
        got = sum(s.read(0.02) for _, s in streams)
        rate = got / (time.monotonic() - began)
        assert TRICKLE_BYTES < rate < 4.5 * TRICKLE_BYTES, rate
    finally:
        relay.tell("policy grace_ms=3000")
        for circ, s in streams:
            s.close()
            w.client.tell(f"close {circ}")
    return f"{rate / 1024:.1f} KiB/s"


def unpaid_circuits_do_not_harm_others(w):
    """Twenty circuits stand still at a middle relay for a minute."""
    relay, count = w.relays[1], 6 if w.quick else 20
    lasts = 15 if w.quick else 60
    paid, _ = w.circuit(["relay0", "relay1", "relay2"])
    s = w.stream(paid)
    for hop, name in enumerate(["relay0", "relay1", "relay2"], 1):
        w.grant(name, w.hello(paid, hop, name), PLENTY)
    size = 4 * MIB

    def speed():
        rates = []
        for _ in range(5):
            began = time.monotonic()
            s2 = w.stream(paid)
            s2.fetch(size)
            s2.close()
            rates.append(size / MIB / (time.monotonic() - began))
        # The best of five: other work on the machine only ever slows it.
        return max(rates)

    alone = speed()
    before = relay.stats()
    unpaid = []
    for _ in range(count):
        circ, _ = w.circuit(["relay0", "relay1", "relay2"])
        u = w.stream(circ, timeout=120)
        for hop, name in ((1, "relay0"), (3, "relay2")):
            w.grant(name, w.hello(circ, hop, name), PLENTY)
        number = w.hello(circ, 2, "relay1")
        u.ask(2 * MIB)
        unpaid.append((circ, number, u))
    time.sleep(lasts / 2)
    beside = speed()
    time.sleep(lasts / 2)
    during = relay.stats()
    # Nobody was closed for it, and what is held is bounded.
    assert not any(w.control.closed(c) for c, _, _ in unpaid)
    assert 0 < during["held_now"] <= 20000, during
    grown = during["rss_kib"] - before["rss_kib"]
    assert grown < during["held_peak"] * 0.6 + 20 * 1024, (before, during)
    for circ, number, u in unpaid:
        w.grant("relay1", number, PLENTY)
    for circ, number, u in unpaid:
        u.read()
        assert u.intact(2 * MIB)
        u.close()
        w.client.tell(f"close {circ}")
    time.sleep(1)
    assert relay.stats()["held_now"] == 0
    after = speed()
    assert beside > min(alone, after) * 0.6, (alone, beside, after)
    w.client.tell(f"close {paid}")
    return f"{during['held_now']} cells held, {grown} KiB more; beside them " \
           f"{beside:.1f} MiB/s, alone {alone:.1f} before and {after:.1f} after"


def a_circuit_that_holds_too_much_is_closed_alone(w):
    relay = w.relays[1]
    relay.tell("policy max_held_cells=20")
    try:
        names = ["relay0", "relay1", "relay2"]
        circ, _ = w.circuit(names)
        s = w.stream(circ)
        other, _ = w.circuit(names)
        for hop, name in ((1, "relay0"), (3, "relay2")):
            w.grant(name, w.hello(circ, hop, name), PLENTY)
        number, mark = w.hello(circ, 2, "relay1"), relay.mark()
        s.ask(2 * MIB)
        end = relay.wait(lambda e: e["kind"] == CLOSED and
                         e["circ"] == number, mark)
        assert end["reason"] == 5, end
        time.sleep(0.2)
        assert relay.stats()["held_now"] == 0
        s2 = w.stream(other)
        s2.fetch(MIB)
    finally:
        relay.tell("policy max_held_cells=2000")


def who_says_no_hello_gets_what_is_left_over(w):
    """A narrow relay, loaded by one who pays and one stock client."""
    names = ["narrow", "relay1", "relay2"]
    rates = {}
    streams = {}
    for who in ("stock", "payer"):
        circ, _ = w.circuit(names)
        streams[who] = s = w.stream(circ, timeout=120)
        if who == "payer":
            for hop, name in enumerate(names, 1):
                w.grant(name, w.hello(circ, hop, name), PLENTY)
        s.ask(64 * MIB)

    def read(who):
        streams[who].read(3)
        rates[who] = streams[who].read(6) / 6 / 1024

    threads = [threading.Thread(target=read, args=(who,)) for who in streams]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert rates["payer"] > 2 * rates["stock"], rates
    # Nobody else wants it: all of it is left over.
    streams["payer"].close()
    streams["stock"].read(1)
    alone = streams["stock"].read(4) / 4 / 1024
    streams["stock"].close()
    assert alone > 40, alone
    return f"payer {rates['payer']:.0f} KiB/s, stock client " \
           f"{rates['stock']:.0f} KiB/s, later alone {alone:.0f} KiB/s"


def a_relay_ends_well_while_it_holds_cells(w):
    circ, _ = w.circuit(["relay0", "relay1", "relay2"])
    s = w.stream(circ)
    for hop, name in ((1, "relay0"), (3, "relay2")):
        w.grant(name, w.hello(circ, hop, name), PLENTY)
    w.hello(circ, 2, "relay1")
    s.ask(2 * MIB)
    s.read(1)
    assert w.relays[1].stats()["held_now"] > 0
