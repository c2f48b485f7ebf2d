#!/usr/bin/env python3
"""Field traces: what a node wrote down with --trace is done again by `moot-sim replay`, to the last byte."""

import json
import os
import subprocess
import time
from pathlib import Path

from moot import MOOT, World, all_connected, check, exchange, new_code, run

SIM = Path(os.environ.get("MOOT_SIM", MOOT.parent / "moot-sim"))
SECRET = "a text that nobody else may read"


def replay(trace, *args):
    """`moot-sim replay`: (exit code, stdout, stderr)."""
    done = subprocess.run([SIM, "replay", trace, *args], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def verdict(trace):
    code, out, err = replay(trace, "--json")
    check(code == 0, f"{trace.name}: replay ended with {code}: {err} {out[-300:]}")
    return json.loads(out.splitlines()[-1]), out


def meet(world, ada_args, bo_args):
    """Two meet, talk and leave; the paths of what was wished for are the last arguments."""
    _, bootstrap = world.dht()
    code = new_code()
    ada = world.member("ada", code, bootstrap, *ada_args)
    bo = world.member("bo", code, bootstrap, *bo_args)
    all_connected([ada, bo])
    ada.say(SECRET, id="x")
    bo.wait("message", 10, text=SECRET)
    exchange([ada, bo], "hello")
    time.sleep(1)
    for m in (ada, bo):
        m.command(cmd="leave")
        check(m.exit_code() == 0, f"{m.label} ended with {m.popen.returncode}")
    return code, ada, bo


def agrees(world):
    """two real members, each with --trace: both traces replay to the last byte, and tell of the other"""
    traces = [world.home / name for name in ("ada.trace", "bo.trace")]
    code, *members = meet(world, ["--trace", traces[0]], ["--trace", traces[1]])
    figures = []
    for trace, member, other in zip(traces, members, ("bo", "ada")):
        check(member.all("error", stage="io"), f"{member.label}: no warning of what the trace holds")
        check(trace.stat().st_mode & 0o077 == 0, f"{trace.name} may be read by others")
        done, out = verdict(trace)
        check(done["hash_agrees"] is True and done["parted"] is None and done["same"] == done["outputs"], f"{done}")
        check(not done["cut"] and not done["full"] and done["outputs"] > 50, f"{done}")
        check(f"connected to {other}" in done["outcome"], f"{done}")
        figures.append(f"{done['inputs']} inputs and {done['outputs']} outputs in {trace.stat().st_size // 1024} KiB")
    return "; ".join(figures)


def redacted(world):
    """--trace-redacted holds neither code, text, name nor address, and its story is told"""
    trace, other = world.home / "ada.redacted", world.home / "bo.trace"
    code, ada, bo = meet(world, ["--trace-redacted", trace], ["--trace", other])
    content, full = trace.read_bytes(), other.read_bytes()
    secrets = {"the code": code.encode(), "the text": SECRET.encode(), "the name": b"bo", "an id": ada.device.encode()}
    for what, secret in secrets.items():
        # Two letters stand in many a word; as a name they would stand behind "to " or "of ".
        wanted = [b"to bo", b"of bo"] if secret == b"bo" else [secret]
        check(not any(w in content for w in wanted), f"{what} is in the redacted trace")
    check(code.encode() in full and b"hello from bo" in full, "the full trace is not full")
    done, out = verdict(trace)
    check(done["redacted"] and "connected to member-" in done["outcome"], f"{done}")


def killed(world):
    """a process that is killed leaves a trace that replays as far as it goes, and says that it is cut"""
    _, bootstrap = world.dht()
    trace = world.home / "ada.trace"
    ada = world.member("ada", new_code(), bootstrap, "--trace", trace)
    ada.wait("joined")
    time.sleep(1.5)
    ada.kill()
    code, out, err = replay(trace)
    check(code == 0 and "stops before its end" in out and "to the last byte" in out, f"{code}: {out[-500:]} {err}")
    check("connected to nobody" in out, out[-500:])


def unfit(world):
    """a trace that is damaged, of another version or none is told with a sentence, and so is a file that is there already"""
    _, bootstrap = world.dht()
    trace = world.home / "ada.trace"
    ada = world.member("ada", new_code(), bootstrap, "--trace", trace)
    ada.wait("joined")
    ada.interrupt()
    ada.exit_code()
    content = trace.read_bytes()
    cases = {
        "damaged": (content[:-400] + bytes([content[-400] ^ 1]) + content[-399:], "this trace is damaged at byte"),
        "newer": (content.replace(b"folkmoot trace 1 ", b"folkmoot trace 7 ", 1), "version 7"),
        "short": (content[:20], "this is no trace of a node"),
        "other": (os.urandom(400), ""),
    }
    for name, (changed, sentence) in cases.items():
        (world.home / name).write_bytes(changed)
        code, out, err = replay(world.home / name)
        check(code == 2 and sentence in err and "panicked" not in err, f"{name}: {code}: {err}")
    ada = world.member("ada", new_code(), bootstrap, "--trace", trace)
    check(ada.exit_code() == 1, f"an existing file: it ended with {ada.popen.returncode}")
    check(any("the trace cannot be written to" in line for line in ada.stderr), f"{ada.stderr}")
    check(trace.read_bytes() == content, "an existing file was changed")


if __name__ == "__main__":
    run(agrees, redacted, killed, unfit)
