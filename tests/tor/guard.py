# SPDX-License-Identifier: MIT OR Apache-2.0
"""Whose programs may use a client's SOCKS port."""

import os
import socket
import subprocess
import sys
import time

from abandon import Chooser
from network import BEGIN, LOOPBACK, free_ports
from world import MIB, NotRun

NOBODY = 65534

# What a program of another user does: the whole of SOCKS 5, or a CONNECT.
VISITOR = r"""
import encodings.idna, os, socket, struct, sys
how, port, there = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
# Only now: the interpreter may lie where that user cannot read.
for user in map(int, sys.argv[4:]):
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
def answer(sock, n):
    data = b""
    while len(data) < n:
        more = sock.recv(n - len(data))
        if not more:
            break
        data += more
    return data
try:
    s = socket.create_connection(("127.0.0.1", port), 20)
    s.settimeout(60)
    if how == "socks":
        s.sendall(b"\x05\x01\x00")
        good = answer(s, 2) == b"\x05\x00"
        if good:
            s.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01" +
                      struct.pack(">H", there))
            good = answer(s, 10)[1:2] == b"\x00"
    else:
        s.sendall(b"CONNECT 127.0.0.1:%d HTTP/1.0\r\n\r\n" % there)
        good = answer(s, 12) == b"HTTP/1.0 200"
    if good:
        s.sendall(b"GET 4096\n")
        good = len(answer(s, 4096)) == 4096
    print("served" if good else "refused")
except ConnectionError:
    print("refused")
"""


def visit(w, port, how="socks", user=None):
    """What becomes of a download through this port by a program of `user`."""
    run = subprocess.run(
        [sys.executable, "-c", VISITOR, how, str(port), str(w.origin.port)] +
        ([] if user is None else [str(user)]),
        stdout=subprocess.PIPE, timeout=120, check=True)
    return run.stdout.decode().strip()


def want_root():
    if os.geteuid() != 0:
        raise NotRun("only root can start programs of another user")


def guarded(w):
    """One client with a guard for all tests here."""
    if "guarded" not in w.net.nodes:
        w.tunnel, = free_ports(1)
        w.guarded = Chooser(w, "guarded", "ConfluxEnabled 0\n"
                            "SocksPort unix:{dir}/socks\n"
                            f"HTTPTunnelPort {LOOPBACK}:{w.tunnel}\n",
                            guard=True)
    return w.guarded


def programs_of_our_own_user_get_through_a_guarded_port(w):
    client = guarded(w).client
    stream, _ = guarded(w).stream()
    stream.fetch(MIB)
    stream.close()
    assert visit(w, client.socks_port) == "served"
    assert visit(w, w.tunnel, "tunnel") == "served"
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(os.path.join(client.dir, "socks"))
        s.sendall(b"\x05\x01\x00")
        assert s.recv(2) == b"\x05\x00", "a unix socket has a file's mode"


def programs_of_other_users_are_refused_and_spend_nothing(w):
    want_root()
    chooser = guarded(w)
    client = chooser.client
    chooser.stream()[0].close()
    # They could be served: without a guard, on purpose, they are.
    shared = Chooser(w, "shared", "ConfluxEnabled 0\n")
    assert visit(w, shared.client.socks_port, user=NOBODY) == "served"
    shared.client.stop()

    chooser.control.ask("GETINFO version")
    chooser.control.events.clear()
    mark = client.mark()
    for _ in range(5):
        assert visit(w, client.socks_port, user=NOBODY) == "refused"
    assert visit(w, w.tunnel, "tunnel", NOBODY) == "refused"
    time.sleep(1)
    chooser.control.ask("GETINFO version")
    streams = [e for e in chooser.control.events if e.startswith("650 STREAM")]
    assert not streams, streams
    assert not client.find(lambda e: e["kind"] == BEGIN, mark)
    with open(os.path.join(client.dir, "log")) as f:
        lines = [l for l in f if "Refused a connection to our SOCKS" in l]
    assert len(lines) == 1, lines
    # And the owner still may.
    assert visit(w, client.socks_port) == "served"
