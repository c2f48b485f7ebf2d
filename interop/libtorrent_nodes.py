"""A DHT of libtorrent nodes on loopback: COUNT [--host HOST] [--bootstrap HOST:PORT]…; as HOST `both` for 127.0.0.1 and ::1.

Prints one line of JSON, {"version": …, "nodes": [[host, port], …]}, once they know each other. From then on it takes commands,
one line of JSON each (see matrix.py), which its first node carries out, and ends when its standard input does. Needs the
Python package `libtorrent`; `interop/setup` installs it."""

import argparse
import contextlib
import json
import socket
import sys
import time

import libtorrent

parser = argparse.ArgumentParser()
parser.add_argument("count", type=int, nargs="?", default=8)
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--bootstrap", action="append", default=[])
options = parser.parse_args()

# libtorrent distrusts many nodes on one address, addresses of private networks and node ids that do not fit them; all nodes of
# a test are on loopback, so these defences have to be lowered, and the rate limits with them.
SETTINGS = {
    "enable_dht": True,
    "dht_bootstrap_nodes": "",
    "dht_restrict_routing_ips": False,
    "dht_restrict_search_ips": False,
    "dht_ignore_dark_internet": False,
    "dht_prefer_verified_node_ids": False,
    "dht_enforce_node_id": False,
    "dht_block_ratelimit": 10_000_000,
    "dht_upload_rate_limit": 1_000_000_000,
    # Nothing but the DHT.
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_tcp": False,
    "enable_outgoing_tcp": False,
    "enable_outgoing_utp": False,
    "alert_mask": libtorrent.alert.category_t.dht_notification | libtorrent.alert.category_t.dht_operation_notification,
}

# Its search ends only when every node asked has answered or 15 s have passed.
PATIENCE = 20


def alerts(session, timeout=2.0):
    """The alerts of a session, as they come, for so many seconds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        session.wait_for_alert(50)
        yield from session.pop_alerts()


def nodes_known(session):
    """How many DHT nodes a session has in its routing table; asked for and answered by alert."""
    session.post_dht_stats()
    for alert in alerts(session):
        if isinstance(alert, libtorrent.dht_stats_alert):
            return sum(bucket["num_nodes"] for bucket in alert.routing_table)
    return 0


def sha1_hash(digits):
    return libtorrent.sha1_hash(bytes.fromhex(digits))


class Commands:
    """What its first node can be told to do. Answers are dictionaries."""

    def __init__(self, session):
        self.session = session

    def announce(self, hash, port):
        # 2: the port is implied, it is that of this socket.
        self.session.dht_announce(sha1_hash(hash), port, 0 if port else 2)
        return {}

    def peers(self, hash):
        """What the first answer with any says; of each family, where there are both."""
        self.session.dht_get_peers(sha1_hash(hash))
        found = []
        for alert in alerts(self.session, PATIENCE):
            is_reply = isinstance(alert, libtorrent.dht_get_peers_reply_alert) and str(alert.info_hash) == hash
            found += [list(peer) for peer in alert.peers() if list(peer) not in found] if is_reply else []
            if len({":" in host for host, _ in found}) == len(hosts):
                break
        return {"peers": found}

    def put_immutable(self, value):
        target = self.session.dht_put_immutable_item(bytes.fromhex(value))
        for alert in alerts(self.session, PATIENCE):
            if isinstance(alert, libtorrent.dht_put_alert) and alert.target == target:
                return {"target": str(target), "stored": alert.num_success}
        return {"error": "no answer"}

    def get_immutable(self, target):
        self.session.dht_get_immutable_item(sha1_hash(target))
        for alert in alerts(self.session, PATIENCE):
            if isinstance(alert, libtorrent.dht_immutable_item_alert) and str(alert.target) == target:
                return {"value": alert.item.hex() if isinstance(alert.item, bytes) else None}
        return {"value": None}

    def put_mutable(self, secret, key, salt, value, **_):
        """It reads the item first and takes the next sequence number by itself."""
        self.session.dht_put_mutable_item(*map(bytes.fromhex, (secret, key, value, salt)))
        for alert in alerts(self.session, PATIENCE):
            if isinstance(alert, libtorrent.dht_put_alert) and alert.public_key == bytes.fromhex(key):
                return {"stored": alert.num_success, "seq": alert.seq}
        return {"error": "no answer"}

    def get_mutable(self, key, salt):
        """The first that it hears of, since it says which is the newest only when the last node has answered or timed out."""
        self.session.dht_get_mutable_item(bytes.fromhex(key), bytes.fromhex(salt))
        for alert in alerts(self.session, PATIENCE):
            if isinstance(alert, libtorrent.dht_mutable_item_alert) and alert.key == bytes.fromhex(key):
                if isinstance(alert.item, bytes) and alert.item:
                    return {"value": alert.item.hex(), "seq": alert.seq}
                if alert.authoritative:
                    break
        return {"value": None, "seq": None}


hosts = ["127.0.0.1", "::1"] if options.host == "both" else [options.host]


def free_port():
    """A port that is free on every host: asked for any, libtorrent takes another for each."""
    while True:
        with contextlib.ExitStack() as stack:
            port = 0
            with contextlib.suppress(OSError):
                for host in hosts:
                    family = socket.AF_INET6 if ":" in host else socket.AF_INET
                    taken = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                    taken.bind((host, port))
                    port = taken.getsockname()[1]
                return port


def start():
    port = free_port()
    listen = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in hosts)
    return libtorrent.session(SETTINGS | {"listen_interfaces": listen})


sessions = [start() for _ in range(options.count)]
ports = [session.listen_port() for session in sessions]
entries = [(host, port) for port in ports for host in hosts]
for entry in options.bootstrap:
    host, port = entry.rsplit(":", 1)
    entries.append((host.strip("[]"), int(port)))
for own, session in zip(ports, sessions):
    for entry in entries:
        if entry[1] != own:
            session.add_dht_node(entry)
deadline = time.monotonic() + 20
# Of both families it tells of one; the other is there as soon, or nearly.
while min(map(nodes_known, sessions)) < len(entries) // len(hosts) - 1:
    if time.monotonic() > deadline:
        sys.exit("the libtorrent nodes do not find each other")
    time.sleep(0.1)
print(json.dumps({"version": libtorrent.__version__, "nodes": [[hosts[0], port] for port in ports]}), flush=True)
commands = Commands(sessions[0])
for line in sys.stdin:
    command = json.loads(line)
    print(json.dumps(getattr(commands, command.pop("do"))(**command)), flush=True)
