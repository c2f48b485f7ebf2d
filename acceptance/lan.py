#!/usr/bin/env python3
"""A local network with no way out: who is there enters the DHT by each other. Two network namespaces joined by a cable; needs root."""

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from moot import all_connected, check, exchange, new_code, run

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "interop"))
from kernel_nat import Space  # noqa: E402


@contextmanager
def cable():
    """Two machines and nothing else."""
    a, b = Space(), Space()
    try:
        a.ip(f"link add e type veth peer name e netns {b.path}\naddr add 10.9.0.1/24 dev e\nlink set e up")
        b.ip("addr add 10.9.0.2/24 dev e\nlink set e up")
        for space in (a, b):
            wait_until_up(space)
        yield a, b
    finally:
        a.close()
        b.close()


def wait_until_up(space):
    with space.inside():
        for _ in range(100):
            if "state UP" in subprocess.run(["ip", "link", "show", "e"], capture_output=True, text=True).stdout:
                return
            time.sleep(0.05)
    check(False, "the cable does not come up")


def start(world, space, label, *args, **options):
    with space.inside():
        return world.process(label, *args, "--bootstrap", "none", "--state-dir", world.home / label, **options)


def two_members(world):
    """two members meet with no bootstrap host, no STUN server and no way to the internet"""
    with cable() as (a, b):
        code = new_code()
        join = lambda space, name: start(world, space, name, "join", code, "--name", name, "--stun", "none")
        members = [join(a, "ada"), join(b, "bo")]
        all_connected(members, 15)
        check(all(m.wait("connected")["path"] == "lan" for m in members), "not over the local network")
        exchange(members, "no uplink")
        return f"connected after {max(m.wait('connected')['ms_since_join'] for m in members) / 1000:.1f} s"


def a_node_and_a_guest(world):
    """moot dht serve is found by whoever asks from beside it, and not by who is told not to"""
    with cable() as (a, b):
        serve = start(world, a, "node", "dht", "serve")
        check(serve.address, "it does not listen")
        table = start(world, b, "guest", "dht", "table")
        check(table.exit_code(20) == 0, f"nobody was found: {table.stderr}")
        check([e["addr"].split(":")[0] for e in table.all("node")] == ["10.9.0.1"], f"{table.lines}")
        told_not_to = start(world, b, "alone", "dht", "table", "--no-lan")
        check(told_not_to.exit_code(20) == 4, f"it found somebody: {told_not_to.lines}")


if __name__ == "__main__":
    run(two_members, a_node_and_a_guest)
