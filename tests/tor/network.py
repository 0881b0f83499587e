# SPDX-License-Identifier: MIT OR Apache-2.0
"""A tor network on loopback, made of test hosts and of stock tor.

Authorities are stock tor (and relays that do not speak payment cells); all
other nodes are `host` programs (host.c). Everything dies with this process:
each child gets a parent-death signal and its standard input is our pipe.
"""

import ctypes
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import threading
import time

LOOPBACK = "127.0.0.1"

CELL, CIRCUIT, BEGIN, STATE, WATCH, CLOSED, COUNTERS, FAILED, READY = (
    3, 1, 2, 4, 5, 6, 7, 8, 9)
OPEN, TRICKLE, STOPPED = 0, 1, 2

COMMON = """
TestingTorNetwork 1
AssumeReachable 1
AddressDisableIPv6 1
TestingV3AuthInitialVotingInterval 5
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
V3AuthVotingInterval 10
V3AuthVoteDelay 2
V3AuthDistDelay 2
TestingAuthDirTimeToLearnReachability 0
TestingServerDownloadInitialDelay 0
TestingClientDownloadInitialDelay 0
TestingServerConsensusDownloadInitialDelay 0
TestingClientConsensusDownloadInitialDelay 0
ClientBootstrapConsensusAuthorityDownloadInitialDelay 0
ClientBootstrapConsensusFallbackDownloadInitialDelay 0
ClientBootstrapConsensusAuthorityOnlyDownloadInitialDelay 0
TestingMinExitFlagThreshold 0
PathsNeededToBuildCircuits 0.5
SafeLogging 0
ProtocolWarnings 1
Address 127.0.0.1
"""

RELAY = """
SocksPort 0
ExitRelay 1
ExitPolicyRejectPrivate 0
ExitPolicy accept 127.0.0.0/8:*
"""


_given = set()


def free_ports(n):
    """n ports that nobody listens on, below those that the kernel gives to
    outgoing connections, none given twice."""
    ports = []
    while len(ports) < n:
        port = random.randrange(15000, 32000)
        if port in _given:
            continue
        with socket.socket() as s:
            try:
                s.bind((LOOPBACK, port))
            except OSError:
                continue
        _given.add(port)
        ports.append(port)
    return ports


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Node:
    """One tor: stock, or a host that we talk to."""

    def __init__(self, net, name, torrc, stock=False, policy="", echo=False,
                 guard=False):
        self.net, self.name, self.stock = net, name, stock
        self.dir = os.path.join(net.dir, name)
        os.makedirs(self.dir, mode=0o700, exist_ok=True)
        self.torrc = os.path.join(self.dir, "torrc")
        self.policy, self.echo, self.guard = policy, echo, guard
        self.or_port, self.dir_port, self.socks_port, self.control_port = \
            free_ports(4)
        self.text = torrc
        self.events = []
        self.cond = threading.Condition()
        self.proc = None
        self.ending = False

    def base_torrc(self):
        return (COMMON + "".join(self.net.authority_lines) +
                f"DataDirectory {self.dir}/data\nNickname {self.name}\n"
                f"Log notice file {self.dir}/log\n"
                f"ControlPort {LOOPBACK}:{self.control_port}\n"
                "CookieAuthentication 0\n")

    def start(self):
        with open(self.torrc, "w") as f:
            f.write(self.base_torrc() + self.text.format(**self.__dict__))
        args = ["-f", self.torrc, "--quiet", "--ignore-missing-torrc",
                "--defaults-torrc", "/dev/null"]
        if self.stock:
            cmd = [self.net.stock_tor] + args
        else:
            cmd = [self.net.host] + (["--echo"] if self.echo else [])
            if self.guard:
                cmd += ["--guard"]
            if self.policy:
                cmd += ["--policy", self.policy]
            cmd += ["--"] + args
        self.err = open(os.path.join(self.dir, "stderr"), "wb")
        self.proc = subprocess.Popen(
            cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.err, preexec_fn=die_with_parent)
        if not self.stock:
            threading.Thread(target=self._read, daemon=True).start()
        return self

    def _read(self):
        for line in self.proc.stdout:
            event = json.loads(line)
            event["at"] = time.monotonic()
            with self.cond:
                self.events.append(event)
                self.cond.notify_all()

    def tell(self, line):
        self.proc.stdin.write((line + "\n").encode())
        self.proc.stdin.flush()

    def mark(self):
        """A place in the list of events to look from."""
        with self.cond:
            return len(self.events)

    def wait(self, test, since=0, timeout=20, what="event"):
        """The first event since `since` for which test() is true."""
        end = time.monotonic() + timeout
        at = since
        with self.cond:
            while True:
                while at < len(self.events):
                    if test(self.events[at]):
                        return self.events[at]
                    at += 1
                left = end - time.monotonic()
                if left <= 0 or self.proc.poll() is not None:
                    raise AssertionError(
                        f"{self.name}: no {what} within {timeout} s "
                        f"(exit code {self.proc.poll()})")
                self.cond.wait(left)

    def find(self, test, since=0):
        with self.cond:
            return [e for e in self.events[since:] if test(e)]

    def stats(self, circ=None):
        """mw_stats(); with a circuit, after what we told it so far."""
        if circ:
            self.counters(circ, 1)
        mark = self.mark()
        self.tell("stats")
        return self.wait(lambda e: e["kind"] == "stats", mark)

    def counters(self, circ, hop):
        mark = self.mark()
        self.tell(f"query {circ}")
        return self.wait(lambda e: e["kind"] == COUNTERS and e["hop"] == hop
                         and e["circ"] == circ, mark)

    def fingerprint(self):
        path = os.path.join(self.dir, "data", "fingerprint")
        end = time.monotonic() + 30
        while not os.path.exists(path) and time.monotonic() < end:
            time.sleep(0.1)
        with open(path) as f:
            return f.read().split()[1]

    def alive(self):
        return self.proc.poll() is None

    def end(self):
        """Ask tor to end, once: a second signal would kill it."""
        if self.proc and self.alive() and not self.ending:
            self.ending = True
            self.proc.send_signal(signal.SIGTERM)

    def stop(self):
        if not self.proc:
            return None
        self.end()
        try:
            self.proc.wait(20)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
            return "killed"
        return self.proc.returncode


class Control:
    """A control connection: circuits of chosen hops, streams on them."""

    def __init__(self, port):
        end = time.monotonic() + 20
        while True:
            try:
                self.sock = socket.create_connection((LOOPBACK, port), 5)
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
        self.sock.settimeout(60)
        self.buf = b""
        self.events = []
        self.ask("AUTHENTICATE")
        self.ask("SETEVENTS CIRC STREAM")

    def _line(self, timeout):
        """The next line, or None when none comes in time."""
        while b"\r\n" not in self.buf:
            if not select.select([self.sock], [], [], timeout)[0]:
                return None
            data = self.sock.recv(65536)
            if not data:
                raise AssertionError("control connection closed")
            self.buf += data
        line, self.buf = self.buf.split(b"\r\n", 1)
        return line.decode()

    def _reply(self):
        lines = []
        while True:
            line = self._line(60)
            if line is None:
                raise AssertionError("no answer on the control connection")
            if line.startswith("650"):
                self.events.append(line)
                continue
            if line[3] == "+":
                while True:
                    data = self._line(60)
                    if data in (".", None):
                        break
                    lines.append(data)
                continue
            lines.append(line[4:])
            if line[3] == " ":
                return line[:3], lines

    def ask(self, command):
        self.sock.sendall((command + "\r\n").encode())
        code, lines = self._reply()
        if code != "250":
            raise AssertionError(f"{command}: {code} {lines}")
        return lines

    def event(self, test, timeout=30):
        """The first event, from now on, for which test(words) is true."""
        end = time.monotonic() + timeout
        while True:
            while self.events:
                words = self.events.pop(0).split()
                if test(words):
                    return words
            if time.monotonic() > end:
                raise AssertionError("no control event in time")
            line = self._line(0.2)
            if line and line.startswith("650"):
                self.events.append(line)

    def bootstrapped(self):
        return "PROGRESS=100" in self.ask("GETINFO status/bootstrap-phase")[0]

    def build(self, hops, tries=5):
        """Build a circuit over these fingerprints, return its number."""
        for _ in range(tries):
            path = ",".join("$" + h for h in hops)
            circ = self.ask(f"EXTENDCIRCUIT 0 {path}")[0].split()[1]
            words = self.event(lambda w: w[1] == "CIRC" and w[2] == circ and
                               w[3] in ("BUILT", "FAILED", "CLOSED"))
            if words[3] == "BUILT":
                return int(circ)
            time.sleep(1)
        raise AssertionError("circuit not built")

    def attach(self, circ, port):
        """Put the next new stream to this port on this circuit."""
        words = self.event(lambda w: w[1] == "STREAM" and w[3] == "NEW" and
                           w[5] == f"{LOOPBACK}:{port}")
        self.ask(f"ATTACHSTREAM {words[2]} {circ}")

    def closed(self, circ):
        return not any(l.split()[0].endswith(str(circ))
                       for l in self.ask("GETINFO circuit-status") if l)


class Network:
    """Three stock authorities, `relays` patched relays, one client."""

    def __init__(self, directory, host, stock_tor, gencert):
        self.dir, self.host = directory, host
        self.stock_tor, self.gencert = stock_tor, gencert
        self.authority_lines = []
        self.nodes = {}

    def authorities(self, n=3):
        made = []
        for i in range(n):
            node = Node(self, f"auth{i}", RELAY +
                        "AuthoritativeDirectory 1\nV3AuthoritativeDirectory 1\n"
                        "ORPort {or_port}\nDirPort {dir_port}\n"
                        "ContactInfo a@example.invalid\n"
                        "TestingDirAuthVoteExit *\nTestingDirAuthVoteHSDir *\n"
                        "TestingDirAuthVoteGuard *\n"
                        "DownloadExtraInfo 0\n", stock=True)
            keys = os.path.join(node.dir, "data", "keys")
            os.makedirs(keys, mode=0o700)
            os.chmod(os.path.join(node.dir, "data"), 0o700)
            read, write = os.pipe()
            os.write(write, b"test\n")
            os.close(write)
            subprocess.run(
                [self.gencert, "--create-identity-key", "--passphrase-fd",
                 str(read), "-m", "12", "-a",
                 f"{LOOPBACK}:{node.dir_port}"],
                cwd=keys, pass_fds=[read], check=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            os.close(read)
            with open(os.path.join(keys, "authority_certificate")) as f:
                ident = [l.split()[1] for l in f
                         if l.startswith("fingerprint ")][0]
            # tor makes its relay keys only once it has a configuration.
            out = subprocess.run(
                [self.stock_tor, "--list-fingerprint", "--quiet",
                 "--ignore-missing-torrc", "-f", "/nonexistent",
                 "--defaults-torrc", "/dev/null", "--DataDirectory",
                 os.path.join(node.dir, "data"), "--Nickname", node.name,
                 "--ORPort", str(node.or_port), "--Address", LOOPBACK,
                 "--DirAuthority",
                 f"x orport=1 v3ident={'0' * 40} {LOOPBACK}:1 {'0' * 40}"],
                check=True, stdout=subprocess.PIPE).stdout.decode()
            fpr = out.split(" ", 1)[1].replace(" ", "").strip()[-40:]
            self.authority_lines.append(
                f"DirAuthority {node.name} orport={node.or_port} "
                f"v3ident={ident} {LOOPBACK}:{node.dir_port} {fpr}\n")
            made.append(node)
        for node in made:
            self.nodes[node.name] = node.start()

    def relay(self, name, policy="", echo=True, extra=""):
        node = Node(self, name, RELAY + "ORPort {or_port}\n"
                    "DirPort {dir_port}\n" + extra,
                    policy=policy, echo=echo)
        self.nodes[name] = node.start()
        return node

    def client(self, name, extra="", policy="relay_enabled=0", guard=False):
        node = Node(self, name, "SocksPort {socks_port}\n"
                    "UseEntryGuards 0\n" + extra, policy=policy,
                    guard=guard)
        self.nodes[name] = node.start()
        return node

    def stop(self):
        """End everything; which nodes did not end well, and how."""
        for node in self.nodes.values():
            node.end()
        ends = {n: node.stop() for n, node in self.nodes.items()}
        return [f"{n} ({end})" for n, end in ends.items()
                if end not in (0, None)]

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)
