#!/usr/bin/env python3
"""`moot dht`: every verb, both kinds of item, what is kept over a restart, and what is said when something does not work."""

import os
import pty
import select
import signal
import socket
import subprocess
import time

from moot import FOREIGN_ENVIRONMENT, MOOT, TARGET, Failed, all_connected, check, exchange, new_code, run

TOPIC = "0123456789abcdef0123456789abcdef01234567"
HELLO = "e5f96f6f38320f0f33959cb4d3d656452117aadb"  # of the vectors of BEP 44: "Hello World!"

# The fields of each line, beside v, event and ms.
FORMS = {
    "pong": {"addr", "id", "rtt_ms", "version", "observed"},
    "peer": {"addr"},
    "sought": {"topic", "peers", "answered"},
    "announced": {"topic", "port", "nodes"},
    "stored": {"target", "nodes", "key", "seq"},
    "item": {"target", "value", "value_hex", "key", "salt", "seq", "signature"},
    "key": {"file", "public_key"},
    "stats": {"health", "reasons", "nodes_v4", "nodes_v6", "observed", "sent", "responses", "errors", "timeouts", "in_flight", "queries", "dropped", "dropped_by",
              "size_v4", "size_v6"},
    "node": {"id", "addr", "bucket", "rtt_ms", "quiet_ms", "failures"},
    "table": {"nodes"},
    "error": {"stage", "message", "hint"},
}
# Those that are there only if they were asked for.
OPTIONAL = {"sought": {"scrape"}}


def serve(world, label, bootstrap="none", port=0, state=None):
    """A DHT node that keeps its state: (process, "HOST:PORT")."""
    node = world.process(label, "dht", "serve", "--bind", f"127.0.0.1:{port}", "--bootstrap", bootstrap,
                         "--state-dir", state or world.home / f"state of {label}")
    host, port = node.address
    return node, f"{host}:{port}"


def network(world, nodes=4):
    """DHT nodes of a private network, of which the first is where the others enter."""
    first, entry = serve(world, "dht0")
    others = [serve(world, f"dht{n}", entry) for n in range(1, nodes)]
    for node, _ in others:
        node.wait("status", 10, stage="bootstrap")
    return [(first, entry), *others]


def ask(world, *args, code=0, bootstrap=None, **options):
    """A verb that ends by itself: its process, every line of which has the form that is promised."""
    where = [] if bootstrap is None else ["--bootstrap", bootstrap, "--bind", "127.0.0.1:0"]
    process = world.process(args[0], "dht", *args, *where, **options)
    process.popen.stdin.close()
    got = process.exit_code(40)
    said = "\n".join(process.stderr + process.lines)
    check(got == code, f"moot dht {' '.join(map(str, args))}: exit code {got}, not {code}; it said {said!r}")
    check("panicked" not in said and "\r" not in said and "\x1b" not in said, f"a panic, or a terminal's codes: {said!r}")
    process.check_form()
    for event in process.events:
        name = event["event"]
        fields = set(event) - {"v", "event", "ms", "at"}
        check(fields - OPTIONAL.get(name, set()) == FORMS.get(name), f"{name} has the fields {sorted(fields)}")
    return process


def refused(world, label, code, *args, says, **options):
    process = ask(world, *args, code=code, **options)
    said = "\n".join(process.stderr)
    for word in [says] if isinstance(says, str) else says:
        check(word.lower() in said.lower(), f"{label}: {word!r} is not in {said!r}")
    if process.json_output:
        check(process.all("error"), f"{label}: no error line in {process.lines}")
    return said


def found(world, bootstrap, *args, **options):
    return ask(world, "get", *args, bootstrap=bootstrap, **options).events[-1]


def verbs(world):
    """ping, lookup, announce, stats and table against four nodes, in JSON"""
    nodes = network(world)
    entry, last = nodes[0][1], nodes[-1][1]
    pong = ask(world, "ping", last).events[0]
    check(pong["addr"] == last and pong["version"] == "FM 0.1" and pong["observed"].startswith("127.0.0.1:"), f"{pong}")
    nothing = ask(world, "lookup", TOPIC, bootstrap=entry, code=3)
    check([e["event"] for e in nothing.events] == ["sought", "error"], f"{nothing.lines}")
    check(nothing.events[0]["peers"] == 0 and nothing.events[0]["answered"] >= 4, f"{nothing.lines}")
    announced = ask(world, "announce", TOPIC, "--port", 5000, bootstrap=entry).events[0]
    check((announced["topic"], announced["port"], announced["nodes"]) == (TOPIC, 5000, 4), f"{announced}")
    ask(world, "announce", TOPIC, "--port", 5001, bootstrap=last)
    search = ask(world, "lookup", TOPIC, bootstrap=last)
    check({e["addr"] for e in search.all("peer")} == {"127.0.0.1:5000", "127.0.0.1:5001"}, f"{search.lines}")
    check(search.events[-1]["peers"] == 2, "the end is told last, and each peer only once")
    check("scrape" not in search.events[-1], "how many there are was not asked")
    counted = ask(world, "lookup", TOPIC, "--scrape", bootstrap=last).events[-1]["scrape"]
    # Addresses are counted, and there is only one.
    check(counted == {"seeds": 0, "others": 1, "nodes": 4}, f"{counted}")
    stats = ask(world, "stats", bootstrap=entry).events[0]
    check(stats["nodes_v4"] == 4 and stats["responses"] >= 4 and stats["queries"] == 0, f"{stats}")
    check(sum(stats["dropped_by"].values()) == stats["dropped"], f"{stats}")
    # A network on one machine need not be large.
    check((stats["health"], stats["reasons"]) == ("online", []), f"{stats}")
    first = nodes[0][0].all("health")
    check(first[0]["health"] == "offline" and first[0]["reasons"] == ["no-entry"] and first[-1]["health"] == "online", f"{first}")
    check(len(stats["observed"]) == 1 and stats["observed"][0].startswith("127.0.0.1:"), f"{stats}")
    table = ask(world, "table", bootstrap=entry)
    check({e["addr"] for e in table.all("node")} == {addr for _, addr in nodes}, f"{table.lines}")
    check(table.events[-1]["nodes"] == 4, f"{table.lines}")


def meeting_code(world):
    """lookup --code finds who is in that meeting today"""
    (_, entry), *_ = network(world, 2)
    code = new_code()
    ada = world.member("ada", code, entry)
    topic = ada.wait("joined")["topic"]
    deadline = time.monotonic() + 15
    while True:
        search = world.process("lookup", "dht", "lookup", "--code", code, "--bootstrap", entry, "--bind", "127.0.0.1:0")
        if search.exit_code() == 0:
            break
        check(time.monotonic() < deadline, "who is there is not found")
    check(search.events[-1]["topic"] == topic, "another topic than that of the meeting")
    check(search.all("peer", addr=":".join(map(str, ada.address))), f"{search.lines}")


def items(world):
    """put and get: a value that never changes, and one that its author replaces; salt, seq, cas, stdin"""
    nodes = network(world)
    entry, last = nodes[0][1], nodes[-1][1]
    stored = ask(world, "put", "Hello World!", bootstrap=entry).events[0]
    check((stored["target"], stored["nodes"], stored["key"], stored["seq"]) == (HELLO, 4, None, None), f"{stored}")
    item = found(world, last, HELLO)
    check((item["value"], item["target"], item["key"]) == ("Hello World!", HELLO, None), f"{item}")

    public = ask(world, "key", "ada.key").events[0]["public_key"]
    file = world.home / "ada.key"
    check(file.stat().st_mode & 0o077 == 0, "others may read the key")
    put = lambda value, *args, code=0: ask(world, "put", value, "--key", file, *args, bootstrap=entry, code=code)
    for seq, value in ((1, "one"), (2, "two")):
        check(put(value, "--seq", seq).events[0]["key"] == public, "signed by another key")
        item = found(world, last, "--public-key", public)
        check((item["value"], item["seq"], item["key"], item["salt"]) == (value, seq, public, ""), f"{item}")
    put("salted", "--seq", 9, "--salt", "weather")
    check(found(world, last, "--public-key", public, "--salt", "weather")["value"] == "salted", "the salted one")
    check(found(world, last, "--public-key", public)["value"] == "two", "the one without salt is another")
    refused(world, "old", 6, "put", "zero", "--key", file, "--seq", 1, bootstrap=entry, says=("newer", "2", "--seq"))
    put("three", "--seq", 3, "--cas", 2)
    refused(world, "cas", 6, "put", "four", "--key", file, "--seq", 4, "--cas", 2, bootstrap=entry, says=("expected", "--cas"))
    check(found(world, last, "--public-key", public)["seq"] == 3, "a refused version was stored")
    # Without --seq, the time: later versions replace earlier ones.
    put("now"), put("and now")
    check(found(world, last, "--public-key", public)["value"] == "and now", "the later one")
    fresh = ask(world, "put", "fresh", "--key", "bo.key", "--new-key", "--seq", 1, bootstrap=entry).events[0]["key"]
    check(fresh != public and found(world, last, "--public-key", fresh)["value"] == "fresh", "a key made on the way")

    # What is piped in comes out, byte for byte.
    for value in (b"\x00\xff\r\n\x1b[31m", b"x" * 996, b""):
        environment = {k: v for k, v in os.environ.items() if k not in FOREIGN_ENVIRONMENT} | {"HOME": str(world.home)}
        net = ["--bootstrap", entry, "--bind", "127.0.0.1:0"]
        moot = lambda *args, **kw: subprocess.run([MOOT, "dht", *args, *net], capture_output=True, env=environment, timeout=40, **kw)
        target = moot("put", "-", input=value).stdout.decode().strip()
        got = moot("get", target)
        check(got.returncode == 0 and got.stdout == value, f"{value!r} came back as {got.stdout!r}: {got.stderr!r}")


def in_words(world):
    """without --json: results on stdout, all else on stderr, and no terminal's codes where there is no terminal"""
    (_, entry), (_, last), *_ = network(world)
    say = lambda *args, code=0, bootstrap=entry: ask(world, *args, code=code, bootstrap=bootstrap, json_output=False)
    pong = say("ping", last, bootstrap=None)
    check(pong.lines[0].startswith(f"{last} is there: ") and len(pong.lines) == 1, f"{pong.lines}")
    say("announce", TOPIC, "--port", "5000")
    search = say("lookup", TOPIC)
    check(search.lines == ["127.0.0.1:5000"] and "1 peer" in search.stderr[-1], f"{search.lines} {search.stderr}")
    check(say("put", "Hello World!").lines == [HELLO], "the target, and nothing else")
    check(say("get", HELLO).lines == ["Hello World!"], "the value, and nothing else")
    check(len(say("table").lines) == 4, "a line a node")
    stats = " ".join(say("stats").lines)
    check("4 IPv4" in stats and "online" in stats, f"{stats}")


def on_a_terminal(world):
    """progress is drawn on a terminal, wiped again, and results are made safe to show"""
    (_, entry), *_ = network(world)
    ask(world, "put", "a\x1b[31mb", bootstrap=entry)
    target = ask(world, "put", "a\x1b[31mb", bootstrap=entry).events[0]["target"]
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", 0))
    nobody = "127.0.0.1:{}".format(silent.getsockname()[1])

    def typed(*args):
        ours, theirs = pty.openpty()
        environment = {k: v for k, v in os.environ.items() if k not in FOREIGN_ENVIRONMENT}
        environment |= {"HOME": str(world.home), "TERM": "xterm"}
        process = subprocess.Popen([MOOT, "dht", *args], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        seen, deadline = b"", time.monotonic() + 30
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 0.5)[0]:
                continue
            try:
                read = os.read(ours, 4096)
            except OSError:
                break
            if not read:
                break
            seen += read
        os.close(ours)
        return process.wait(5), seen.decode()

    code, seen = typed("get", target, "--bootstrap", entry)
    check(code == 0 and "a\ufffd[31mb" in seen, f"{code} {seen!r}")
    code, seen = typed("lookup", TOPIC, "--bootstrap", nobody, "--timeout", "2s")
    check(code == 4 and "entering the DHT, 0." in seen and "entering the DHT, 1." in seen, f"{code} {seen!r}")
    check(seen.rindex("\r\x1b[2K") > seen.rindex("entering"), "the line of progress stays")
    check("does not answer" in seen, f"{seen!r}")


def bad_input(world):
    """what cannot be understood or done: a sentence and an exit code each, in words and in JSON"""
    (_, entry), *_ = network(world, 2)
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", 0))
    nobody = "127.0.0.1:{}".format(silent.getsockname()[1])
    (world.home / "short.key").write_text("abcd\n")
    (world.home / "odd.key").write_text("z" * 64)
    (world.home / "whole.key").write_text("07" * 32)
    (world.home / "folder").mkdir()
    (world.home / "closed").write_text("07" * 32)
    (world.home / "closed").chmod(0)
    key = "00" * 32
    cases = [
        ("unreachable host", 4, ["ping", nobody], "does not answer"),
        ("unknown host", 4, ["ping", "no-such-host.invalid:6881"], ("no-such-host.invalid", "spelling")),
        ("no port", 2, ["ping", "127.0.0.1"], "HOST:PORT"),
        ("port 0", 2, ["ping", "127.0.0.1:0"], "1 to 65535"),
        ("short info-hash", 2, ["lookup", "abcd"], ("4 digits", "40 hexadecimal")),
        ("bad hex", 2, ["lookup", "g" * 40], ("'g'", "hexadecimal")),
        ("no topic", 2, ["lookup"], "INFOHASH"),
        ("two topics", 2, ["lookup", TOPIC, "--code", "acid-tulip"], "cannot be used with"),
        ("short code", 2, ["lookup", "--code", "ab"], "at least 6"),
        ("no announced port", 2, ["announce", TOPIC], "--port"),
        ("bad announced port", 2, ["announce", TOPIC, "--port", "70000"], "1 to 65535"),
        ("no target", 2, ["get"], "TARGET"),
        ("short key", 2, ["get", "--public-key", "abcd"], ("4 digits", "64 hexadecimal")),
        ("long key", 2, ["get", "--public-key", key + "00"], ("66 digits", "64 hexadecimal")),
        ("bad salt", 2, ["get", "--public-key", key, "--salt", "x" * 65], ("65 bytes", "64")),
        ("salt without key", 2, ["put", "x", "--salt", "s"], "--key"),
        ("seq without key", 2, ["put", "x", "--seq", "1"], "--key"),
        ("negative seq", 2, ["put", "x", "--key", "whole.key", "--seq=-1"], "from 0"),
        ("negative cas, apart", 2, ["put", "x", "--key", "whole.key", "--cas", "-1"], "from 0"),
        ("no brackets", 2, ["ping", "::1:6881"], ("brackets", "[2001:db8::1]:6881")),
        ("huge cas", 2, ["put", "x", "--key", "whole.key", "--cas", "9223372036854775808"], "from 0"),
        ("value over 1000 bytes", 2, ["put", "x" * 997], ("997 bytes", "996")),
        ("no key file", 1, ["put", "x", "--key", "nowhere.key"], ("nowhere.key", "moot dht key")),
        ("key file with a short key", 2, ["put", "x", "--key", "short.key"], ("short.key", "4 digits", "moot dht key")),
        ("key file with no key", 2, ["put", "x", "--key", "odd.key"], ("odd.key", "hexadecimal")),
        ("a folder as key file", 1, ["put", "x", "--key", "folder"], "folder"),
        ("a key that is there", 1, ["key", "whole.key"], ("whole.key", "never overwritten")),
        ("a key nowhere", 1, ["key", "nowhere/ada.key"], "nowhere/ada.key"),
        ("time of no length", 2, ["stats", "--timeout", "0s"], "30s"),
        ("unknown verb", 2, ["dance"], "dance"),
    ]
    if os.geteuid() != 0:
        cases.append(("a closed key file", 1, ["put", "x", "--key", "closed"], ("closed", "permission")))
    for label, code, args, says in cases:
        for json_output in (True, False):
            refused(world, label, code, *args, says=says, json_output=json_output)
    for verb in (["lookup", TOPIC], ["announce", TOPIC, "--port", "1"], ["get", HELLO], ["put", "x"], ["stats"], ["table"]):
        refused(world, "no nodes", 4, *verb, "--state-dir", "nobody", bootstrap="none", says="--bootstrap")
        refused(world, "silence", 4, *verb, "--timeout", "1s", bootstrap=nobody, says=("does not answer", "firewall"))
    refused(world, "no name", 4, "stats", bootstrap="no-such-host.invalid:1", says="no-such-host.invalid")
    refused(world, "nothing found", 3, "lookup", TOPIC, bootstrap=entry, says="no peer")
    refused(world, "no item", 3, "get", TOPIC, bootstrap=entry, says=("no item", "two hours"))
    refused(world, "no mutable item", 3, "get", "--public-key", key, bootstrap=entry, says=("no item", "--salt"))
    return f"{len(cases) + 15} of them"


def state_is_kept(world):
    """what a node knows is kept when it ends; a damaged file is set aside with a warning; a bad directory is told of once"""
    (first, entry), (second, _) = network(world, 2)
    home = world.home / "third"
    third, at = serve(world, "third", entry, state=home)
    third.wait("status", 10, stage="bootstrap")
    third.interrupt()
    check(third.exit_code() == 0, "it did not end well")
    (file,) = (home / "dht").glob("*.snapshot")
    whole = file.read_bytes()
    check(file.stat().st_mode & 0o077 == 0 and not list((home / "dht").glob("*.new")), "open to others, or half written")
    for damage in (b"", whole[:-1], whole[:9] + b"?" + whole[10:], b"\xff" * 4000):
        file.write_bytes(damage)
        again, _ = serve(world, "again", entry, state=home)
        warning = again.wait("error", 10, stage="io")
        aside = [p for p in (home / "dht").iterdir() if ".corrupt-" in p.name]
        check(len(aside) == 1 and aside[0].read_bytes() == damage, f"{aside}")
        check(aside[0].name in warning["message"] and warning["hint"], f"{warning}")
        again.wait("status", 10, stage="bootstrap")
        again.interrupt()
        check(again.exit_code() == 0 and file.read_bytes() != damage, "no fresh start")
        aside[0].unlink()
    # Killed, it leaves the old file or none, but never half of one.
    for bad in (world.home / "a file", world.home / "a file" / "below"):
        (world.home / "a file").write_text("")
        node, addr = serve(world, "nowhere to write", entry, state=bad)
        warning = node.wait("error", 10, stage="io")
        check(str(bad) in warning["message"] and "--state-dir" in warning["hint"], f"{warning}")
        node.wait("status", 10, stage="bootstrap")
        ask(world, "ping", addr)
        node.interrupt()
        check(node.exit_code() == 0 and len(node.all("error")) == 1, f"told {len(node.all('error'))} times")
    held, _ = serve(world, "held", entry, state=home)
    held.wait("status", 10, stage="bootstrap")
    beside, _ = serve(world, "beside", entry, state=home)
    check("another node" in beside.wait("error", 10, stage="io")["message"], "two nodes with one id")
    beside.wait("status", 10, stage="bootstrap")
    return repr(warning["message"])


def restart_without_bootstrap(world):
    """every node is stopped and started again, none told of any other: they find each other from what they kept"""
    nodes = network(world, 5)
    ports = [int(addr.rsplit(":", 1)[1]) for _, addr in nodes]
    ask(world, "stats", "--state-dir", "guest", bootstrap=nodes[0][1])
    ids = {addr: ask(world, "ping", addr).events[0]["id"] for _, addr in nodes}
    for node, _ in nodes:
        node.interrupt()
        check(node.exit_code() == 0, "it did not end well")
    # The one that all had entered by stays away.
    again = [serve(world, f"dht{n}", "none", ports[n]) for n in range(1, 5)]
    for node, _ in again:
        node.wait("status", 15, stage="bootstrap")
    for node, addr in again:
        check(ask(world, "ping", addr).events[0]["id"] == ids[addr], "another id, at the same address")
    refused(world, "a control", 4, "table", "--state-dir", "nobody", bootstrap="none", says="--bootstrap")
    table = ask(world, "table", "--state-dir", "guest", bootstrap="none")
    check({e["addr"] for e in table.all("node")} == {addr for _, addr in again}, f"{table.lines}")
    ask(world, "announce", TOPIC, "--port", 5000, "--state-dir", "guest", bootstrap="none")
    search = ask(world, "lookup", TOPIC, bootstrap=again[-1][1])
    check([e["addr"] for e in search.all("peer")] == ["127.0.0.1:5000"], "the network is in two halves")


def meeting_without_bootstrap(world):
    """members who met once find each other again although the host they had entered by is gone, and none is named"""
    nodes = network(world, 4)
    code = new_code()
    met = [world.member(name, code, nodes[0][1]) for name in ("ada", "bo")]
    all_connected(met)
    # A node is known for good once it was asked; that takes a member some seconds.
    time.sleep(5)
    for member in met:
        member.interrupt()
        check(member.exit_code() == 0, f"{member.label} did not end well")
    nodes[0][0].kill()
    met = [world.member(name, code, "none") for name in ("ada", "bo")]
    all_connected(met, 30)
    exchange(met, "again")
    check(not any(e["stage"] == "bootstrap" for m in met for e in m.all("error")), "a complaint about bootstrap hosts")
    cy = world.member("cy", code, "none")
    check("--bootstrap" in cy.wait("error", 10, stage="bootstrap")["hint"], "a control: who kept nothing is told so")


def examples(world):
    """the examples of the core, on plain sockets: each finds what the others and the command store, and the other way round"""
    folder = TARGET / "release" / "examples"
    for name in ("dht_node", "dht_item"):
        if not (folder / name).exists():
            raise Failed(f"there is no {folder / name}; build it with `cargo build --release -p folkmoot-core --example {name}`")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        entry = "127.0.0.1:{}".format(probe.getsockname()[1])
    started = []

    def node(*args):
        started.append(subprocess.Popen([folder / "dht_node", *args], stdout=subprocess.PIPE, text=True))
        return started[-1].stdout.readline()

    def item(*args, code=0):
        ended = subprocess.run([folder / "dht_item", entry, *args], capture_output=True, text=True, timeout=30)
        check(ended.returncode == code, f"dht_item {args}: exit code {ended.returncode}: {ended.stderr}")
        return ended.stdout.splitlines()

    try:
        check(entry in node(entry), "it does not say where it is")
        node("127.0.0.1:0", entry, TOPIC)
        ask(world, "announce", TOPIC, "--port", 5000, bootstrap=entry)
        deadline = time.monotonic() + 15
        while len(peers := ask(world, "lookup", TOPIC, bootstrap=entry).all("peer")) < 2:
            check(time.monotonic() < deadline, f"only {peers}")
        check(item("put", "Hello World!")[0] == HELLO, "another target")
        check(found(world, entry, HELLO)["value"] == "Hello World!", "what the example put is not found")
        key = ask(world, "put", "a value", "--key", "eve.key", "--new-key", "--seq", 3, "--salt", "s", bootstrap=entry).events[0]["key"]
        check("a value" in item("read", key, "s")[0], "what the command put is not read")
        secret = (world.home / "eve.key").read_text().strip()
        check(item("sign", secret, "s", "4", "the next")[0] == key, "another author")
        check(found(world, entry, "--public-key", key, "--salt", "s")["value"] == "the next", "the newer one")
        item("sign", secret, "s", "3", "too late", code=1)
    finally:
        for process in started:
            process.kill()
            process.wait()


def killed(world):
    """a node that is killed has kept whom it knew half a minute after its start"""
    (_, entry), _ = network(world, 2)
    node, addr = serve(world, "killed", entry)
    node.wait("status", 10, stage="bootstrap")
    folder = world.home / "state of killed" / "dht"
    deadline = time.monotonic() + 45
    while not list(folder.glob("*.snapshot")):
        check(time.monotonic() < deadline, "nothing is kept while it runs")
        time.sleep(0.5)
    node.interrupt(signal.SIGKILL)
    node.exit_code()
    again, _ = serve(world, "killed", "none", int(addr.rsplit(":", 1)[1]))
    again.wait("status", 10, stage="bootstrap")


if __name__ == "__main__":
    run(verbs, meeting_code, items, in_words, on_a_terminal, bad_input, state_is_kept, restart_without_bootstrap,
        meeting_without_bootstrap, examples, killed)
