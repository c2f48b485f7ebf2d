#!/usr/bin/env python3
"""Public addresses from STUN, against coturn; and without any STUN server that answers."""

import shutil
import socket
import subprocess
import threading
import time

import probe
from moot import Failed, all_connected, check, exchange, new_code, nothing_twice, run


def coturn(world):
    """A coturn on loopback that answers STUN and nothing else: its "HOST:PORT"."""
    if not shutil.which("turnserver"):
        raise Failed("coturn is not installed; run interop/setup")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        ["turnserver", "-n", "--stun-only", "--no-auth", "--no-cli", "--no-tcp", "--no-tls", "--no-dtls", "--no-rfc5780",
         "-L", "127.0.0.1", "-p", str(port), "--log-file", "stdout", "--pidfile", str(world.home / "coturn.pid")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    world.stack.callback(process.wait)
    world.stack.callback(process.kill)
    check(probe.stun_address(("127.0.0.1", port), tries=10) is not None, "coturn does not answer")
    return f"127.0.0.1:{port}"


class Translator:
    """A NAT of the simplest kind for one inside host: what comes to `inside` leaves from `outside`, and answers go back. So the
    server sees another address than the host has."""

    def __init__(self, world, server):
        host, port = server.split(":")
        self.server = (host, int(port))
        self.inside, self.outside = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for s in (self.inside, self.outside):
            s.bind(("127.0.0.1", 0))
        self.host = None
        for f in (self.out, self.back):
            threading.Thread(target=f, daemon=True).start()

    def out(self):
        while True:
            data, self.host = self.inside.recvfrom(4096)
            self.outside.sendto(data, self.server)

    def back(self):
        while True:
            data, _ = self.outside.recvfrom(4096)
            self.inside.sendto(data, self.host)


def text(address):
    return f"{address[0]}:{address[1]}"


def address_from_coturn(world):
    """`address` shows what coturn reported: the socket itself when it is asked directly"""
    server = coturn(world)
    _, bootstrap = world.dht()
    ada = world.member("ada", new_code(), bootstrap, stun=server)
    event = ada.wait("address", 5, source="stun")
    check(event["public"] == text(ada.address), f"{event['public']} is not {text(ada.address)}")
    return event["public"]


def address_through_a_nat(world):
    """`address` shows what coturn reported: the outside of a NAT when one is between"""
    nat = Translator(world, coturn(world))
    _, bootstrap = world.dht()
    ada = world.member("ada", new_code(), bootstrap, stun=text(nat.inside.getsockname()))
    event = ada.wait("address", 5, source="stun")
    outside = text(nat.outside.getsockname())
    check(event["public"] == outside, f"{event['public']} is not {outside}")
    check(event["public"] != text(ada.address), "the NAT translated nothing")
    return f"{event['public']}, while the socket is {text(ada.address)}"


def environment(world):
    """STUN_SERVERS names servers, comma-separated, and a dead one among them does no harm"""
    server = coturn(world)
    _, bootstrap = world.dht()
    ada = world.process("ada", "join", new_code(), "--state-dir", world.home / "ada", "--bind", "127.0.0.1:0",
                        "--bootstrap", bootstrap, env={"STUN_SERVERS": f"127.0.0.1:9,{server}"})
    event = ada.wait("address", 5, source="stun")
    check(event["public"] == text(ada.address), f"{event['public']} is not {text(ada.address)}")


def all_dead(world):
    """no STUN server answers: the meeting forms all the same, with a warning"""
    silent = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for s in silent:
        s.bind(("127.0.0.1", 0))
    dead = ",".join(text(s.getsockname()) for s in silent)
    _, bootstrap = world.dht()
    code = new_code()
    members = [world.process(name, "join", code, "--name", name, "--state-dir", world.home / name, "--bind", "127.0.0.1:0",
                             "--bootstrap", bootstrap, env={"STUN_SERVERS": dead}) for name in ("ada", "bo")]
    all_connected(members)
    took = exchange(members, "hello") - members[-1].started_at
    check(took <= 5, f"it took {took:.2f} s")
    for m in members:
        warning = m.wait("error", 20, stage="candidates")
        check(warning["message"] and warning["hint"], f"the warning explains nothing: {warning}")
    exchange(members, "still here")
    time.sleep(0.2)
    nothing_twice(members)
    return f"talking after {took:.2f} s; {warning['message']!r}"


if __name__ == "__main__":
    run(address_from_coturn, address_through_a_nat, environment, all_dead)
