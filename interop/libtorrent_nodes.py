"""A DHT of libtorrent nodes on loopback. Prints one line of JSON, {"nodes": [[host, port], …]}, once they know each other,
and ends when its standard input does. Needs the Python package `libtorrent`; `interop/setup` installs it."""

import json
import sys
import time

import libtorrent

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 8

# libtorrent distrusts many nodes on one address, addresses of private networks and node ids that do not fit them; all nodes of
# a test are on loopback, so these defences have to be lowered, and the rate limits with them.
SETTINGS = {
    "listen_interfaces": "127.0.0.1:0",
    "enable_dht": True,
    "dht_bootstrap_nodes": "",
    "dht_restrict_routing_ips": False,
    "dht_restrict_search_ips": False,
    "dht_ignore_dark_internet": False,
    "dht_prefer_verified_node_ids": False,
    "dht_enforce_node_id": False,
    "dht_block_ratelimit": 100_000,
    "dht_upload_rate_limit": 10_000_000,
    # Nothing but the DHT.
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_tcp": False,
    "enable_outgoing_tcp": False,
    "enable_outgoing_utp": False,
    "alert_mask": libtorrent.alert.category_t.dht_notification,
}


def nodes_known(session):
    """How many DHT nodes a session has in its routing table; asked for and answered by alert."""
    session.post_dht_stats()
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        session.wait_for_alert(100)
        for alert in session.pop_alerts():
            if isinstance(alert, libtorrent.dht_stats_alert):
                return sum(bucket["num_nodes"] for bucket in alert.routing_table)
    return 0


sessions = [libtorrent.session(SETTINGS) for _ in range(COUNT)]
ports = [session.listen_port() for session in sessions]
for session in sessions:
    for port in ports:
        if port != session.listen_port():
            session.add_dht_node(("127.0.0.1", port))
deadline = time.monotonic() + 20
while min(map(nodes_known, sessions)) < COUNT - 1:
    if time.monotonic() > deadline:
        sys.exit("the libtorrent nodes do not find each other")
    time.sleep(0.1)
print(json.dumps({"version": libtorrent.__version__, "nodes": [["127.0.0.1", port] for port in ports]}), flush=True)
sys.stdin.read()
