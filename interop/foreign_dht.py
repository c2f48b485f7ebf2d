#!/usr/bin/env python3
"""Three members whose DHT is played by another implementation alone: `libtorrent` or `bittorrent-dht`.

They bootstrap from its nodes, announce to them and find each other through them; none of our own DHT nodes is there.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "acceptance"))

import probe  # noqa: E402
from moot import TARGET, Failed, all_connected, check, exchange, new_code, nothing_twice, run  # noqa: E402

PEERS = TARGET / "interop"
NODES = 8
DEADLINE_S = 10.0


def foreign(world, kind):
    """Starts the foreign nodes: their (host, port) pairs and version."""
    command = {
        "libtorrent": [PEERS / "venv/bin/python", HERE / "libtorrent_nodes.py", str(NODES)],
        "bittorrent-dht": ["node", HERE / "bittorrent_nodes.mjs", str(NODES)],
    }[kind]
    if not PEERS.is_dir():
        raise Failed("the foreign peers are missing; run interop/setup")
    process = subprocess.Popen(command, cwd=PEERS, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    world.stack.callback(process.wait)
    world.stack.callback(process.kill)
    line = process.stdout.readline()
    if not line:
        raise Failed(f"the {kind} nodes do not start; run interop/setup")
    answer = json.loads(line)
    return [tuple(node) for node in answer["nodes"]], answer["version"]


def meet(world, kind):
    nodes, version = foreign(world, kind)
    bootstrap = [f"{host}:{port}" for host, port in nodes[:2]]
    code = new_code()
    members = [world.member(name, code, bootstrap) for name in ("ada", "bo", "cy")]
    all_connected(members, timeout=30)
    took = exchange(members, "hello") - members[-1].started_at
    time.sleep(0.5)
    nothing_twice(members)

    topic = bytes.fromhex(members[0].wait("joined")["topic"])
    addresses = {m.address for m in members}
    with probe.Krpc() as krpc:
        held = {node: krpc.peers(node, topic) for node in nodes}
        silent = [node for node, answer in held.items() if answer is None]
        check(not silent, f"{kind} nodes no longer answer: {silent}")
        for address in addresses:
            holders = sum(address in answer[0] for answer in held.values())
            check(holders >= NODES // 2, f"only {holders} of {NODES} {kind} nodes hold the announcement of {address}")
        strangers = set().union(*(answer[0] for answer in held.values())) - addresses
        check(not strangers, f"announced, and no member: {strangers}")
        # There was no other DHT: whoever the foreign nodes know is one of them, a member, or this probe.
        for node in nodes:
            known = krpc.known_to(node, topic) or set()
            others = known - set(nodes) - addresses - {krpc.address}
            check(not others, f"{node} knows other DHT nodes: {others}")
    check(took <= DEADLINE_S, f"{took:.2f} s from the last start, more than {DEADLINE_S:g} s")
    return f"{NODES} nodes of {kind} {version}; talking {took:.2f} s after the last start"


def libtorrent(world):
    """three members meet through libtorrent nodes alone"""
    return meet(world, "libtorrent")


def bittorrent_dht(world):
    """three members meet through bittorrent-dht nodes alone"""
    return meet(world, "bittorrent-dht")


if __name__ == "__main__":
    run(libtorrent, bittorrent_dht)
