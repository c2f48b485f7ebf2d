"""Networks whose nodes have an address of each family: what is asked of such a node, and what it does among others.

As in `questions.py`, a function is a row, its docstring the row's name and, behind a `→`, what BEP 32 asks for.
"""

import contextlib
import time

from peers import BOTH, COUNT, OURS, start
from probe import addr_of
from questions import Asker, fresh, outcome

PORT = 4444


class BothAsker:
    """One who asks a node over each family."""

    def __init__(self, nodes, kind):
        self.kind = kind
        self.v4, self.v6 = Asker(nodes.nodes[0], kind), Asker(nodes.nodes6[0], kind)

    def is_settled(self):
        """Whether the node knows others of either family."""
        return all(named(asker.query("find_node", {b"target": fresh()})) != "nobody" for asker in (self.v4, self.v6))


def eventually(look, seconds=5.0):
    """Whether something comes true in time."""
    until = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def contacts(reply, name):
    """The addresses of the nodes that a reply names."""
    size = {b"nodes": 26, b"nodes6": 38}[name]
    packed = (reply or {}).get(b"r", {}).get(name, b"")
    return {addr_of(packed[at + 20:at + size]) for at in range(0, len(packed) - size + 1, size)}


def named(reply):
    """Of which families a reply names nodes."""
    if reply is None or reply.get(b"y") != b"r":
        return outcome(reply)
    return " and ".join(name.decode() for name in (b"nodes", b"nodes6") if contacts(reply, name)) or "nobody"


def find_node(asker, *want):
    return named(asker.query("find_node", {b"target": fresh()} | ({b"want": list(want)} if want else {})))


# What a node answers

def over_v4(both):
    """`find_node` over IPv4 → nodes"""
    return find_node(both.v4)


def over_v6(both):
    """`find_node` over IPv6 → nodes6"""
    return find_node(both.v6)


def v6_over_v4(both):
    """`find_node` over IPv4, `want` n6 → nodes6"""
    return find_node(both.v4, b"n6")


def v4_over_v6(both):
    """`find_node` over IPv6, `want` n4 → nodes"""
    return find_node(both.v6, b"n4")


def both_over_v4(both):
    """`find_node` over IPv4, `want` n4 and n6 → nodes and nodes6"""
    return find_node(both.v4, b"n4", b"n6")


def both_over_v6(both):
    """`find_node` over IPv6, `want` n4 and n6 → nodes and nodes6"""
    return find_node(both.v6, b"n4", b"n6")


def get_peers_both(both):
    """`get_peers` over IPv4, `want` n4 and n6 → nodes and nodes6"""
    return named(both.v4.query("get_peers", {b"info_hash": fresh(), b"want": [b"n4", b"n6"]}))


def want_nonsense(both):
    """`find_node` over IPv4, `want` of a family that nobody knows"""
    return find_node(both.v4, b"n8")


def announce_v6(both):
    """`announce_peer` over IPv6, then `get_peers` over IPv6 → the peer"""
    topic = both.v6.near()
    said = outcome(both.v6.announce(topic, both.v6.token(topic), port=PORT))
    return "the peer" if ("::1", PORT) in both.v6.peers(topic) else f"{said}, not stored"


def announce_across(both):
    """`announce_peer` over IPv6, then `get_peers` over IPv4"""
    topic = both.v6.near()
    both.v6.announce(topic, both.v6.token(topic), port=PORT)
    return "the peer" if ("::1", PORT) in both.v4.peers(topic) else "no peer"


def token_across(both):
    """`announce_peer` over IPv6 with the token got over IPv4 → 203"""
    topic = both.v6.near()
    return outcome(both.v6.announce(topic, both.v4.token(topic), port=PORT))


ANSWERS_BOTH = [
    over_v4, over_v6, v6_over_v4, v4_over_v6, both_over_v4, both_over_v6, get_peers_both, want_nonsense, announce_v6,
    announce_across, token_across,
]


def answers(kind):
    """A column: what a node says that has both families, in a network of its own kind; or, where none such forms, of ours."""
    with contextlib.ExitStack() as stack:
        entries = []
        if COUNT[kind] == 1:
            ours = stack.enter_context(start(OURS, 4, host=BOTH))
            entries = [ours.nodes[0], ours.nodes6[0]]
        nodes = stack.enter_context(start(kind, COUNT[kind], entries, host=BOTH))
        both = BothAsker(nodes, kind)
        eventually(both.is_settled)
        return [question(both) for question in ANSWERS_BOTH]


# What a node does among others

def is_known(asking, asked):
    """By which of its addresses a node is known to those asked."""
    own, own6 = asking.nodes[0], asking.nodes6[0]
    return (own in contacts(asked.v4.query("find_node", {b"target": fresh()}), b"nodes"),
            own6 in contacts(asked.v6.query("find_node", {b"target": fresh()}), b"nodes6"))


def shown(v4, v6):
    return {(True, True): "IPv4 and IPv6", (True, False): "IPv4", (False, True): "IPv6"}.get((v4, v6), "no")


def enters(asking, asked):
    eventually(lambda: all(is_known(asking, asked)), 8)
    return shown(*is_known(asking, asked))


def announces(asking, asked):
    topic = asked.v4.near()
    asking.tell("announce", hash=topic.hex(), port=PORT)

    def stored():
        return ("127.0.0.1", PORT) in asked.v4.peers(topic), ("::1", PORT) in asked.v6.peers(topic)

    eventually(lambda: all(stored()))
    return shown(*stored())


def finds(asking, asked):
    topic = asked.v4.near()
    for asker in (asked.v4, asked.v6):
        asker.announce(topic, asker.token(topic), port=PORT)
    found = [tuple(peer) for peer in asking.tell("peers", hash=topic.hex())["peers"]]
    return shown(("127.0.0.1", PORT) in found, ("::1", PORT) in found)


DEEDS_BOTH = [
    "enters by an address of each family, and is known over",
    "announces itself: the peer is stored of",
    "finds peers that announced to them of",
    "enters by an IPv4 address alone, and is known over",
]


def deeds(kind, theirs_kind):
    """A column: what a node of one kind does among those of another."""
    if theirs_kind == "librqbit-dht":
        return ["– (takes in only whom others name)"] * len(DEEDS_BOTH)
    with start(theirs_kind, COUNT[theirs_kind], host=BOTH) as theirs:
        asked = BothAsker(theirs, theirs_kind)
        with start(kind, 1, [theirs.nodes[0], theirs.nodes6[0]], host=BOTH) as asking:
            cells = [enters(asking, asked), announces(asking, asked), finds(asking, asked)]
        with start(kind, 1, theirs.nodes[0], host=BOTH) as asking:
            return [*cells, enters(asking, asked)]
