#!/usr/bin/env python3
"""What goes wrong is said in a sentence that helps, or met with silence; it never loses anything and never costs memory."""

import os
import random
import socket
import threading
import time
from pathlib import Path

import probe
from moot import all_connected, check, exchange, new_code, nothing_twice, run

DATAGRAMS = int(os.environ.get("JUNK", 1_000_000))
MEMORY_MARGIN_KIB = 8 * 1024


def refused(world, label, code, *args, says, **options):
    """Such a start ends at once with this exit code and says, on stderr, something with these words; not a panic."""
    process = world.process(label, *args, **options)
    got = process.exit_code(10)
    said = "\n".join(process.stderr + process.lines)
    check("panicked" not in said, f"{label}: it panicked: {said}")
    check(got == code, f"{label}: exit code {got}, not {code}; it said {said!r}")
    for word in [says] if isinstance(says, str) else says:
        check(word.lower() in said.lower(), f"{label}: {word!r} is not in {said!r}")
    return said


def codes(world):
    """a code that is empty or too short is refused in words, with exit code 2; a weak one works with a warning"""
    for json_output in (True, False):
        for label, code, says in (("empty", "", "empty"), ("blank", "  - _ ", "empty"), ("short", "abc", ("3", "6"))):
            refused(world, label, 2, "join", code, "--bind", "127.0.0.1:0", "--bootstrap", "none", says=says, json_output=json_output)
    refused(world, "long", 2, "join", "x" * 400, "--bootstrap", "none", says="256")
    weak = world.member("weak", "abc", "none", "--weak-code")
    weak.wait("joined")


def addresses(world):
    """a malformed --bind, --bootstrap or --stun is named, with exit code 2"""
    code = new_code()
    for bind in ("nonsense", "127.0.0.1", "127.0.0.1:99999", "999.0.0.1:0", "localhost:0:0", ""):
        refused(world, f"--bind {bind!r}", 2, "join", code, f"--bind={bind}", says="bind")
    for flag in ("--bootstrap", "--stun"):
        for host in ("nonsense", "1.2.3.4:0", "1.2.3:5", ":5", "host:99999"):
            refused(world, f"{flag} {host!r}", 2, "join", code, f"{flag}={host}", says=host.split(":")[-1] or host)
    refused(world, "STUN_SERVERS", 2, "join", code, says="nonsense", env={"STUN_SERVERS": "nonsense"})
    # An address that is not of this machine (RFC 5737).
    refused(world, "foreign --bind", 1, "join", code, "--bind", "192.0.2.1:4000", says="192.0.2.1")


def port_in_use(world):
    """a port in use is named"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        host, port = taken.getsockname()
        said = refused(world, "taken", 1, "join", new_code(), "--bind", f"{host}:{port}", "--bootstrap", "none", says=(f"{port}", "use"))
        refused(world, "taken", 1, "dht", "serve", "--bind", f"{host}:{port}", says=(f"{port}", "use"))
    return said.splitlines()[-1]


def bootstrap_dead(world):
    """no bootstrap host answers, or none is given: an event that says so and what to do; the node goes on"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        ada = world.member("ada", new_code(), "127.0.0.1:{}".format(silent.getsockname()[1]))
        trouble = ada.wait("error", 30, stage="bootstrap")
        check(trouble["message"] and trouble["hint"], f"it explains nothing: {trouble}")
    bo = world.member("bo", new_code(), "none")
    none = bo.wait("error", 10, stage="bootstrap")
    check("--bootstrap" in none["hint"], f"the hint does not name the flag: {none}")
    cy = world.member("cy", new_code(), "no-such-host.invalid:6881")
    unresolved = cy.wait("error", 30, stage="bootstrap", where=lambda e: "no-such-host.invalid" in e["message"])
    for m in (ada, bo, cy):
        check(m.popen.poll() is None, f"{m.label} gave up")
        m.interrupt()
        m.exit_code()
    return f"{trouble['message']!r}, {none['message']!r}, {unresolved['message']!r}"


def state_directory(world):
    """a state directory that is no directory, or cannot be made, is named"""
    file = world.home / "file"
    file.write_text("not a directory")
    code = new_code()
    for label, path in (("a file", file), ("below a file", file / "below")):
        refused(world, label, 1, "join", code, "--state-dir", path, "--bind", "127.0.0.1:0", "--bootstrap", "none", says=str(path))
    if os.geteuid() != 0:
        closed = world.home / "closed"
        closed.mkdir(mode=0o500)
        refused(world, "closed", 1, "join", code, "--state-dir", closed / "x", "--bind", "127.0.0.1:0", "--bootstrap", "none", says="closed")


def second_process(world):
    """a second process on the same state directory takes the next profile and says so; a third, the one after"""
    shared = world.home / "shared"
    code = new_code()
    _, bootstrap = world.dht()
    start = lambda name: world.process(name, "join", code, "--state-dir", shared, "--bind", "127.0.0.1:0", "--stun", "none",
                                       "--bootstrap", bootstrap, "--name", name)
    first = start("first")
    first.wait("joined")
    second = start("second")
    second.wait("joined")
    third = start("third")
    third.wait("joined")
    members = [first, second, third]
    check(len({m.device for m in members}) == 3, "two processes with one identity")
    for m in (second, third):
        check(any("profile" in line for line in m.lines + m.stderr), f"{m.label} does not say which profile it took")
    all_connected(members)
    exchange(members, "hello")
    nothing_twice(members)


def identities(world):
    """NODE_ID: an unknown hex id is an error, a word is a profile that lasts, and an id or its prefix finds it again"""
    state = world.home / "state"
    start = lambda label, node_id: world.process(label, "join", new_code(), "--state-dir", state, "--bind", "127.0.0.1:0",
                                                 "--stun", "none", "--bootstrap", "none", env={"NODE_ID": node_id})
    first = start("ada", "ada")
    device = first.device
    first.kill()
    for node_id in (device, device[:12], "ada"):
        again = start(f"again as {node_id}", node_id)
        check(again.device == device, f"NODE_ID={node_id} is another device")
        again.kill()
    other = start("bo", "bo")
    check(other.device != device, "two profiles, one device")
    other.kill()
    refused(world, "unknown", 1, "join", new_code(), "--state-dir", state, "--bootstrap", "none", says="deadbeef00",
            env={"NODE_ID": "deadbeef00"})
    held = start("held", "ada")
    held.wait("started")
    refused(world, "locked", 1, "join", new_code(), "--state-dir", state, "--bootstrap", "none", says="ada", env={"NODE_ID": "ada"})


def damaged_identity(world):
    """a damaged identity file is named and left alone: no panic, and no new identity in its place"""
    state = world.home / "state"
    start = lambda: world.process("ada", "join", new_code(), "--state-dir", state, "--bind", "127.0.0.1:0", "--stun", "none",
                                  "--bootstrap", "none")
    ada = start()
    ada.wait("joined")
    ada.kill()
    files = [p for p in state.rglob("*") if p.is_file() and p.stat().st_size]
    check(files, f"nothing is stored in {state}")
    secret = [p for p in files if p.stat().st_mode & 0o077]
    check(not secret, f"others may read {secret}")
    identity = next((p for p in files if "identity" in p.name), None)
    check(identity is not None, f"no identity among {files}")
    whole = identity.read_bytes()
    said = ""
    for damage in (b"", whole[:len(whole) // 2], b"\xff" * len(whole), b"{}"):
        identity.write_bytes(damage)
        process = start()
        check(process.exit_code(10) == 1, f"exit code {process.popen.returncode} with an identity of {damage[:12]!r}…")
        said = "\n".join(process.stderr)
        check(identity.name in said and "panicked" not in said, f"it does not name the file: {said!r}")
        check(identity.read_bytes() == damage, "the damaged file was overwritten")
    identity.write_bytes(whole)
    check(start().device == ada.device, "the identity is lost")
    return repr(said.splitlines()[-1])


def lines(world):
    """on standard input, what starts with { and is no command is an error and is not said; everything else is said"""
    _, bootstrap = world.dht()
    code = new_code()
    ada, bo = (world.member(name, code, bootstrap) for name in ("ada", "bo"))
    all_connected([ada, bo])
    bad = ["{", '{"cmd":"dance"}', '{"cmd":"say"}', '{"cmd":"say","text":7}', "{}", '{"cmd":', '{"cmd":"say","text":"' + "x" * 20_000 + '"}']
    for line in bad:
        since = len(ada.events)
        ada.line(line)
        trouble = ada.wait("error", 5, since=since)
        check(trouble["message"] and trouble["stage"] == "io", f"{line[:40]}: {trouble}")
    said = ["plain words", "  { is not first here", "ünïcödé 🙂", '"quoted"', "[1,2]", "x" * 8192]
    for line in said:
        ada.line(line)
    for line in said:
        bo.wait("message", 10, where=lambda e: e["text"].strip() == line.strip())
    check(len(bo.all("message")) == len(said), f"bo heard {len(bo.all('message'))} messages, not {len(said)}")
    ada.popen.stdin.close()
    time.sleep(1)
    check(ada.popen.poll() is None, "it left at the end of an input that is no terminal")
    bo.say("after the end of ada's input")
    ada.wait("message", 5, text="after the end of ada's input")


def dropped_by_the_kernel(port):
    """How many datagrams to the IPv4 socket of this port found its buffer full."""
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].split(":")[1], 16) == port:
            return int(fields[-1])
    return 0


def junk(world):
    """a million random and damaged datagrams at a socket while chatting: nothing lost, nothing twice, memory flat"""
    _, bootstrap = world.dht()
    code = new_code()
    ada, bo = (world.member(name, code, bootstrap) for name in ("ada", "bo"))
    all_connected([ada, bo])
    exchange([ada, bo], "before")
    for m in (ada, bo):
        m.peers()
    templates = [
        b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe",
        b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe",
        b"d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re",
        b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee",
        probe.stun_request()[1],
        probe.stun_request((probe.USERNAME, b"a" * 24), (probe.MESSAGE_INTEGRITY_SHA256, bytes(32)))[1],
        bytes([22, 254, 253]) + bytes(10) + b"\x00\x40" + bytes(64),
        bytes([64, 0, 0, 8]) + bytes(8),
    ]
    warm_up = 50_000
    before, done = {}, threading.Event()

    def flood():
        """From many sockets, as fast as half of this machine sends, without outrunning the receiver's buffer for long."""
        rng = random.Random(7)
        pool = [probe.junk(rng, templates) for _ in range(20_000)]
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(16)]
        for i in range(DATAGRAMS):
            try:
                sockets[i % 16].sendto(pool[rng.randrange(len(pool))], ada.address)
            except OSError:
                pass
            if i == warm_up:
                before[ada] = ada.rss_kib()
            if i % 50 == 0:
                time.sleep(0.001)
        done.set()

    sender = threading.Thread(target=flood, daemon=True)
    began = time.monotonic()
    sender.start()
    rounds = 0
    while not done.wait(0.5):
        exchange([ada, bo], f"round {rounds}", timeout=30)
        rounds += 1
    took = time.monotonic() - began
    exchange([ada, bo], "after", timeout=30)
    grown = ada.rss_kib() - before[ada]
    nothing_twice([ada, bo])
    check(len(bo.all("message")) == rounds + 2, f"bo heard {len(bo.all('message'))} of {rounds + 2}")
    check(grown < MEMORY_MARGIN_KIB, f"memory grew by {grown} KiB")
    unseen = dropped_by_the_kernel(ada.address[1])
    check(unseen < DATAGRAMS / 2, f"{unseen} of {DATAGRAMS} never came to the process: this scenario would prove little")
    return (f"{DATAGRAMS} datagrams in {took:.0f} s, of which the kernel dropped {unseen}; {rounds} rounds of talk meanwhile, "
            f"{grown:+d} KiB, {len(ada.all('disconnected'))} reconnections")


def leaving(world):
    """the first Ctrl-C or SIGTERM leaves cleanly, with 3 if nobody came; a second one ends at once, with 130"""
    _, bootstrap = world.dht()
    for number, name in ((2, "SIGINT"), (15, "SIGTERM")):
        ada = world.member(f"ada{number}", new_code(), bootstrap)
        ada.wait("joined")
        ada.interrupt(number)
        check(ada.exit_code(10) == 3, f"{name} ended with {ada.popen.returncode}")
    ada = world.member("ada", new_code(), bootstrap)
    ada.wait("joined")
    began = time.monotonic()
    ada.interrupt()
    ada.interrupt()
    check(ada.exit_code(10) in (3, 130), f"two Ctrl-C ended with {ada.popen.returncode}")
    check(time.monotonic() - began < 2, "two Ctrl-C took longer than 2 s")


if __name__ == "__main__":
    run(codes, addresses, port_in_use, bootstrap_dead, state_directory, second_process, identities, damaged_identity, lines,
        leaving, junk)
