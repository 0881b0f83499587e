# SPDX-License-Identifier: MIT OR Apache-2.0
"""Payment cells and counters: who gets them, and that both ends agree."""

import os
import time

from network import (BEGIN, CELL, CIRCUIT, CLOSED, FAILED)
from streams import Stream
from world import (MIB, PLENTY, STAMP)


def cells_reach_every_hop_and_come_back_with_equal_counters(w):
    names = ["relay0", "relay1", "relay2"]
    circ, event = w.circuit(names)
    assert [h["nick"] for h in event["hops"]] == names, event
    assert all(h["speaks"] and h["rsa"] == w.fpr[h["nick"]].lower() and
               h["port"] == w.net.nodes[h["nick"]].or_port and
               int(h["ed"], 16) for h in event["hops"]), event
    # Nothing leaves before the first BEGIN.
    w.client.tell(f"send {circ} 1 00")
    stats = w.client.stats(circ)
    assert stats["commands_dropped"] == 1 and stats["sent"] == 0, stats
    s = w.stream(circ)
    numbers = [w.hello(circ, h + 1, n) for h, n in enumerate(names)]
    assert all(n >> 63 for n in numbers) and not circ >> 63
    # Each relay knows its neighbours, and the first that it serves a client.
    for i, (name, number) in enumerate(zip(names, numbers)):
        seen = w.net.nodes[name].find(
            lambda e: e["kind"] == CIRCUIT and e["circ"] == number)[-1]
        around = [names[i - 1] if i else ""] + names[i + 1:i + 2]
        assert [h["nick"] for h in seen["hops"]] == around, seen
        assert seen["client"] == (i == 0) and seen["channel"], seen
    for name, number in zip(names, numbers):
        w.grant(name, number, PLENTY)
    mark = w.client.mark()
    size = 4 * MIB if w.quick else 16 * MIB
    s.ask(size)
    rounds = 0
    while s.left:
        s.read(0.05)
        rounds += 1
        for hop in (1, 2, 3):
            w.client.tell(f"send {circ} {hop} {w.token()}")
    assert s.intact(size)
    for hop, name in enumerate(names, 1):
        w.hello(circ, hop, name)
    cells = w.client.find(lambda e: e["kind"] == CELL and e["circ"] == circ,
                          mark)
    assert len(cells) == 3 * (rounds + 1), (len(cells), rounds)
    for e in cells:
        assert e["in"] == e["peer_in"], e
        assert e["out"] >= e["peer_out"], e
    # Both ends agree in the end, not only in stamps.
    s.close()
    time.sleep(1)
    for hop, (name, number) in enumerate(zip(names, numbers), 1):
        here = w.client.counters(circ, hop)
        there = w.net.nodes[name].counters(number, 0)
        assert (here["in"], here["out"]) == (there["in"], there["out"]), \
            (here, there)
        assert here["in"] > size // 498, here
    formats = [h["format"] for h in event["hops"]]
    return f"{len(cells)} echoes over cell formats {formats}"


def an_unpatched_hop_never_gets_a_cell(w):
    names = ["relay0", "auth0", "relay1"]
    circ, event = w.circuit(names)
    assert [h["speaks"] for h in event["hops"]] == [1, 0, 1], event
    s = w.stream(circ)
    before = w.client.stats()
    w.client.tell(f"send {circ} 2 0102")
    after = w.client.stats(circ)
    assert after["commands_dropped"] == before["commands_dropped"] + 1
    assert after["sent"] == before["sent"]
    for hop in (1, 3):
        w.grant(names[hop - 1], w.hello(circ, hop, names[hop - 1]), PLENTY)
    s.fetch(MIB)
    for hop in (1, 3):
        w.hello(circ, hop, names[hop - 1])
    mark = w.client.mark()
    w.client.tell(f"close {circ}")
    w.client.wait(lambda e: e["kind"] == CLOSED and e["circ"] == circ and
                  e["hop"] == 0, mark)
    hops = [e["hop"] for e in w.client.find(
        lambda e: e["kind"] == CLOSED and e["circ"] == circ, mark)]
    assert hops == [1, 3, 0], hops


def launched_circuits_carry_cells_between_any_two_nodes(w):
    formats = []
    for node, name, flags, token in (
            (w.client, "relay1", 1, 77), (w.client, "relay2", 0, 78),
            (w.relays[0], "relay3", 1, 79)):
        end = time.monotonic() + 60
        event = None
        while not event or event["kind"] != CIRCUIT:
            # A relay may not have everybody's descriptor yet.
            assert time.monotonic() < end, event
            if event:
                time.sleep(1)
            mark = node.mark()
            node.tell(f"launch {token} {w.fpr[name].lower()} {flags}")
            event = node.wait(lambda e: e["kind"] in (CIRCUIT, FAILED, CLOSED)
                              and e["token"] == token, mark, timeout=60,
                              what="launched circuit")
        n = len(event["hops"])
        formats.append([h["format"] for h in event["hops"]])
        assert event["hops"][-1]["nick"] == name and event["purpose"] == 22, \
            event
        assert (n == 1) == bool(flags), event
        circ = event["circ"]
        # No BEGIN is needed here. The far end may send first, once greeted.
        number = w.hello(circ, n, name, node)
        far, at = w.net.nodes[name], node.mark()
        far.tell(f"send {number} 0 beef")
        back = node.wait(lambda e: e["kind"] == CELL and
                         e.get("body") == "beef" and e["circ"] == circ, at)
        assert back["token"] == token and back["in"] == back["peer_in"]
        node.tell(f"close {circ}")
        end = node.wait(lambda e: e["kind"] == CLOSED and e["circ"] == circ
                        and e["hop"] == 0, at)
        assert end["token"] == token
        far.wait(lambda e: e["kind"] == CLOSED and e["circ"] == number)
    # To nobody that is known, and to itself.
    for node, rsa, token in ((w.client, "ab" * 20, 80),
                             (w.relays[0], w.fpr["relay0"].lower(), 81)):
        mark = node.mark()
        node.tell(f"launch {token} {rsa} 1")
        node.wait(lambda e: e["kind"] == FAILED and e["token"] == token, mark)
    return f"cell formats {formats}"


def bad_cells_are_dropped_and_traffic_goes_on(w):
    names = ["relay0", "relay1", "relay2"]
    circ, _ = w.circuit(names)
    s = w.stream(circ)
    bad = ["-", "01", "01" + "00" * 16, "02" + "00" * 17 + "aa",
           "ff" * 490, "ff" * 18, "00" * 490]
    before = {n: w.net.nodes[n].stats() for n in names}
    # At the relays: malformed, and too long for the format of none.
    for hop, name in enumerate(names, 1):
        for body in bad:
            w.client.tell(f"raw {circ} {hop} {body}")
            w.client.counters(circ, hop)
    time.sleep(0.5)
    for name in names:
        got = w.net.nodes[name].stats()
        assert got["invalid"] == before[name]["invalid"] + len(bad), \
            (name, before[name], got)
    # At the client: from a hop that was never asked (its own number for the
    # circuit it told us by no cell: take it from its events), then malformed.
    relay = w.relays[1]
    number = relay.find(
        lambda e: e["kind"] == CIRCUIT and e["role"] == 2 and
        [h["nick"] for h in e["hops"]] == ["relay0", "relay2"])[-1]["circ"]
    at = w.client.stats()["invalid"]
    relay.tell(f"raw {number} 0 {STAMP}aa")
    relay.counters(number, 0)
    numbers = [w.hello(circ, h, n) for h, n in enumerate(names, 1)]
    assert w.client.stats()["invalid"] == at + 1, (at, w.client.stats())
    for name, number in zip(names, numbers):
        w.grant(name, number, PLENTY)
        for body in bad:
            w.net.nodes[name].tell(f"raw {number} 0 {body}")
            w.net.nodes[name].counters(number, 0)
    s.fetch(MIB)
    assert w.client.stats()["invalid"] == at + 1 + 3 * len(bad)
    # Wrong direction, wrong hop, gone circuits, too long: refused at home.
    for line in (f"send {circ} 0 aa", f"send {circ} 8 aa",
                 f"send {circ + 1000} 1 aa", f"watch {circ} 0 1"):
        n = w.client.stats()["commands_dropped"]
        w.client.tell(line)
        assert w.client.stats(circ)["commands_dropped"] == n + 1, line
    mark = w.client.mark()
    for line in (f"send {circ} 9 aa", f"send {circ} 1 {'aa' * 473}",
                 f"watch {circ} 9 1"):
        w.client.tell(line)
        r = w.client.wait(lambda e: e["kind"] == "result", mark)
        assert r["value"] == -2, r
        mark = w.client.mark()
    # More at once than a queue holds: some are dropped, the circuit lives.
    w.client.tell(f"flood {circ} 1 4000")
    w.client.tell(f"flood {circ} 3 4000")
    for hop, name in enumerate(names, 1):
        time.sleep(1)
        w.hello(circ, hop, name)
    w.stream(circ).fetch(MIB)
    assert not w.control.closed(circ)
    s.close()


def an_onion_service_counts_like_its_hops(w):
    """Both sides of a rendezvous agree with their own hops, and a rendezvous
    point holds a circuit that is joined to another."""
    service = w.net.client(
        "service", "HiddenServiceDir {dir}/hs\nHiddenServicePort 80 "
        f"127.0.0.1:{w.origin.port}\nHiddenServiceNumIntroductionPoints 3\n")
    user = w.net.client("user")
    path = os.path.join(service.dir, "hs", "hostname")
    end = time.monotonic() + 120
    while not os.path.exists(path):
        assert time.monotonic() < end
        time.sleep(0.2)
    with open(path) as f:
        onion = f.read().strip()
    while True:
        try:
            s = Stream(user, None, None, w.origin, timeout=30, onion=onion)
            break
        except (AssertionError, OSError):
            assert time.monotonic() < end, "onion service not reached"
            time.sleep(1)
    size = 2 * MIB
    s.ask(size)
    asked = {}
    for node in (user, service):
        begin = node.wait(lambda e: e["kind"] == BEGIN)
        event = node.find(lambda e: e["kind"] == CIRCUIT and
                          e["circ"] == begin["circ"])[-1]
        asked[node.name] = begin["circ"]
        for hop, h in enumerate(event["hops"], 1):
            if h["speaks"]:
                node.tell(f"send {begin['circ']} {hop} {w.token()}")
    time.sleep(0.5)
    w.grant_all()
    s.read()
    assert s.intact(size)
    n = 0
    for node in (user, service):
        event = node.find(lambda e: e["kind"] == CIRCUIT and
                          e["circ"] == asked[node.name])[-1]
        for hop, h in enumerate(event["hops"], 1):
            if h["speaks"]:
                w.hello(asked[node.name], hop, h["nick"], node)
                count = node.counters(asked[node.name], hop)
                assert count["in"] + count["out"] > size // 498, count
                n += 1
    assert n, "no hop of either side speaks"
    s.close()
    user.stop()
    service.stop()
    return f"{n} hops"
