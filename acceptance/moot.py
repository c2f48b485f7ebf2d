"""Starts `moot` processes, reads their events and waits for them with deadlines. For the scripts beside it; Python 3.11, no packages."""

import argparse
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
MOOT = Path(os.environ.get("MOOT", TARGET / "release" / "moot"))
WORDS = "acid tulip seven camel proof river stone amber lemon orbit".split()
# Nothing of the person who runs the tests may reach the processes under test.
FOREIGN_ENVIRONMENT = ("MEETING_CODE", "STUN_SERVERS", "NODE_ID", "DEBUG", "RUST_LOG", "XDG_STATE_HOME", "HOME")


class Failed(AssertionError):
    """An expectation was not met."""


def check(condition, what):
    if not condition:
        raise Failed(what)


def new_code():
    """A code that no run used before."""
    return "-".join([secrets.choice(WORDS) for _ in range(4)] + [secrets.token_hex(6)])


class Process:
    """One `moot` process. `events` are the JSON objects it wrote so far, each with the time it came as `at`."""

    def __init__(self, world, label, args, json_output=True, env=None):
        self.world, self.label, self.json_output = world, label, json_output
        self.args = [str(a) for a in args] + (["--json"] if json_output else [])
        environment = {k: v for k, v in os.environ.items() if k not in FOREIGN_ENVIRONMENT}
        environment |= {"HOME": str(world.home), "NO_COLOR": "1"} | (env or {})
        self.events, self.lines, self.stderr, self.stray = [], [], [], []
        self.changed = threading.Condition()
        self.started_at = time.monotonic()
        self.popen = subprocess.Popen(
            [str(MOOT), *self.args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, encoding="utf-8", env=environment, cwd=world.home)
        self.readers = [threading.Thread(target=self._read, args=(stream, is_out), daemon=True)
                        for stream, is_out in ((self.popen.stdout, True), (self.popen.stderr, False))]
        for reader in self.readers:
            reader.start()

    def _read(self, stream, is_out):
        for line in stream:
            at = time.monotonic()
            with self.changed:
                (self.lines if is_out else self.stderr).append(line.rstrip("\n"))
                if is_out and self.json_output:
                    try:
                        event = json.loads(line)
                        assert isinstance(event, dict)
                        self.events.append(event | {"at": at})
                    except (ValueError, AssertionError):
                        self.stray.append(line)
                self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    # What it says.

    def all(self, event, **fields):
        """Every event of that name with those fields, so far."""
        with self.changed:
            return [e for e in self.events if e.get("event") == event and fields.items() <= e.items()]

    def wait(self, event, timeout=10.0, since=0, where=None, **fields):
        """The first event of that name with those fields (and for which `where` holds) from number `since` on."""
        def find():
            return next((e for e in self.events[since:] if e.get("event") == event and fields.items() <= e.items()
                         and (where is None or where(e))), None)
        return self._until(find, timeout, f"no `{event}` {fields or ''} within {timeout:g} s")

    def wait_text(self, text, timeout=10.0):
        """Until a line of its human output, on either stream, has `text`."""
        return self._until(lambda: next((line for line in self.lines + self.stderr if text in line), None),
                           timeout, f"no line with {text!r} within {timeout:g} s")

    def _until(self, find, timeout, complaint):
        deadline = time.monotonic() + timeout
        with self.changed:
            while (found := find()) is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Failed(f"{self.label}: {complaint}")
                if self.popen.poll() is not None and not any(r.is_alive() for r in self.readers):
                    raise Failed(f"{self.label}: {complaint}: it ended with {self.popen.returncode}")
                self.changed.wait(min(left, 0.2))
        return found

    # What it is told.

    def line(self, text):
        self.popen.stdin.write(text + "\n")
        self.popen.stdin.flush()

    def command(self, **fields):
        self.line(json.dumps(fields))

    def say(self, text, id=None):
        self.command(cmd="say", text=text, **({} if id is None else {"id": id}))

    def peers(self, timeout=5.0):
        since = len(self.events)
        self.command(cmd="peers")
        event = self.wait("peers", timeout, since=since)
        return event.get("peers", event.get("list"))

    def kill(self):
        """SIGKILL: no goodbye to anyone."""
        self.popen.kill()
        self.popen.wait()

    def interrupt(self, with_signal=signal.SIGINT):
        self.popen.send_signal(with_signal)

    def exit_code(self, timeout=15.0):
        """Its exit code, once it has ended by itself and everything it wrote is read."""
        try:
            code = self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.label}: still running after {timeout:g} s") from None
        for reader in self.readers:
            reader.join(5)
        return code

    def close(self):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        with contextlib.suppress(OSError):
            self.popen.stdin.close()

    # What it is.

    @property
    def started(self):
        return self.wait("started")

    @property
    def device(self):
        return self.started["device"]

    @property
    def member(self):
        return self.started["member"]

    @property
    def bound(self):
        """Where its sockets are bound, as (host, port)."""
        bind = self.started["bind"]
        pairs = [addr.rsplit(":", 1) for addr in ([bind] if isinstance(bind, str) else bind)]
        return [(host.strip("[]"), int(port)) for host, port in pairs]

    @property
    def address(self):
        """Where its first socket is bound, as (host, port)."""
        return self.bound[0]

    def rss_kib(self):
        for line in Path(f"/proc/{self.popen.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise Failed(f"{self.label}: no VmRSS")

    def check_form(self):
        """Every event has the form that the README promises."""
        check(not self.stray, f"{self.label}: not a JSON object on stdout: {self.stray[:1]}")
        last = 0
        for event in self.events:
            check(event.get("v") == 1 and isinstance(event.get("event"), str) and isinstance(event.get("ms"), int),
                  f"{self.label}: without v, event or ms: {event}")
            check(event["ms"] >= last, f"{self.label}: ms goes back at {event}")
            last = event["ms"]
            for key in ("device", "member", "from", "to", "topic"):
                value = event.get(key, "")
                check(value == value.lower() and all(c in "0123456789abcdef" for c in value),
                      f"{self.label}: {key} is not lower-case hexadecimal in {event}")


class World:
    """A temporary home for one scenario; every process started in it ends with it."""

    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.processes = []

    def __enter__(self):
        self.home = Path(tempfile.mkdtemp(prefix="folkmoot-acceptance-"))
        self.stack.callback(shutil.rmtree, self.home, ignore_errors=True)
        return self

    def __exit__(self, *exc):
        for process in self.processes:
            process.close()
        self.stack.close()

    def process(self, label, *args, **options):
        process = Process(self, label, args, **options)
        self.processes.append(process)
        return process

    def dht(self):
        """A DHT node: (process, "HOST:PORT")."""
        process = self.process("dht", "dht", "serve", "--bind", "127.0.0.1:0")
        host, port = process.address
        return process, f"{host}:{port}"

    def member(self, name, code, bootstrap, *args, stun="none", bind="127.0.0.1:0", **options):
        """A member with an identity of its own, which a second start under the same name finds again."""
        bootstraps = [bootstrap] if isinstance(bootstrap, str) else bootstrap
        return self.process(
            name, "join", code, "--name", name, "--state-dir", self.home / name, "--bind", bind, "--stun", stun,
            *(arg for b in bootstraps for arg in ("--bootstrap", b)), *args, **options)

    def report(self):
        for process in self.processes:
            print(f"--- {process.label}: moot {' '.join(process.args)}", file=sys.stderr)
            for line in process.lines[-20:] + process.stderr[-10:]:
                print(f"    {line[:300]}", file=sys.stderr)


def all_connected(members, timeout=15.0, since=None):
    """Until each of the members has seen `connected` for every other; `since` maps a process to an event number."""
    for a in members:
        for b in members:
            if a is not b:
                a.wait("connected", timeout, since=(since or {}).get(a, 0), member=b.member)


def exchange(members, text, timeout=15.0):
    """Each says one thing; until it has come to every other and each knows that it has. The time of the last of that."""
    seqs, last = {}, 0.0
    for a in members:
        a.say(f"{text} from {a.label}", id=f"{text}/{a.label}")
    for a in members:
        seqs[a] = a.wait("sent", timeout, id=f"{text}/{a.label}")["seq"]
    for a in members:
        for b in members:
            if a is not b:
                heard = b.wait("message", timeout, **{"from": a.member}, text=f"{text} from {a.label}")
                check(heard["seq"] == seqs[a], f"{b.label}: the number of {a.label}'s message is {heard['seq']}, not {seqs[a]}")
                accepted = a.wait("delivered", timeout, seq=seqs[a], to=b.member)
                last = max(last, heard["at"], accepted["at"])
    return last


def nothing_twice(members):
    """No message came twice to a process, and none of one's own."""
    for m in members:
        seen = [(e["from"], e["text"]) for e in m.all("message")]
        check(len(seen) == len(set(seen)), f"{m.label}: heard something twice: {sorted(s for s in seen if seen.count(s) > 1)}")
        check(all(author != m.member for author, _ in seen), f"{m.label}: heard itself")
        accepted = [(e["seq"], e["to"]) for e in m.all("delivered")]
        check(len(accepted) == len(set(accepted)), f"{m.label}: an acknowledgement came twice")
        m.check_form()


def run(*scenarios, options=None):
    """The scripts' main: runs the scenarios, prints one line each, and exits with 1 if one failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-k", metavar="WORD", default="", help="only scenarios with WORD in their name")
    parser.add_argument("--runs", type=int, default=20, help="how often a repeated scenario runs (default: 20)")
    args = parser.parse_args()
    if not MOOT.exists():
        sys.exit(f"there is no {MOOT}; build it with `cargo build --release -p folkmoot-cli`, or set MOOT")
    failures = 0
    chosen = [s for s in scenarios if args.k in s.__name__]
    for scenario in chosen:
        began = time.monotonic()
        with World() as world:
            world.runs = args.runs
            try:
                note = scenario(world)
                print(f"ok    {scenario.__name__}: {scenario.__doc__.strip().splitlines()[0]} "
                      f"[{time.monotonic() - began:.1f} s]{f' {note}' if note else ''}", flush=True)
            except Exception as error:
                failures += 1
                print(f"FAIL  {scenario.__name__}: {scenario.__doc__.strip().splitlines()[0]}\n      {error}", flush=True)
                if not isinstance(error, Failed):
                    traceback.print_exc()
                world.report()
    print(f"{Path(sys.argv[0]).name}: {len(chosen) - failures} passed, {failures} failed", flush=True)
    sys.exit(1 if failures or not chosen else 0)
