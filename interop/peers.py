"""The DHT implementations of the matrix as processes that take commands: one line of JSON in, one line out."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "acceptance"))

from moot import MOOT, TARGET, Failed, World  # noqa: E402

INTEROP = TARGET / "interop"
RIVALS = Path(os.environ.get("RIVALS", INTEROP / "build/release/rivals"))

OURS = "folkmoot"
FOREIGN = {
    "libtorrent": [INTEROP / "venv/bin/python", HERE / "libtorrent_nodes.py"],
    "bittorrent-dht": ["node", HERE / "bittorrent_nodes.mjs"],
    "mainline": [RIVALS, "mainline"],
    "librqbit-dht": [RIVALS, "librqbit"],
}
KINDS = [OURS, *FOREIGN]
# Of these, nodes on ::1 can be had.
WITH_V6 = (OURS, "libtorrent", "librqbit-dht")
# As a host: an address of each family, 127.0.0.1 and ::1.
BOTH = "both"
# Nodes of a network of one kind. A network of librqbit-dht alone does not form: such a node takes in only whom others name.
COUNT = {kind: 1 if kind == "librqbit-dht" else 4 for kind in KINDS}
# Who has no items, and why.
NO_ITEMS = {"librqbit-dht": "no BEP 44"}


def start(kind, count, bootstrap=None, host="127.0.0.1"):
    """Nodes of some kind that know each other and the bootstrap nodes (an address or several), for use in a `with`."""
    entries = [] if not bootstrap else bootstrap if isinstance(bootstrap, list) else [bootstrap]
    return (Ours if kind == OURS else Foreign)(kind, count, [address(entry) for entry in entries], host)


class Foreign:
    """Several nodes of one kind that know each other, the first of which obeys."""

    def __init__(self, kind, count, entries, host):
        self.kind, self.host = kind, host
        self.args = [str(count)]
        if kind == "bittorrent-dht":
            self.args += entries
        else:
            # librqbit-dht has one socket for both families.
            if kind == "librqbit-dht" and host == BOTH:
                host = "::"
            self.args += ["--host", host, *(arg for entry in entries for arg in ("--bootstrap", entry))]

    def __enter__(self):
        command = [str(part) for part in FOREIGN[self.kind]] + self.args
        try:
            self.process = subprocess.Popen(command, cwd=INTEROP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        except FileNotFoundError:
            raise Failed(f"{self.kind} is missing; run interop/setup") from None
        started = self.read()
        self.version = started["version"]
        self.nodes = [tuple(node) for node in started["nodes"]]
        if self.host == BOTH:
            self.nodes, self.nodes6 = ([(host, port) for _, port in self.nodes] for host in ("127.0.0.1", "::1"))
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"the nodes of {self.kind} ended")
        return json.loads(line)

    def tell(self, command, **fields):
        """The answer to a command, or None if the implementation has none such."""
        print(json.dumps({"do": command, **fields}), file=self.process.stdin, flush=True)
        return self.read()


class Ours:
    """Several `moot dht serve`; what is to be done, the other verbs of `moot dht` do, each for itself."""

    def __init__(self, kind, count, entries, host):
        self.kind, self.count, self.host = kind, count, host
        self.hosts = ["127.0.0.1", "::1"] if host == BOTH else [host]
        self.bind = [arg for host in self.hosts for arg in ("--bind", address((host, 0)))]
        self.bootstrap = entries
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        try:
            self.world = self.stack.enter_context(World())
            self.version = subprocess.run([MOOT, "--version"], stdout=subprocess.PIPE, text=True).stdout.split()[-1]
            self.nodes, self.nodes6 = [], []
            for _ in range(self.count):
                entries = self.bootstrap + [address(node) for node in self.nodes[:1] + self.nodes6[:1]]
                bootstraps = [arg for entry in entries for arg in ("--bootstrap", entry)]
                bound = self.world.process("dht", "dht", "serve", *self.bind, *bootstraps).bound
                self.nodes.append(bound[0])
                self.nodes6.extend(bound[1:])
            return self
        except BaseException:
            self.stack.close()
            raise

    def __exit__(self, *_):
        self.stack.close()

    def tell(self, command, **fields):
        """The answer to a command, or None if the program has none such."""
        value = bytes.fromhex(fields.get("value", "")).decode()
        salt = ["--salt", bytes.fromhex(fields["salt"]).decode()] if fields.get("salt") else []
        match command:
            case "announce" if not fields["port"]:
                return None
            case "announce":
                return self.run("announce", fields["hash"], "--port", str(fields["port"]))
            case "peers":
                found = self.run("lookup", fields["hash"])
                return {"peers": [list(pair_of(event["addr"])) for event in found["events"] if event["event"] == "peer"]}
            case "put_immutable":
                return self.run("put", value)
            case "get_immutable":
                return self.item(self.run("get", fields["target"]))
            case "put_mutable":
                key = self.world.home / "key"
                key.touch(mode=0o600)
                key.write_text(fields["seed"])
                cas = [] if fields["cas"] is None else ["--cas", str(fields["cas"])]
                return self.run("put", value, "--key", key, "--seq", str(fields["seq"]), *cas, *salt)
            case "get_mutable":
                return self.item(self.run("get", "--public-key", fields["key"], *salt))

    def run(self, verb, *args):
        """What a verb printed; with `error` if it failed."""
        entries = self.bootstrap or [address(self.nodes[0])]
        bootstraps = [arg for entry in entries for arg in ("--bootstrap", entry)]
        guest = self.world.process(verb, "dht", verb, *args, *self.bind, *bootstraps, "--state-dir", self.world.home)
        code = guest.exit_code(40)
        answer = {"events": guest.events}
        if code == 6:
            answer["error"] = "refused"
        elif code:
            answer["error"] = f"exit code {code}"
        return answer

    @staticmethod
    def item(answer):
        items = [event for event in answer["events"] if event["event"] == "item"]
        return {"value": items[-1]["value_hex"], "seq": items[-1]["seq"]} if items else {"value": None, "seq": None}


def pair_of(text):
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


def address(pair):
    host, port = pair[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
