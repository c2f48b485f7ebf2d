#!/usr/bin/env python3
"""Meetings do not leak: not to another meeting on the same DHT, not to strangers, not to oneself."""

import random
import socket
import subprocess
import time

import probe
from moot import MOOT, Failed, all_connected, check, exchange, new_code, nothing_twice, run


def two_meetings(world):
    """two meetings on one DHT never hear each other"""
    _, bootstrap = world.dht()
    codes = new_code(), new_code()
    meetings = [[world.member(f"{who}{i}", code, bootstrap) for who in ("ada", "bo")] for i, code in enumerate(codes)]
    for members in meetings:
        all_connected(members)
        exchange(members, "hello")
    time.sleep(4)
    for members in meetings:
        nothing_twice(members)
        inside = {m.member for m in members}
        for m in members:
            met = {e["member"] for e in m.all("connected")} | {e["from"] for e in m.all("message")}
            check(met <= inside, f"{m.label} met {met - inside}")
    topics = {m.wait("joined")["topic"] for members in meetings for m in members}
    check(len(topics) == 2, f"{len(topics)} topics for two meetings")


def shared_twice(world):
    """two members who share two meetings hear each other in both (the library's example two_meetings)"""
    example = MOOT.parent / "examples" / "two_meetings"
    if not example.exists():
        raise Failed(f"there is no {example}; build it with `cargo build --release -p folkmoot --example two_meetings`")
    _, bootstrap = world.dht()
    codes = [new_code(), new_code()]
    began = time.monotonic()
    members = {name: subprocess.Popen([example, name, bootstrap, *codes], stdout=subprocess.PIPE, text=True)
               for name in ("ada", "bo")}
    for process in members.values():
        world.stack.callback(process.wait)
        world.stack.callback(process.kill)
    for (name, process), other in zip(members.items(), reversed(members)):
        said, _ = process.communicate(timeout=20)
        check(process.returncode == 0, f"{name} ended with {process.returncode}")
        for label in ("first", "second"):
            line = f'{label}: {other} says "hello in the {label}"'
            check(said.splitlines().count(line) == 1, f"{name} printed {said!r}")
    return f"both done {time.monotonic() - began:.2f} s after the start"


def never_itself(world):
    """alone, a node never connects to itself, though it finds its own announcement"""
    dht, bootstrap = world.dht()
    ada = world.member("ada", new_code(), bootstrap)
    topic = bytes.fromhex(ada.wait("joined")["topic"])
    until_announced(dht.address, topic, ada.address)
    time.sleep(5)
    check(not ada.all("connected"), f"connected to {ada.all('connected')}")
    check(ada.peers() == [], f"peers says {ada.peers()}")


def until_announced(node, topic, address, timeout=10):
    """Until the DHT node holds `address` under `topic`: what every other member would find."""
    deadline = time.monotonic() + timeout
    with probe.Krpc() as krpc:
        while time.monotonic() < deadline:
            answer = krpc.peers(node, topic)
            if answer and address in answer[0]:
                return
            time.sleep(0.1)
    raise Failed(f"{address} is not announced within {timeout} s")


class Tap:
    """A socket that is announced as if it were a member, and sees who knocks at it."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))

    def lure(self, node, topic):
        """Announces this socket under the topic."""
        krpc = probe.Krpc.__new__(probe.Krpc)
        krpc.id, krpc.socket, krpc.address = probe.secrets.token_bytes(20), self.socket, self.socket.getsockname()
        check(krpc.announce(node, topic), "the DHT does not take an announcement")

    def knock_of(self, sender, timeout=10):
        """The first STUN request that comes from `sender`."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                data, address = self.socket.recvfrom(4096)
            except TimeoutError:
                break
            if address == sender and data[:2] == b"\x00\x01":
                return data
        raise Failed(f"no knock from {sender} within {timeout} s")


def answers(to, datagram, listen_s=2.0):
    return not probe.stays_silent(to, [datagram], listen_s)


def knocks_of_strangers(world):
    """knocks get no answer without the code: not random ones, not another meeting's, not a knock replayed"""
    dht, bootstrap = world.dht()
    ours, theirs = new_code(), new_code()
    ada, bo = world.member("ada", ours, bootstrap), world.member("bo", ours, bootstrap)
    stranger = world.member("eve", theirs, bootstrap)
    all_connected([ada, bo])

    # A knock of ours, caught by an address announced under our topic; and one of theirs.
    tap = Tap()
    tap.lure(dht.address, bytes.fromhex(stranger.wait("joined")["topic"]))
    their_knock = tap.knock_of(stranger.address)
    lone = world.member("lone", new_code(), bootstrap)
    tap.lure(dht.address, bytes.fromhex(lone.wait("joined")["topic"]))
    other_knock = tap.knock_of(lone.address)

    check(not answers(ada.address, their_knock), "ada answered a knock of another meeting")
    check(not answers(ada.address, other_knock), "ada answered a knock of another meeting")

    rng = random.Random(1)
    noise = [damaged(their_knock, rng) for _ in range(200)]
    noise += [probe.stun_request()[1], probe.stun_request((probe.USERNAME, b"abcdefgh:ijklmnop"))[1],
              probe.stun_request((probe.USERNAME, b"x" * 24), (probe.MESSAGE_INTEGRITY_SHA256, rng.randbytes(32)))[1],
              probe.stun_request((probe.USERNAME, b"y" * 24), (probe.MESSAGE_INTEGRITY, rng.randbytes(20)))[1]]
    check(probe.stays_silent(ada.address, noise), "ada answered a knock that proves nothing")
    exchange([ada, bo], "still here")
    check(not stranger.all("connected"), "the stranger got in")


def replayed_knock(world):
    """a knock is answered to whoever sends it first, and not to another who replays it"""
    dht, bootstrap = world.dht()
    code = new_code()
    ada = world.member("ada", code, bootstrap)
    topic = bytes.fromhex(ada.wait("joined")["topic"])
    # A member that finds only the tap: its own small DHT holds nothing else.
    other_dht, other_bootstrap = world.dht()
    lone = world.member("lone", code, other_bootstrap)
    check(lone.wait("joined")["topic"] == topic.hex(), "one code, two topics")
    tap = Tap()
    tap.lure(other_dht.address, topic)
    knock = tap.knock_of(lone.address)
    check(answers(ada.address, knock), "a true knock is not answered: this scenario would prove nothing")
    check(not answers(ada.address, knock), "a replayed knock is answered")


def damaged(datagram, rng):
    data = bytearray(datagram)
    data[rng.randrange(4, len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def lured(world):
    """a member announced under another meeting's topic is knocked at, answers nothing, and neither meets the other"""
    dht, bootstrap = world.dht()
    ada, eve = world.member("ada", new_code(), bootstrap), world.member("eve", new_code(), bootstrap)
    topic = bytes.fromhex(eve.wait("joined")["topic"])
    ada.wait("joined")
    # BEP 5 lets the announcer name the port, so a third party can point a topic at another's socket on its own address.
    with probe.Krpc() as krpc:
        _, token = krpc.peers(dht.address, topic)
        reply = krpc.query(dht.address, "announce_peer", info_hash=topic, token=token, port=ada.address[1])
        check(isinstance(reply, dict), f"the DHT does not take it: {reply}")
    time.sleep(5)
    for m in (ada, eve):
        check(not m.all("connected") and not m.all("message"), f"{m.label} met someone of another meeting")


if __name__ == "__main__":
    run(two_meetings, shared_twice, never_itself, knocks_of_strangers, replayed_knock, lured)
