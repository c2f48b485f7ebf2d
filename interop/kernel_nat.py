#!/usr/bin/env python3
"""The simulator's NATs against Linux's own, with the same probes, cell by cell.

    interop/kernel_nat.py            compares, and fails on the first difference with what is committed
    interop/kernel_nat.py --write    writes interop/kernel_nat.md and the transcripts that `cargo test` replays

Each box is a router between network namespaces, set up with nftables; in the simulator it is the preset of the same name. The
namespaces have no name and no way out, and vanish with the process. Wants root, `ip` and `nft` (interop/setup brings them).
"""

import ctypes
import errno
import math
import multiprocessing
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROBES = HERE / "nat_probes.txt"
TABLE = HERE / "kernel_nat.md"
TRANSCRIPTS = HERE / "kernel_nat.txt"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target"))

# The timeouts of the kernel, in seconds, short so that they can be waited for.
YOUNG, SETTLED = 3, 6
CLONE_NEWNET = 0x40000000
SERVERS = 8
EXTERNAL = [f"203.0.113.{n}" for n in range(1, 5)]
# How long an answer may take, and how long silence is listened to.
PATIENCE_S = 0.12
# How often a datagram passes a host's own loopback before silence is believed: more often than a probe is queued on its way.
FENCE = 16
# A cell that took this much longer than it says has told of this machine's load and not of its NAT: the waits are chosen so that
# half a second decides.
SLACK_S = 0.3
# Pauses before cells are asked again to which an answer is missing.
PAUSES_S = (0, 1, 3, 6, 10)
# An ethertype for local experiments (IEEE 802): what has it passes no rule and leaves no trace in a router.
EXPERIMENT = 0x88B5

def nat(statement, more=""):
    return f"""table ip nat {{
        {more}
        chain post {{
            type nat hook postrouting priority 100
            oifname w {statement}
        }}
    }}
    """


def forward(*rules):
    lines = "\n".join(rules)
    return f"""table ip f {{
        chain through {{
            type filter hook forward priority 0
            {lines}
        }}
    }}
    """


# UDP to port 5000 of the router goes to a, as a user sets it up, or UPnP.
OPENED = f"""chain pre {{
            type nat hook prerouting priority -100
            ip daddr {EXTERNAL[0]} udp dport 5000 dnat to 192.168.1.10:5000
        }}"""
HAIRPIN = f"""chain hairpin {{
            type nat hook postrouting priority 90
            ip saddr 192.168.1.0/24 ip daddr 192.168.1.0/24 snat to {EXTERNAL[0]}
        }}"""
DROP_STRANGERS = """table ip in {
        chain in {
            type filter hook input priority 0
            ct state established,related accept
            iifname w drop
        }
    }
    """
# The probes whose outcome depends on chance in a box that has few ports or several addresses are left out there.
FEW = ["mapping", "filtering", "ports", "addresses", "addresses of many sockets", "hairpin", "exhaustion"]
# The rules of each box, and which probes it gets if not all. Its LAN is behind `lan`, the rest of the world behind `w`.
BOXES = {
    "linux-bare": (nat("masquerade"), None),
    "home-linux": (nat("masquerade") + DROP_STRANGERS, None),
    "linux-random": (nat("masquerade random"), None),
    "linux-fully-random": (nat("masquerade fully-random"), None),
    "linux-port-range": (nat(f"ip protocol udp snat to {EXTERNAL[0]}:40000-44095"), None),
    "linux-four-ports": (nat(f"ip protocol udp snat to {EXTERNAL[0]}:40000-40003"), FEW[:4] + FEW[5:]),
    "linux-pool": (nat(f"snat to {EXTERNAL[0]}-{EXTERNAL[3]}"), FEW),
    "linux-pool-persistent": (nat(f"snat to {EXTERNAL[0]}-{EXTERNAL[3]} persistent"), FEW),
    "linux-forward": (nat("masquerade", OPENED), None),
    "linux-forward-hairpin": (nat("masquerade", f"{OPENED}\n{HAIRPIN}"), None),
    "linux-firewall": (forward("ct state established,related accept", "iifname w drop"), None),
    "linux-two-ports": (nat("masquerade") + forward("udp dport != { 53, 100 } iifname lan drop"), None),
}

libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    pass


def enter(fd):
    if libc.setns(fd, CLONE_NEWNET) != 0:
        raise Failed(f"setns: {os.strerror(ctypes.get_errno())}")


class Space:
    """A network namespace without a name."""

    def __init__(self):
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        try:
            if libc.unshare(CLONE_NEWNET) != 0:
                raise Failed(f"a network namespace cannot be made ({os.strerror(ctypes.get_errno())}): run as root")
            self.fd = os.open("/proc/self/ns/net", os.O_RDONLY)
            enter(home)
        finally:
            os.close(home)
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"

    def ip(self, commands):
        self.run(["ip", "-batch", "-"], "link set lo up\n" + commands)

    def run(self, command, stdin):
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, preexec_fn=lambda: enter(self.fd))
        if done.returncode != 0:
            raise Failed(f"`{' '.join(command)}` with\n{stdin}\nsaid: {done.stderr.strip()}")

    @contextmanager
    def inside(self):
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        try:
            enter(self.fd)
            yield
        finally:
            enter(home)
            os.close(home)

    def set(self, name, value):
        with self.inside():
            path = Path("/proc/sys/net") / name
            if path.exists():
                path.write_text(f"{value}\n")
                return True
        return False

    def socket(self, address):
        with self.inside():
            it = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            it.setblocking(False)
            it.bind(address)
            return it

    def frames(self, device):
        """A socket for frames of our own on one of the devices."""
        with self.inside():
            it = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EXPERIMENT))
            it.setblocking(False)
            it.bind((device, EXPERIMENT))
            return it

    def close(self):
        os.close(self.fd)


def shake_hands(one, other):
    """Returns once frames pass from either end of a way, a (space, device) each, to the other."""
    ends = [space.frames(device) for space, device in (one, other)]
    try:
        for sender, receiver in (ends, ends[::-1]):
            greeting = b"\xff" * 6 + sender.getsockname()[4] + EXPERIMENT.to_bytes(2, "big") + b"ready?".ljust(46)
            for _ in range(100):
                try:
                    sender.send(greeting)
                except OSError as error:
                    if error.errno != errno.ENETDOWN:
                        raise
                if select.select([receiver], [], [], 0.1)[0]:
                    break
            else:
                raise Failed(f"nothing passes from {sender.getsockname()[0]} to {receiver.getsockname()[0]}")
    finally:
        for it in ends:
            it.close()


class Kernel:
    """Two hosts behind a router, and servers outside; all of it the kernel's."""

    def __init__(self, rules):
        self.spaces = {name: Space() for name in ("a", "b", "router", "outside")}
        router, outside = self.spaces["router"], self.spaces["outside"]
        made = ["link add lan type bridge", "link set lan up", "addr add 192.168.1.1/24 dev lan"]
        for host in "ab":
            made += [f"link add p{host} type veth peer name e netns {self.spaces[host].path}",
                     f"link set p{host} master lan", f"link set p{host} up"]
        made += [f"link add w type veth peer name w netns {outside.path}", "link set w up"]
        made += [f"addr add {ip}/24 dev w" for ip in EXTERNAL]
        # The other end has to be up before there is a way to it, which is what the servers' space is for.
        router.ip("\n".join(made))
        outside.ip("\n".join(["addr add 203.0.113.254/24 dev w", "link set w up", "route add 192.168.1.0/24 via 203.0.113.1"]
                             + [f"addr add 198.51.100.{n}/32 dev lo" for n in range(1, SERVERS + 1)]))
        router.ip("route add default via 203.0.113.254")
        for host, last in (("a", 10), ("b", 11)):
            self.spaces[host].ip(f"addr add 192.168.1.{last}/24 dev e\nlink set e up\nroute add default via 192.168.1.1")
        router.set("ipv4/ip_forward", 1)
        router.set("bridge/bridge-nf-call-iptables", 0)
        router.run(["nft", "-f", "-"], rules)
        # Only there once the rules have brought connection tracking along.
        if not (router.set("netfilter/nf_conntrack_udp_timeout", YOUNG)
                and router.set("netfilter/nf_conntrack_udp_timeout_stream", SETTLED)):
            raise Failed("this kernel does not let a namespace set how long a mapping lives")
        for host in "ab":
            shake_hands((self.spaces[host], "e"), (router, "lan"))
        shake_hands((outside, "w"), (router, "w"))
        self.fence = outside.socket(("127.0.0.1", 0))
        self.sockets = {}
        self.sent = 0
        self.began = time.monotonic()
        # How long everything may have taken by now.
        self.planned = 0

    def is_late(self):
        return time.monotonic() - self.began > self.planned + SLACK_S

    def close(self):
        for it in [self.fence, *self.sockets.values()]:
            it.close()
        for space in self.spaces.values():
            space.close()

    def at(self, host, port):
        inside = {"a": "192.168.1.10", "b": "192.168.1.11"}
        address = (inside.get(host) or f"198.51.100.{host[1:]}", port)
        if address not in self.sockets:
            self.sockets[address] = self.spaces[host if host in inside else "outside"].socket(address)
        return self.sockets[address]

    def address(self, host):
        return {"a": "192.168.1.10", "b": "192.168.1.11"}.get(host) or f"198.51.100.{host[1:]}"

    def deliver(self, source, to):
        """Sends one datagram, and returns (socket name, source address) of who got it, or None."""
        self.sent += 1
        payload = f"probe {self.sent}".encode()
        self.planned += PATIENCE_S
        source.sendto(payload, to)
        return self.arrived(payload, PATIENCE_S) or self.settle() or self.arrived(payload, 0)

    def arrived(self, payload, patience):
        """Who got these bytes, looked for once more when patience is at its end: it may have been this process that was late."""
        deadline = time.monotonic() + patience
        while True:
            left = max(0, deadline - time.monotonic())
            ready, _, _ = select.select(list(self.sockets.values()), [], [], left)
            if not ready and left == 0:
                return None
            for it in ready:
                data, sender = it.recvfrom(2048)
                if data == payload:
                    return it.getsockname(), sender

    def settle(self):
        """Has a datagram pass the same processor's queue so often that whatever was sent before has come to where it goes."""
        for n in range(FENCE):
            self.fence.sendto(b"%d" % n, self.fence.getsockname())
            select.select([self.fence], [], [])
            self.fence.recv(16)

    def send(self, source, to):
        host, port = source
        self.at(*to)
        got = self.deliver(self.at(host, port), (self.address(to[0]), to[1]))
        return got and got[1]

    def back(self, server, external):
        return self.heard(self.deliver(self.at(*server), external))

    def hairpin(self, source, external):
        got = self.deliver(self.at(*source), external)
        return got and got[1]

    def heard(self, got):
        names = {"192.168.1.10": "a", "192.168.1.11": "b"}
        return got and f"{names.get(got[0][0], got[0][0])}:{got[0][1]}"

    def wait(self, ms):
        self.planned += ms / 1000
        time.sleep(ms / 1000)


class Reader:
    """Runs a probe and words what is seen, so that it does not depend on chance: the twin of the simulator's."""

    def __init__(self, network):
        self.network = network
        self.names = {}
        self.ports = []
        self.addresses = []

    def endpoint(self, seen, port):
        if seen is None:
            return "-"
        if seen[0] not in self.addresses:
            self.addresses.append(seen[0])
        address = f"x{self.addresses.index(seen[0]) + 1}"
        if seen[1] == port:
            return f"{address}:="
        if seen[1] not in self.ports:
            self.ports.append(seen[1])
        return f"{address}:p{self.ports.index(seen[1]) + 1}"

    def line(self, words):
        verb, *rest = words
        if verb == "wait":
            return self.network.wait(int(rest[0]))
        host, port = rest[0].split(":")
        source = (host, int(port))
        if verb == "back":
            seen = self.names[rest[1]]
            return "-" if seen is None else self.network.back(source, seen) or "-"
        if verb == "hairpin":
            external = self.names[rest[1]]
            seen = external and self.network.hairpin(source, external)
            if seen is None:
                return "-"
            return "from inside" if seen == (self.network.address(host), source[1]) else "from outside"
        if verb in ("hosts", "spread"):
            step = int(verb == "spread")
            seen = [self.network.send((host, source[1] + n * step), (f"s{n + 1}", 100)) for n in range(int(rest[1]))]
            return "one address" if len({it and it[0] for it in seen}) == 1 else "several addresses"
        to = rest[1].split(":")
        to = (to[0], int(to[1]))
        if verb == "send":
            seen = self.network.send(source, to)
            if rest[2:3] == ["as"]:
                self.names[rest[3]] = seen
            return self.endpoint(seen, source[1])
        count = int(rest[2])
        if verb == "fill":
            seen = [self.network.send((host, source[1] + n), to) for n in range(count)]
            return f"{sum(it is not None for it in seen)} of {count} pass"
        assert verb == "many", verb
        seen = [self.network.send(source, (to[0], to[1] + n)) for n in range(count)]
        return common([it and it[1] for it in seen], source[1])


def common(ports, inside):
    if None in ports:
        return f"{sum(it is not None for it in ports)} of {len(ports)} pass"
    if set(ports) == {inside}:
        return "all kept"
    if len(set(ports)) == 1:
        return "all the same, another"
    steps = {b - a for a, b in zip(ports, ports[1:])}
    if len(steps) == 1:
        return f"in steps of {steps.pop()}"
    if len(set(ports)) == len(ports):
        return "all different, scattered"
    return "some the same"


def probes(text):
    """(name, lines) of each probe."""
    found = []
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("probe "):
            found.append((line.removeprefix("probe "), []))
        else:
            found[-1][1].append(line)
    return found


def transcript(box, name, lines):
    network = Kernel(BOXES[box][0])
    try:
        reader = Reader(network)
        said = []
        for line in lines:
            answer = reader.line(line.split())
            said.append(line if answer is None else f"{line} -> {answer}")
        return box, name, said, network.is_late()
    finally:
        network.close()


def job(arguments):
    # On one processor, whose queue is emptied in order.
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[os.getpid() % len(os.sched_getaffinity(0))]})
    try:
        return transcript(*arguments)
    except Failed as failure:
        return *arguments[:2], failure, False


def cells():
    asked = probes(PROBES.read_text())
    return [(box, name, lines) for box, (_, only) in BOXES.items() for name, lines in asked
            if only is None or name in only]


def kernel(work, at_once=16):
    """What the kernel says in each cell, and in which of them it was asked too late."""
    for tool in ("ip", "nft"):
        if shutil.which(tool) is None:
            raise Failed(f"`{tool}` is missing; run interop/setup")
    # They mostly wait; each takes a process of its own, since a namespace belongs to a thread.
    with multiprocessing.Pool(at_once, maxtasksperchild=1) as pool:
        done = pool.map(job, work, chunksize=1)
    for _, _, said, _ in done:
        if isinstance(said, Failed):
            raise said
    return {(box, name): said for box, name, said, _ in done}, {(box, name) for box, name, _, late in done if late}


def lacks_only(lines, reference):
    """Whether a cell differs in nothing but that answers are missing which the reference has."""
    def lacks(line, other):
        if line == other:
            return True
        (asked, _, answer), (expected, _, known) = line.partition(" -> "), other.partition(" -> ")
        is_none = answer == "-" or " of " in answer and answer.endswith(" pass")
        return asked == expected and is_none and passed(answer) < passed(known)

    def passed(answer):
        if answer == "-":
            return 0
        count, of, _ = answer.partition(" of ")
        return int(count) if of else math.inf

    return len(lines) == len(reference) and all(map(lacks, lines, reference))


def agreed(work, committed):
    """What the kernel says, with those cells asked again that told of a busy machine; which these were, and how often."""
    real, late = kernel(work)
    repeated = {}
    for pause in PAUSES_S:
        def is_excused(key):
            by_chance = "random" in BOXES[key[0]][0]
            known = committed.get(key)
            return known is not None and real[key] != known and (key in late or by_chance or lacks_only(real[key], known))
        again = [cell for cell in work if is_excused(cell[:2])]
        if not again:
            break
        time.sleep(pause)
        said, still = kernel(again, at_once=4)
        real |= said
        late = late - said.keys() | still
        for cell in again:
            repeated[cell[:2]] = repeated.get(cell[:2], 0) + 1
    return real, repeated


def simulated():
    """The same from `moot-sim nat`."""
    command = [TARGET / "release/moot-sim", "nat", "--probes", PROBES, *BOXES]
    if not command[0].exists():
        raise Failed("build moot-sim first: cargo build --release -p folkmoot-sim")
    text = subprocess.run(command, capture_output=True, text=True)
    if text.returncode != 0:
        raise Failed(text.stderr.strip())
    return parse(text.stdout)


def parse(text):
    said, at = {}, None
    for line in text.splitlines():
        if line.startswith("box "):
            box, _, name = line.removeprefix("box ").partition(" probe ")
            at = said.setdefault((box, name), [])
        elif line:
            at.append(line)
    return said


def written(said):
    parts = []
    for (box, name), lines in said.items():
        parts.append("\n".join([f"box {box} probe {name}", *lines]) + "\n")
    return "\n".join(parts)


def answers(lines):
    return "; ".join(line.split(" -> ")[1] for line in lines if " -> " in line)


def table(said, model):
    release = os.uname().release.split("-")[0]
    names = [name for name, _ in probes(PROBES.read_text())]
    rows = ["# NATs: the kernel and the simulator", "",
            f"Written by `interop/kernel_nat.py --write` on Linux {release}; `.ci/run` compares anew, and `cargo test` replays what the "
            "kernel said. Each cell has what the kernel answered to the probe of that name in `nat_probes.txt`, in order; where the "
            "simulator says anything else, it says so in bold. `=` is the internal port, p1, p2… are others, x1, x2… external "
            "addresses, `-` is nothing.", ""]
    boxes = list(BOXES)
    rows.append("| probe | " + " | ".join(boxes) + " |")
    rows.append("|---" * (len(boxes) + 1) + "|")
    for name in names:
        cells = []
        for box in boxes:
            if (box, name) not in said:
                cells.append("")
                continue
            real, ours = said[(box, name)], model[(box, name)]
            cell = answers(real)
            cells.append(cell if real == ours else f"{cell} **simulator: {answers(ours)}**")
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def main():
    if sys.argv[1:] not in ([], ["--write"]):
        raise Failed("the only option there is, is --write")
    writes = bool(sys.argv[1:])
    work, model = cells(), simulated()
    # Whoever writes anew is to ask a machine that has time.
    real, repeated = agreed(work, {} if writes else parse(TRANSCRIPTS.read_text()))
    if writes:
        TRANSCRIPTS.write_text(written(real))
        TABLE.write_text(table(real, model))
    committed = parse(TRANSCRIPTS.read_text())
    differences = 0
    for key, lines in real.items():
        for other, whose in ((model.get(key), "the simulator"), (committed.get(key), "what is committed")):
            if other != lines:
                differences += 1
                print(f"{key[0]}, {key[1]}: the kernel says `{answers(lines)}`, {whose} `{answers(other or [])}`")
    if differences or committed.keys() != real.keys():
        raise Failed(f"{differences} cells differ; what the kernel says now is committed with --write")
    lines = sum(map(len, real.values()))
    for (box, name), times in repeated.items():
        print(f"asked again, {times} times: {box}, {name}" if times > 1 else f"asked again: {box}, {name}")
    print(f"{len(repeated)} of {len(real)} cells were asked again, since answers were missing, late, or a matter of chance")
    print(f"{len(BOXES)} boxes, {len(real)} cells, {lines} lines: the simulator does what the kernel does")


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        print(f"kernel_nat: {failure}", file=sys.stderr)
        sys.exit(1)
