#!/usr/bin/env python3
"""One DHT node and three members: everyone connected to everyone, everything heard once and acknowledged, in seconds."""

import time

from moot import World, all_connected, check, exchange, new_code, nothing_twice, run

DEADLINE_S = 5.0


def three_members(world):
    """all pairs connected and a message from each acknowledged by each, within 5 s of the last start, every time"""
    times = []
    for _ in range(world.runs):
        with World() as one:
            try:
                times.append(meet(one))
            except Exception:
                one.report()
                raise
    slow = [t for t in times if t > DEADLINE_S]
    print(f"      {len(times)} runs, seconds from the last start to the last acknowledgement: "
          + " ".join(f"{t:.2f}" for t in sorted(times)))
    check(not slow, f"{len(slow)} of {len(times)} runs took longer than {DEADLINE_S:g} s")
    return f"median {sorted(times)[len(times) // 2]:.2f} s, slowest {max(times):.2f} s"


def meet(world):
    _, bootstrap = world.dht()
    code = new_code()
    members = [world.member(name, code, bootstrap) for name in ("ada", "bo", "cy")]
    all_connected(members)
    last = exchange(members, "hello")
    time.sleep(0.3)
    nothing_twice(members)
    for m in members:
        check(len(m.all("message")) == 2, f"{m.label}: {len(m.all('message'))} messages instead of 2")
        view = m.peers()
        check({p["member"] for p in view} == {o.member for o in members if o is not m}, f"{m.label}: peers says {view}")
        check(all(p["state"] == "connected" and p["path"] == "lan" for p in view), f"{m.label}: peers says {view}")
    return last - members[-1].started_at


def leaving(world):
    """who leaves ends with 0, and the others are told that it left"""
    _, bootstrap = world.dht()
    code = new_code()
    ada, bo = (world.member(name, code, bootstrap) for name in ("ada", "bo"))
    all_connected([ada, bo])
    ada.command(cmd="leave")
    check(ada.exit_code() == 0, f"leave ended with {ada.popen.returncode}")
    bo.wait("disconnected", 5, member=ada.member, reason="left")
    bo.interrupt()
    check(bo.exit_code() == 0, f"Ctrl-C ended with {bo.popen.returncode}")


def bare(world):
    """two bare `moot CODE` on one machine, with no flag but --bootstrap, talk in plain text"""
    _, bootstrap = world.dht()
    code = new_code()
    ada, bo = (world.process(name, code, "--bootstrap", bootstrap, json_output=False) for name in ("ada", "bo"))
    time.sleep(0.5)
    ada.line("good morning")
    bo.line("good evening")
    bo.wait_text("good morning", 15)
    ada.wait_text("good evening", 15)
    for m in (ada, bo):
        m.interrupt()
        check(m.exit_code() == 0, f"{m.label}: Ctrl-C ended with {m.popen.returncode}")


if __name__ == "__main__":
    run(three_members, leaving, bare)
