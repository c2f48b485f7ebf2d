#!/usr/bin/env python3
"""How fast DHT nodes answer, ours beside four others, in one run on one machine: the table, with ratios.

Every server knows nodes of the same made-up crowd and is asked through a UDP socket of loopback, 32 questions under way at any
time. The servers take turns within each round, and what counts is the median of the rounds. `--check` asserts the promised ratios:
1.5 times mainline and no slower than libtorrent at every question, an idle server of at most 5 MB, and reading KRPC no slower than
the fastest crate and 10 times as fast as serde_bencode.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack

from peers import FOREIGN, KINDS, NO_ITEMS, OURS, RIVALS, address, start

METHODS = ("ping", "find_node", "get_peers", "get")
CROWD = 250
SETTLE_S = 6
# At least so many times as fast as these, at every question.
SOCKET_RATIOS = {"mainline": 1.5, "libtorrent": 1.0}
SERDE_RATIO = 10
RSS_MB = 5

FOREIGN["crowd"] = [RIVALS, "crowd"]


def load(node, method, seconds):
    command = [RIVALS, "load", address(node), method, str(seconds)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, timeout=30).stdout)


def rss_mb(nodes):
    if nodes.kind == OURS:
        return nodes.world.processes[0].rss_kib() / 1024
    with open(f"/proc/{nodes.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024


def row(*cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def sockets(kinds, rounds, seconds):
    """The median of answers a second, by kind and question; and what an idle node of ours has in memory."""
    with ExitStack() as stack:
        crowd = stack.enter_context(start("crowd", CROWD))
        servers = {kind: stack.enter_context(start(kind, 1, crowd.nodes[0])) for kind in kinds}
        time.sleep(SETTLE_S)
        idle = rss_mb(servers[OURS])
        rates, sizes = {}, {}
        for turn in range(rounds):
            for method in METHODS:
                order = kinds[turn % len(kinds):] + kinds[:turn % len(kinds)]
                for kind in order:
                    if method == "get" and kind in NO_ITEMS:
                        continue
                    said = load(servers[kind].nodes[0], method, seconds)
                    rates.setdefault((kind, method), []).append(said["per_second"])
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
                ratios = [f"{medians[OURS, m] / medians[kind, m]:.2f}" if (kind, m) in medians else "–" for m in METHODS]
                row(f"ours / {kind}", *ratios, "", "")
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true", help="fail if a promised ratio is missed; only the rivals it is about")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each is asked in a round")
    options = parser.parse_args()
    kinds = [OURS, *SOCKET_RATIOS] if options.check else list(KINDS)

    read = parsing(51)
    medians, idle = sockets(kinds, options.rounds, options.seconds)

    missed = []
    for kind, wanted in SOCKET_RATIOS.items():
        for method in METHODS:
            ratio = medians[OURS, method] / medians[kind, method]
            if ratio < wanted:
                missed.append(f"{method}: {ratio:.2f} of {kind}, not {wanted}")
    for message, times in read.items():
        fastest = min(nanoseconds for reader, nanoseconds in times.items() if reader != OURS)
        if times[OURS] > fastest:
            missed.append(f"reading a {message}: {times[OURS]:.0f} ns, the fastest crate {fastest:.0f}")
        if times["serde_bencode"] < SERDE_RATIO * times[OURS]:
            missed.append(f"reading a {message}: {times['serde_bencode'] / times[OURS]:.1f} times serde_bencode")
    if idle > RSS_MB:
        missed.append(f"{idle:.1f} MB resident when idle, more than {RSS_MB}")
    if missed:
        print("\nmissed:\n" + "\n".join(missed))
    sys.exit(1 if missed and options.check else 0)


if __name__ == "__main__":
    main()
