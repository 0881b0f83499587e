# SPDX-License-Identifier: MIT OR Apache-2.0
"""The network that the tests share, and what they ask of it."""

import time

from network import BEGIN, CELL, CIRCUIT, READY, Control
from streams import Origin, Stream

MIB = 1 << 20
RELAYS = 4
PLENTY = 10 ** 9
STAMP = "01" + "00" * 17
# 8 KiB/s of cells carry this many bytes of a file, at most.
TRICKLE_BYTES = 8192

EASY = "trickle_bytes=8192,grace_ms=3000"


class NotRun(Exception):
    """A test cannot run here, and says why."""


class World:
    """The network, and what the tests ask of it."""

    def __init__(self, net, quick):
        self.net, self.quick = net, quick
        self.origin = Origin()
        self.serial = 0

    def up(self):
        began = time.monotonic()
        net = self.net
        net.authorities()
        self.relays = [net.relay(f"relay{i}", policy=EASY)
                       for i in range(RELAYS)]
        # Narrow towards clients only, and by the scheduler that does not
        # believe the kernel: over loopback KIST sees no end of room, and cells
        # would wait in sockets, where nobody can choose between them.
        net.relay("narrow", policy=EASY, extra="Schedulers Vanilla\n"
                  "PerConnBWRate 100 KBytes\nPerConnBWBurst 100 KBytes\n")
        plain = ("__LeaveStreamsUnattached 1\n__DisablePredictedCircuits 1\n"
                 "ConfluxEnabled 0\n")
        self.client = net.client("client", plain)
        self.control = Control(self.client.control_port)
        self.client.wait(lambda e: e["kind"] == READY, what="READY")
        self.fpr = {n: node.fingerprint() for n, node in net.nodes.items()
                    if n != "client"}
        end = began + 240
        while not self._ready(self.control):
            assert time.monotonic() < end, "network did not come up"
            time.sleep(0.3)
        print(f"network up after {time.monotonic() - began:.1f} s",
              flush=True)

    def _ready(self, control):
        try:
            phase = control.ask("GETINFO status/bootstrap-phase")[0]
            progress = int(phase.split("PROGRESS=")[1].split()[0])
            for fpr in self.fpr.values():
                lines = control.ask(f"GETINFO ns/id/{fpr}")
                if not any(l.startswith("s ") and "Running" in l
                           for l in lines):
                    return False
                control.ask(f"GETINFO md/id/{fpr}")
            return progress >= 75
        except AssertionError:
            return False

    def circuit(self, names, node=None, control=None):
        """Build a circuit, return its number and its CIRCUIT event."""
        node, control = node or self.client, control or self.control
        circ = control.build([self.fpr[n] for n in names])
        event = node.wait(lambda e: e["kind"] == CIRCUIT and
                          e["circ"] == circ)
        return circ, event

    def stream(self, circ, **kw):
        s = Stream(self.client, self.control, circ, self.origin, **kw)
        self.client.wait(lambda e: e["kind"] == BEGIN and e["circ"] == circ)
        return s

    def token(self):
        self.serial += 1
        return f"{self.serial:08x}"

    def hello(self, circ, hop, name, node=None):
        """Say hello to a hop; its own number for the circuit. Waits for the
        echo, and checks the stamp on it."""
        node, relay = node or self.client, self.net.nodes[name]
        body = self.token() + "cafe"
        mark, at = relay.mark(), node.mark()
        node.tell(f"send {circ} {hop} {body}")
        there = relay.wait(lambda e: e["kind"] == CELL and
                           e.get("body") == body, mark, what="payment cell")
        back = node.wait(lambda e: e["kind"] == CELL and e["circ"] == circ and
                         e["hop"] == hop and e.get("body") == body, at,
                         what="echo")
        assert back["in"] == back["peer_in"], back
        assert back["out"] >= back["peer_out"], back
        return there["circ"]

    def grant(self, name, number, cells):
        self.net.nodes[name].tell(f"grant {number} {cells}")

    def grant_all(self):
        """Pay for every circuit that ever said hello."""
        for relay in self.relays + [self.net.nodes["narrow"]]:
            for circ in {e["circ"] for e in relay.find(
                    lambda e: e["kind"] == CELL)}:
                relay.tell(f"grant {circ} {PLENTY}")
