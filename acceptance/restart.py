#!/usr/bin/env python3
"""A member is killed without a goodbye and started again: the conversation goes on in seconds, whole, and nothing comes twice."""

import time

from moot import World, all_connected, check, exchange, new_code, nothing_twice, run

DEADLINE_S = 3.0


def pair(world):
    """Two members who have talked, the smaller device id first, and a way to start one of them again."""
    _, bootstrap = world.dht()
    code = new_code()
    members = [world.member(name, code, bootstrap) for name in ("ada", "bo")]
    all_connected(members)
    exchange(members, "before")
    members.sort(key=lambda m: m.device)
    return members, lambda old: world.member(old.label, code, bootstrap)


def one_killed(world, index):
    (members, again) = pair(world)
    victim, survivor = members[index], members[1 - index]
    mark = {survivor: len(survivor.events)}
    victim.kill()
    survivor.say("meanwhile", id="meanwhile")
    time.sleep(0.5)
    reborn = again(victim)
    check(reborn.device == victim.device, "the identity was not kept")
    all_connected([reborn, survivor], since=mark)
    last = exchange([reborn, survivor], "after")
    took = last - reborn.started_at
    heard = reborn.wait("message", 5, text="meanwhile")
    survivor.wait("delivered", 5, seq=survivor.wait("sent", id="meanwhile")["seq"], to=reborn.member)
    time.sleep(0.5)
    nothing_twice([reborn, survivor])
    texts = [e["text"] for e in survivor.all("message")]
    check(texts == [f"before from {victim.label}", f"after from {victim.label}"], f"{survivor.label} heard {texts}")
    check(took <= DEADLINE_S, f"talking again took {took:.2f} s from the start, more than {DEADLINE_S:g} s")
    return f"talking again after {took:.2f} s, what was said meanwhile after {heard['at'] - reborn.started_at:.2f} s"


def smaller_killed(world):
    """the one with the smaller device id is killed and started again within a second"""
    return one_killed(world, 0)


def larger_killed(world):
    """the one with the larger device id is killed and started again within a second"""
    return one_killed(world, 1)


def both_killed(world):
    """both are killed at once and started again within a second"""
    (members, again) = pair(world)
    for m in members:
        m.popen.kill()
    time.sleep(0.5)
    reborn = [again(m) for m in members]
    all_connected(reborn)
    took = exchange(reborn, "after") - reborn[-1].started_at
    time.sleep(0.5)
    nothing_twice(reborn)
    check(took <= DEADLINE_S, f"talking again took {took:.2f} s from the start, more than {DEADLINE_S:g} s")
    return f"talking again after {took:.2f} s"


def killed_again_and_again(world):
    """five times in a row, each in turn: still talking, still nothing twice"""
    (members, again) = pair(world)
    times = []
    for round_ in range(5):
        victim, survivor = members
        mark = {survivor: len(survivor.events)}
        victim.kill()
        survivor.say(f"meanwhile {round_}")
        reborn = again(victim)
        all_connected([reborn, survivor], since=mark)
        times.append(exchange([reborn, survivor], f"round {round_}") - reborn.started_at)
        reborn.wait("message", 5, text=f"meanwhile {round_}")
        members = [survivor, reborn]
    time.sleep(0.5)
    nothing_twice(members)
    check(max(times) <= DEADLINE_S, f"talking again took {max(times):.2f} s")
    return "talking again after " + " ".join(f"{t:.2f}" for t in times) + " s"


if __name__ == "__main__":
    run(smaller_killed, larger_killed, both_killed, killed_again_and_again)
