# SPDX-License-Identifier: MIT OR Apache-2.0
"""Downloads over two legs of which one is not paid: what piles up."""

import collections
import re
import threading
import time

from network import (BEGIN, CELL, CIRCUIT, CLOSED, STATE, STOPPED, TRICKLE,
                     Control)
from streams import Stream
from world import MIB, PLENTY

# What the client may grow by while a leg is held: the limit of its queue (2),
# the congestion windows of both legs, and what an allocator makes of them.
GROWTH_KIB = 24 * 1024
HOLD_SECONDS = 20


class Legs:
    """A client, and a conflux set of its own making that a stream rides."""

    def __init__(self, w, name, extra=""):
        self.w = w
        self.client = w.net.client(name, "ConfluxEnabled 1\n"
                                   "__LeaveStreamsUnattached 1\n" + extra)
        self.control = Control(self.client.control_port)
        end = time.monotonic() + 120
        while not w._ready(self.control):
            assert time.monotonic() < end, "no network"
            time.sleep(0.3)
        # tor builds conflux sets by itself; take the first with two legs.
        sets = {}
        while not any(len(legs) > 1 for legs in sets.values()):
            assert time.monotonic() < end, f"no conflux set: {sets}"
            time.sleep(0.5)
            sets = collections.defaultdict(set)
            for line in self.control.ask("GETINFO circuit-status"):
                found = re.search(r"(\d+) BUILT .*CONFLUX_LINKED "
                                  r".*CONFLUX_ID=(\S+)", line)
                if found:
                    sets[found.group(2)].add(int(found.group(1)))
        self.circs = max(sets.values(), key=len)
        self.stream = Stream(self.client, self.control, min(self.circs),
                             w.origin)
        begun = self.client.wait(lambda e: e["kind"] == BEGIN)
        time.sleep(0.5)
        legs = self.client.find(lambda e: e["kind"] == BEGIN)
        assert begun["set"] and all(e["set"] == begun["set"] for e in legs)
        assert self.circs <= {e["circ"] for e in legs}, (self.circs, legs)

    def hops(self, circ):
        """The names of a leg's hops."""
        event = self.client.find(lambda e: e["kind"] == CIRCUIT and
                                 e["circ"] == circ)[-1]
        return [h["nick"] for h in event["hops"]]

    def inward(self, circ):
        return self.client.counters(circ, 1)["in"]

    def close(self):
        self.stream.close()
        self.client.stop()


def held_leg(w, name, busier):
    """The middle of one leg gets no more money for 20 s of a download: the
    leg that carries more of it, or the one that carries less."""
    # The narrow relay and the stock ones stay out: the middle must be a payee.
    names = ("narrow", "auth0", "auth1", "auth2")
    legs = Legs(w, name, "ExcludeNodes " +
                ",".join("$" + w.fpr[n] for n in names) + "\n")
    client, stream = legs.client, legs.stream
    before = {c: legs.inward(c) for c in legs.circs}
    warm, began = 20 * MIB, time.monotonic()
    stream.fetch(warm)
    full = warm / MIB / (time.monotonic() - began)
    used = {c: legs.inward(c) - before[c] for c in legs.circs}
    held = sorted(legs.circs, key=used.get)[-1 if busier else 0]
    middle = w.net.nodes[legs.hops(held)[1]]
    numbers = {c: w.hello(c, 2, legs.hops(c)[1], client) for c in legs.circs}
    for c in legs.circs - {held}:
        w.grant(legs.hops(c)[1], numbers[c], PLENTY)
    # No trickle: a leg that still delivers a little is merely slow, and tor
    # takes the other one.
    middle.tell("policy trickle_bytes=0,grace_ms=1000")
    try:
        return hold(w, legs, held, middle, numbers, full, used)
    finally:
        middle.tell("policy trickle_bytes=8192,grace_ms=3000")


def hold(w, legs, held, middle, numbers, full, used):
    client = legs.client
    now = middle.counters(numbers[held], 0)
    mark = middle.mark()
    w.grant(middle.name, numbers[held], now["in"] + now["out"] + 100)

    size = 40 * MIB
    second = Stream(client, legs.control, held, w.origin, timeout=120)
    rss = client.stats()["rss_kib"]
    second.ask(size)
    reader = threading.Thread(target=second.read, daemon=True)
    reader.start()
    middle.wait(lambda e: e["kind"] == STATE and e["circ"] == numbers[held]
                and e["state"] == TRICKLE, mark, what="TRICKLE")
    end, peak = time.monotonic() + HOLD_SECONDS, 0
    while time.monotonic() < end:
        peak = max(peak, client.stats()["rss_kib"] - rss)
        time.sleep(0.1)
    assert middle.find(lambda e: e["kind"] == STATE and e["state"] == STOPPED
                       and e["circ"] == numbers[held], mark)
    left = second.left
    assert left > size // 2, f"{left} bytes are left, nothing was held back"
    assert peak < GROWTH_KIB, f"the client grew by {peak} KiB"
    # Paid, it goes on: at once, and as fast as before.
    began = time.monotonic()
    w.grant(middle.name, numbers[held], PLENTY)
    reader.join(60)
    after = left / MIB / (time.monotonic() - began)
    assert second.intact(size), f"{second.left} bytes are missing"
    assert after > full / 4, (after, full)
    grown = client.stats()["rss_kib"] - rss
    assert grown < GROWTH_KIB, f"the client grew by {grown} KiB"
    assert not client.find(lambda e: e["kind"] == CLOSED and
                           e["circ"] in legs.circs)
    assert not any(legs.control.closed(c) for c in legs.circs)
    # Both ends of each leg still count the same.
    for c in legs.circs:
        w.hello(c, 2, legs.hops(c)[1], client)
    second.close()
    legs.close()
    return f"cells by leg {used}, {held} held: {peak} KiB more, " \
           f"{left / MIB:.1f} MiB left, then {after:.1f} MiB/s " \
           f"(before {full:.1f})"


def the_busier_leg_is_held_and_the_client_stays_small(w):
    return held_leg(w, "heldone", True)


def the_quieter_leg_is_held_and_the_client_stays_small(w):
    return held_leg(w, "heldtwo", False)


def conflux_legs_count_for_themselves(w):
    legs = Legs(w, "fluxer")
    client, s = legs.client, legs.stream
    size = 8 * MIB
    mark = client.mark()
    s.ask(size)
    while s.left:
        s.read(0.05)
        for leg in legs.circs:
            for hop in (1, 2, 3):
                client.tell(f"send {leg} {hop} {w.token()}")
        # Hellos make them payers: keep them paid.
        w.grant_all()
    assert s.intact(size)
    time.sleep(1)
    cells = client.find(lambda e: e["kind"] == CELL, mark)
    for e in cells:
        assert e["in"] == e["peer_in"] and e["out"] >= e["peer_out"], e
    carried = {leg: max((e["in"] for e in cells if e["circ"] == leg),
                        default=0) for leg in legs.circs}
    assert cells and max(carried.values()) > size // 498 // 4, carried
    legs.close()
    return f"{len(cells)} echoes, cells by leg {carried}"
