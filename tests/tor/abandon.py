# SPDX-License-Identifier: MIT OR Apache-2.0
"""Circuits that the host gives up: no new stream, nothing else changes."""

import re
import time

from network import CLOSED, LOOPBACK, Control
from streams import Stream
from world import MIB


class Chooser:
    """A client whose tor attaches streams by its own rules."""

    def __init__(self, w, name, extra, guard=False):
        self.w = w
        self.client = w.net.client(name, extra, guard=guard)
        self.control = Control(self.client.control_port)
        end = time.monotonic() + 120
        while not self.control.bootstrapped():
            assert time.monotonic() < end, "no network"
            time.sleep(0.3)

    def stream(self):
        """A stream, and the circuit that tor put it on."""
        self.control.events.clear()
        stream = Stream(self.client, None, None, self.w.origin)
        target = f"{LOOPBACK}:{self.w.origin.port}"
        words = self.control.event(lambda w: w[1] == "STREAM" and w[5] == target
                                   and w[3] == "SENTCONNECT")
        return stream, int(words[4])

    def legs(self, circ):
        """The circuit, and the other legs of its conflux set."""
        sets = {}
        for line in self.control.ask("GETINFO circuit-status"):
            found = re.search(r"^(\d+) BUILT .*CONFLUX_ID=(\S+)", line)
            if found:
                sets.setdefault(found.group(2), set()).add(int(found.group(1)))
        return next((s for s in sets.values() if circ in s), {circ})


def given_up(w, name, extra):
    chooser = Chooser(w, name, extra)
    first, circ = chooser.stream()
    again, same = chooser.stream()
    legs = chooser.legs(circ)
    assert same in legs, (same, legs)
    first.ask(2 * MIB)
    first.read(0.05)
    chooser.client.tell(f"abandon {circ}")
    chooser.client.counters(circ, 1)
    other, elsewhere = chooser.stream()
    assert elsewhere not in legs, (elsewhere, legs)
    other.fetch(MIB // 4)
    # Twice is once, and a circuit that is gone is nobody's.
    chooser.client.tell(f"abandon {circ}")
    chooser.client.tell("abandon 999999")
    third, there = chooser.stream()
    assert there in chooser.legs(elsewhere), (there, elsewhere)
    # What rode it still does, tor's housekeeping included.
    time.sleep(3)
    first.read()
    assert first.intact(2 * MIB)
    again.fetch(MIB // 4)
    assert not chooser.client.find(lambda e: e["kind"] == CLOSED and
                                   e["circ"] in legs)
    for stream in (first, again, other, third):
        stream.close()
    chooser.client.stop()
    return f"{sorted(legs)} given up, {elsewhere} taken"


def a_circuit_that_is_given_up_gets_no_new_stream_and_keeps_its_own(w):
    return given_up(w, "chooser", "ConfluxEnabled 0\n")


def a_set_whose_leg_is_given_up_gets_no_new_stream_and_keeps_its_own(w):
    return given_up(w, "setchooser", "ConfluxEnabled 1\n")


def a_relay_gives_up_nothing(w):
    circ, _ = w.circuit(["relay0", "relay1", "relay2"])
    stream = w.stream(circ)
    number = w.hello(circ, 1, "relay0")
    relay = w.net.nodes["relay0"]
    w.grant("relay0", number, 10 ** 9)
    relay.tell(f"abandon {number}")
    stream.fetch(MIB // 4)
    stream.close()
