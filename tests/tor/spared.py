# SPDX-License-Identifier: MIT OR Apache-2.0
"""What no relay stops: directories, and a little on every new circuit."""

import time

from network import LOOPBACK, READY, STATE, STOPPED, TRICKLE, Control
from streams import Stream
from world import MIB, PLENTY, TRICKLE_BYTES

CELL_DATA = 498
KIB = 1 << 10


def valid_after(control):
    return control.ask("GETINFO consensus/valid-after")[0].split("=")[1]


def within(seconds, what, test):
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end, f"not in time: {what}"
        time.sleep(0.3)


def directory_circuits_are_free(w):
    """A client that reaches one relay only, which gives nothing to who does
    not pay, has all its directories from there, before it is stopped and
    after."""
    relay = w.relays[3]
    nothing = "policy stock_clients=1,free_cells=0,base_cells=2,grace_ms=300"
    relay.tell(nothing)
    reader = w.net.client(
        "reader", "__LeaveStreamsUnattached 1\n__DisablePredictedCircuits 1\n"
        "ConfluxEnabled 0\n"
        f"ReachableAddresses {LOOPBACK}:{relay.or_port}\n"
        f"FallbackDir {LOOPBACK}:{relay.dir_port} orport={relay.or_port} "
        f"id={w.fpr['relay3']}\n")
    try:
        reader.wait(lambda e: e["kind"] == READY, what="READY")
        control = Control(reader.control_port)
        within(60, "the first directories", lambda: w._ready(control))
        # Of its own circuits not even a third hop comes about by then.
        relay.tell("policy base_cells=40")
        circ, _ = w.circuit(["relay3", "relay1", "relay2"], reader, control)
        s = Stream(reader, control, circ, w.origin)
        mark = relay.mark()
        s.ask(MIB)
        held = relay.wait(lambda e: e["kind"] == STATE and
                          e["state"] == STOPPED, mark, what="STOPPED")
        relay.tell(nothing)
        s.read(0.5)
        old = valid_after(control)
        within(60, "the next consensus", lambda: valid_after(control) != old)
        assert s.read(1) == 0, "stopped, but bytes arrive"
        w.grant("relay3", held["circ"], PLENTY)
        s.read()
        assert s.intact(MIB)
        s.close()
    finally:
        relay.tell("policy stock_clients=0,free_cells=127,base_cells=32,"
                   "grace_ms=3000")
        reader.end()


def the_word_for_a_directory_frees_no_other_circuit(w):
    """BEGIN_DIR on circuits that carry streams, or go on to another hop."""
    relay = w.relays[3]
    relay.tell("policy stock_clients=1,free_cells=0,base_cells=40")
    ends = {}
    try:
        for names in (["relay1", "relay2", "relay3"],
                      ["relay3", "relay1", "relay2"]):
            hop = names.index("relay3") + 1
            circ, _ = w.circuit(names)
            w.client.tell(f"begindir {circ} {hop}")
            s = w.stream(circ)
            mark = relay.mark()
            s.ask(MIB)
            relay.wait(lambda e: e["kind"] == STATE and
                       e["state"] == STOPPED, mark, what="STOPPED")
            s.read(0.5)
            w.client.tell(f"begindir {circ} {hop}")
            assert s.read(1) == 0, f"relay3 as hop {hop} is free"
            ends[hop] = MIB - s.left
            s.close()
            w.client.tell(f"close {circ}")
    finally:
        relay.tell("policy stock_clients=0,free_cells=127,base_cells=32")
    return f"bytes until stopped {ends}"


def the_wallet_of_a_stopped_client_reaches_the_ledger(w):
    """A guard stopped its client, which used up all that its address has for
    nothing: a few requests still go over a new circuit, and no more."""
    relay, names = w.relays[3], ["relay3", "relay1", "relay2"]
    relay.tell("policy free_cells_address=100,free_refill_ms=3600000")
    try:
        def unpaid():
            circ, _ = w.circuit(names)
            s = w.stream(circ)
            return circ, s, w.hello(circ, 1, "relay3"), relay.mark()

        def wait(number, state, mark):
            return relay.wait(lambda e: e["kind"] == STATE and
                              e["circ"] == number and e["state"] == state,
                              mark, what=f"state {state}")

        _, first, stopped, mark = unpaid()
        first.ask(MIB)
        wait(stopped, STOPPED, mark)
        # Two accounts of a wallet, each on a circuit of its own.
        for _ in range(2):
            circ, s, number, mark = unpaid()
            began = time.monotonic()
            for _ in range(3):
                s.fetch(6 * KIB)
                s.close()
                s = w.stream(circ)
            took = time.monotonic() - began
            # The base that every circuit has, and nothing out of the pool.
            event = wait(number, TRICKLE, mark)
            assert 32 <= event["in"] + event["out"] <= 32 + 1, event
            s.ask(MIB)
            wait(number, STOPPED, mark)
            s.read(1)
            assert s.read(1) == 0, "stopped, but bytes arrive"
            got = 18 * KIB + MIB - s.left
            most = 33 * CELL_DATA + 4 * TRICKLE_BYTES
            assert got <= most, (got, most)
            s.close()
        # Topped up, it pays for what is stopped.
        w.grant("relay3", stopped, PLENTY)
        first.read()
        assert first.intact(MIB)
        first.close()
    finally:
        relay.tell("policy free_cells_address=1000,free_refill_ms=10")
    return f"18 KiB in {took:.1f} s, {got / KIB:.0f} KiB until it was stopped"
