#!/usr/bin/env python3
"""How fast DHT nodes answer, ours beside four others, in one run on one machine: the table, with ratios.

Every server knows nodes of the same made-up crowd and is asked through a UDP socket of loopback, 32 questions under way at any
time. The servers take turns within each round, and what counts is the median of the rounds. The aims are in the constants below;
what misses them is named at the end. `--check` asserts those of reading KRPC, and nothing else: answers a second depend too much on
what else a machine does to be asserted on one that is shared.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack

from peers import FOREIGN, KINDS, NO_ITEMS, OURS, RIVALS, address, start

METHODS = ("ping", "find_node", "get_peers", "get")
CROWD = 250
SETTLE_S = 6
# At least so many times as many answers as these, to every question.
SOCKET_RATIOS = {"mainline": 1.5, "libtorrent": 1.0}
SERDE_RATIO = 10
# What two runs of the same code differ by.
NOISE = 1.1
RSS_MB = 5

FOREIGN["crowd"] = [RIVALS, "crowd"]


def load(node, method, seconds):
    command = [RIVALS, "load", address(node), method, str(seconds)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, timeout=30).stdout)


def pid(nodes):
    return nodes.world.processes[0].popen.pid if nodes.kind == OURS else nodes.process.pid


def rss_mb(nodes):
    with open(f"/proc/{pid(nodes)}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024


def cpu_s(nodes):
    """The processor time that all threads of a server have taken."""
    with open(f"/proc/{pid(nodes)}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def row(*cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def sockets(kinds, rounds, seconds):
    """The median of answers a second, by kind and question; and what an idle node of ours has in memory."""
    with ExitStack() as stack:
        crowd = stack.enter_context(start("crowd", CROWD))
        servers = {kind: stack.enter_context(start(kind, 1, crowd.nodes[0])) for kind in kinds}
        time.sleep(SETTLE_S)
        idle = rss_mb(servers[OURS])
        rates, costs, sizes = {}, {}, {}
        for turn in range(rounds):
            for method in METHODS:
                order = kinds[turn % len(kinds):] + kinds[:turn % len(kinds)]
                for kind in order:
                    if method == "get" and kind in NO_ITEMS:
                        continue
                    before = cpu_s(servers[kind])
                    said = load(servers[kind].nodes[0], method, seconds)
                    rates.setdefault((kind, method), []).append(said["per_second"])
                    spent = cpu_s(servers[kind]) - before
                    costs.setdefault((kind, method), []).append(1e6 * spent / max(1, said["answers"]))
                    sizes[kind, method] = said["bytes"]
        medians = {key: statistics.median(values) for key, values in rates.items()}
        print(f"\nAnswers a second through a UDP socket, 32 questions under way; median of {rounds} rounds\n")
        row("", *METHODS, "bytes of find_node", "MB resident")
        row(*["---"] * (len(METHODS) + 3))
        for kind in kinds:
            cells = [f"{medians[kind, m]:,.0f}" if (kind, m) in medians else "–" for m in METHODS]
            row(kind, *cells, f"{sizes[kind, 'find_node']:.0f}", f"{rss_mb(servers[kind]):.1f}")
        for kind in kinds:
            if kind != OURS:
                ratios = [f"{medians[OURS, m] / medians[kind, m]:.2f}" if medians.get((kind, m)) else "–" for m in METHODS]
                row(f"ours / {kind}", *ratios, "", "")
        print("\nMicroseconds of processor time for an answer, the kernel's share included\n")
        row("", *METHODS)
        row(*["---"] * (len(METHODS) + 1))
        for kind in kinds:
            row(kind, *(f"{statistics.median(costs[kind, m]):.1f}" if (kind, m) in costs else "–" for m in METHODS))
        print(f"\nOurs when idle: {idle:.1f} MB resident")
        return medians, idle


def parsing(rounds):
    """Nanoseconds to read a message, by message and crate."""
    said = json.loads(subprocess.run([RIVALS, "parse", str(rounds)], stdout=subprocess.PIPE, check=True, text=True).stdout)
    readers = list(next(iter(said.values())))
    print(f"\nNanoseconds to read a message; median of {rounds} rounds\n")
    row("", *said)
    row(*["---"] * (len(said) + 1))
    for reader in sorted(readers, key=lambda reader: (reader != OURS, sum(times[reader] for times in said.values()))):
        row(reader, *(f"{times[reader]:.0f}" for times in said.values()))
    return said


def slow_parsing(read):
    """Where ours is not as promised: as fast as the fastest crate, and 10 times as fast as serde_bencode."""
    for message, times in read.items():
        fastest = min(nanoseconds for reader, nanoseconds in times.items() if reader != OURS)
        if times[OURS] > NOISE * fastest:
            yield f"reading a {message}: {times[OURS]:.0f} ns, the fastest crate {fastest:.0f}"
        if times["serde_bencode"] < SERDE_RATIO * times[OURS]:
            yield f"reading a {message}: {times['serde_bencode'] / times[OURS]:.1f} times serde_bencode"


def slow_sockets(medians, idle):
    """Where ours answers less than it is to, or has more in memory."""
    for kind, wanted in SOCKET_RATIOS.items():
        for method in METHODS:
            ratio = medians[OURS, method] / medians[kind, method]
            if ratio < wanted:
                yield f"{method}: {ratio:.2f} of {kind}, not {wanted}"
    if idle > RSS_MB:
        yield f"{idle:.1f} MB resident when idle, more than {RSS_MB}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true", help="only what is asserted: reading KRPC")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each is asked in a round")
    options = parser.parse_args()
    missed = list(slow_parsing(parsing(51)))
    if not options.check:
        missed += slow_sockets(*sockets(list(KINDS), options.rounds, options.seconds))
    if missed:
        sys.exit("\nmissed:\n" + "\n".join(missed))


if __name__ == "__main__":
    main()
