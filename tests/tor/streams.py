# SPDX-License-Identifier: MIT OR Apache-2.0
"""What runs over circuits: a server behind the exits, streams through SOCKS."""

import hashlib
import select
import socket
import struct
import threading
import time

from network import LOOPBACK


class Origin(threading.Thread):
    """A server behind the exits. "GET n": n bytes; "PUT n": takes n bytes
    and answers with their hash."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server((LOOPBACK, 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.block = hashlib.sha512(b"block").digest() * 1024
        self.start()

    def run(self):
        while True:
            conn, _ = self.listener.accept()
            threading.Thread(target=self._serve, args=(conn,),
                             daemon=True).start()

    def _serve(self, conn):
        try:
            with conn, conn.makefile("rb") as f:
                verb, n = (f.readline().split() + [b"", b"0"])[:2]
                n = int(n)
                if verb == b"GET":
                    while n > 0:
                        conn.sendall(self.block[:n])
                        n -= len(self.block)
                elif verb == b"PUT":
                    digest = hashlib.sha256()
                    while n > 0:
                        data = f.read(min(n, 65536))
                        if not data:
                            return
                        digest.update(data)
                        n -= len(data)
                    conn.sendall(digest.hexdigest().encode())
        except OSError:
            pass

    def expected(self, n):
        digest = hashlib.sha256()
        while n > 0:
            digest.update(self.block[:n])
            n -= len(self.block)
        return digest.hexdigest()


class Stream:
    """A stream through a client's SOCKS port, on a circuit that we choose, or
    without a control connection on one that tor chooses."""

    def __init__(self, node, control, circ, origin, timeout=60, onion=None):
        self.sock = socket.create_connection((LOOPBACK, node.socks_port), 20)
        self.sock.settimeout(timeout)
        self.origin = origin
        self.sock.sendall(b"\x05\x01\x00")
        assert self._exactly(2) == b"\x05\x00"
        if onion:
            self.sock.sendall(b"\x05\x01\x00\x03" + bytes([len(onion)]) +
                              onion.encode() + struct.pack(">H", 80))
        else:
            self.sock.sendall(b"\x05\x01\x00\x01" +
                              socket.inet_aton(LOOPBACK) +
                              struct.pack(">H", origin.port))
            if control:
                control.attach(circ, origin.port)
        assert self._exactly(10)[1] == 0

    def _exactly(self, n):
        data = b""
        while len(data) < n:
            more = self.sock.recv(n - len(data))
            assert more, "stream closed"
            data += more
        return data

    def ask(self, n):
        self.sock.sendall(b"GET %d\n" % n)
        self.left, self.digest = n, hashlib.sha256()

    def read(self, seconds=None):
        """Read on; for so long, or to the end. Bytes read."""
        end = time.monotonic() + seconds if seconds else None
        got = 0
        while self.left:
            if end:
                wait = end - time.monotonic()
                if wait <= 0:
                    break
                if not select.select([self.sock], [], [], wait)[0]:
                    break
            data = self.sock.recv(min(self.left, 1 << 18))
            assert data, f"stream closed, {self.left} bytes missing"
            self.digest.update(data)
            self.left -= len(data)
            got += len(data)
        return got

    def wait(self, seconds):
        """True when there is something to read in time."""
        return bool(select.select([self.sock], [], [], seconds)[0])

    def intact(self, n):
        return self.left == 0 and \
            self.digest.hexdigest() == self.origin.expected(n)

    def fetch(self, n):
        self.ask(n)
        self.read()
        assert self.intact(n), "file differs"

    def close(self):
        self.sock.close()
