#!/usr/bin/env python3
"""How Folkmoot and four other DHT implementations get on, as a table: MATRIX.md.

`--write` writes it; `--check` fails if what is found differs from what is written there. Everything is on loopback; the peers come
from `interop/setup`. Commands that a driven node takes, as one line of JSON with `do` and these fields (bytes in hexadecimal digits):

    announce hash port           peers hash
    put_immutable value          get_immutable target
    put_mutable seed secret key salt seq value cas          get_mutable key salt

`port` 0 is an implied one, `cas` null is none. The answer is an object: what was asked for, or `error`; null where the
implementation has no such command.
"""

import argparse
import contextlib
import difflib
import hashlib
import re
import secrets
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import families
from families import eventually
from peers import COUNT, FOREIGN, HERE, KINDS, NO_ITEMS, OURS, WITH_V6, start
from questions import ANSWERS, OVER_V6, REFUSALS, Asker, cell
from ed25519 import Key
from moot import check
from probe import bencode

PAGE = HERE / "MATRIX.md"


class Pair:
    """A node that asks, and the nodes that are asked; through the eyes of one who may ask them too."""

    def __init__(self, asking, answering, kind):
        self.asking, self.answering = asking, answering
        self.askers = [Asker(node, kind) for node in answering]
        self.own = self.asking.nodes[0]
        self.key = Key(secrets.token_bytes(32))

    def topic(self):
        """One that the first of those asked feels in charge of."""
        return self.askers[0].near()

    def stored(self, topic, peer):
        """Whether the first of those asked, which is closest to it, names a peer of a topic."""
        return eventually(lambda: peer in self.askers[0].peers(topic))

    def put(self, value, seq, cas=None, salt=b""):
        answer = self.asking.tell(
            "put_mutable", seed=self.key.seed.hex(), secret=self.key.expanded.hex(), key=self.key.public.hex(),
            salt=salt.hex(), seq=seq, value=value.hex(), cas=cas)
        return "unable" if answer is None else answer.get("error", "ok")

    def held(self, salt=b""):
        """The newest value and number that any of those asked holds."""
        target = hashlib.sha1(self.key.public + salt).digest()
        answers = [asker.get(target) for asker in self.askers]
        return max(((answer[b"seq"], answer[b"v"]) for answer in answers if b"v" in answer), default=None)

    def another(self, value, seq, salt=b""):
        """Somebody else puts an item of the same author everywhere."""
        for asker in self.askers:
            asker.put(value, self.key, seq=seq, salt=salt)


# What a node does with nodes of another kind, through its own interface. The docstring is the row's name.

def enters(pair):
    """enters by one of them, and is known to them"""
    if pair.askers[0].kind == "librqbit-dht":
        return "– (takes in only whom others name)"
    return "yes" if eventually(lambda: pair.own in (pair.askers[0].krpc.known_to(pair.askers[0].node) or ())) else "no"


def announces(pair):
    """announces itself: the port it names is stored"""
    topic, port = pair.topic(), 4444
    pair.asking.tell("announce", hash=topic.hex(), port=port)
    return "yes" if pair.stored(topic, (pair.own[0], port)) else "no"


def announces_implied(pair):
    """announces itself: the implied port is stored"""
    topic = pair.topic()
    if pair.asking.tell("announce", hash=topic.hex(), port=0) is None:
        return "– (its command names one)" if pair.asking.kind == OURS else "– (has no such option)"
    return "yes" if pair.stored(topic, pair.own) else "no"


def finds(pair):
    """finds a peer that announced to them"""
    topic = pair.topic()
    for asker in pair.askers:
        asker.announce(topic, asker.token(topic), port=5555)
    found = pair.asking.tell("peers", hash=topic.hex())["peers"]
    return "yes" if [pair.own[0], 5555] in found else "no"


def puts_immutable(pair):
    """puts a value, and they hold it"""
    value = secrets.token_hex(8).encode()
    pair.asking.tell("put_immutable", value=value.hex())
    target = hashlib.sha1(bencode(value)).digest()
    return "yes" if any(asker.get(target).get(b"v") == value for asker in pair.askers) else "no"


def gets_immutable(pair):
    """gets a value that another put"""
    value = secrets.token_hex(8).encode()
    for asker in pair.askers:
        asker.put(value)
    got = pair.asking.tell("get_immutable", target=hashlib.sha1(bencode(value)).hexdigest())
    return "yes" if got["value"] == value.hex() else "no"


def puts_largest(pair):
    """puts a value of 1000 bytes, bencoded"""
    value = secrets.token_hex(498).encode()
    said = pair.asking.tell("put_immutable", value=value.hex())
    target = hashlib.sha1(bencode(value)).digest()
    held = any(asker.get(target).get(b"v") == value for asker in pair.askers)
    return "yes" if held else f"no: {word(said.get('error', 'no error'))}"


def puts_mutable(pair):
    """puts an item, and they hold it"""
    said = pair.put(b"one", 1)
    return "yes" if (pair.held() or (0, None))[1] == b"one" else said


def puts_salt(pair):
    """puts an item with a salt"""
    said = pair.put(b"salted", 1, salt=b"pepper")
    return "yes" if (pair.held(b"pepper") or (0, None))[1] == b"salted" else said


def gets_mutable(pair):
    """gets an item that another put"""
    pair.another(b"theirs", 5)
    got = pair.asking.tell("get_mutable", key=pair.key.public.hex(), salt="")
    return "yes" if (got["value"], got["seq"]) == (b"theirs".hex(), 5) else "no"


def gets_salted(pair):
    """gets an item with a salt that another put"""
    pair.another(b"salted", 5, b"pepper")
    got = pair.asking.tell("get_mutable", key=pair.key.public.hex(), salt=b"pepper".hex())
    return "yes" if got["value"] == b"salted".hex() else "no"


def replaces(pair):
    """puts a newer item over that of another"""
    pair.another(b"old", 5)
    said = pair.put(b"new", 6)
    return "yes" if pair.held() == (6, b"new") else said


def hears_superseded(pair):
    """puts an older item, and is told so (302)"""
    pair.another(b"new", 5)
    said = pair.put(b"old", 4)
    held = pair.held()
    if pair.asking.kind == "libtorrent":
        return "– (takes the next number by itself)" if held == (6, b"old") else f"holds {held}"
    return word(said) if held == (5, b"new") else f"replaced: {held}"


def puts_cas(pair):
    """puts with the right `cas`"""
    if pair.asking.kind == "libtorrent":
        return "– (no `cas` in its interface)"
    pair.another(b"old", 5)
    said = pair.put(b"new", 6, cas=5)
    return "yes" if pair.held() == (6, b"new") else said


def hears_conflict(pair):
    """puts with a wrong `cas`, and is told so (301)"""
    if pair.asking.kind == "libtorrent":
        return "– (no `cas` in its interface)"
    pair.another(b"old", 5)
    said = pair.put(b"new", 6, cas=3)
    return word(said) if pair.held() == (5, b"old") else f"replaced: {pair.held()}"


def word(error):
    """The gist of an implementation's own words for an error."""
    for sign, gist in (("refused", "told"), ("NotMostRecent", "told"), ("CasFailed", "told"),
                       ("none stored it", "told"), ("302", "told"), ("301", "told"), ("less than 1000", "refuses it itself"), ("ok", "not told")):
        if sign in error:
            return gist
    return error[:60]


DEEDS = [
    enters, announces, announces_implied, finds, puts_immutable, gets_immutable, puts_largest, puts_mutable, puts_salt,
    gets_mutable, gets_salted, replaces, hears_superseded, puts_cas, hears_conflict,
]


def deeds(pair):
    """A column: what the asking node does with the others."""
    def one(deed):
        for kind in (pair.asking.kind, pair.askers[0].kind):
            if deed.__name__.startswith(("puts", "gets", "replaces", "hears")) and kind in NO_ITEMS:
                return f"– ({kind}: {NO_ITEMS[kind]})"
        pair.key = Key(secrets.token_bytes(32))
        return deed(pair)
    return [one(deed) for deed in DEEDS]


def answers(kind, questions, host="127.0.0.1"):
    """A column: what a node of this kind says to the questions; and its version."""
    with contextlib.ExitStack() as stack:
        entry = None
        if COUNT[kind] == 1:
            entry = stack.enter_context(start(OURS, 4, host=host)).nodes[0]
        nodes = stack.enter_context(start(kind, COUNT[kind], entry, host=host))
        asker = Asker(nodes.nodes[0], kind)
        return [cell(question, asker) for question in questions], nodes.version


def ours_asks(kind):
    """A column: our node and nodes of another kind."""
    with start(kind, COUNT[kind]) as theirs, start(OURS, 1, theirs.nodes[0]) as ours:
        return deeds(Pair(ours, theirs.nodes, kind))


def asks_ours(kind):
    """A column: a node of another kind, and nodes of ours."""
    with start(OURS, 4) as ours, start(kind, 1, ours.nodes[0]) as theirs:
        return deeds(Pair(theirs, ours.nodes, OURS))


def crossing():
    """Two tables: whether what each announces and puts is found and read by each, in one network of all."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(start(OURS, 2)).nodes[0]
        nodes = {kind: stack.enter_context(start(kind, 1, first)) for kind in KINDS}
        asker = Asker(first, OURS)
        found, read = {}, {}
        for writer, node in nodes.items():
            topic, key = asker.near(), Key(secrets.token_bytes(32))
            node.tell("announce", hash=topic.hex(), port=4444)
            peer = ["127.0.0.1", 4444]
            # libtorrent waits 15 s for mainline, which does not answer its transaction ids of 2 bytes.
            eventually(lambda: tuple(peer) in asker.peers(topic), 20)
            for reader in nodes:
                if reader != writer:
                    seen = nodes[reader].tell("peers", hash=topic.hex())["peers"]
                    found[writer, reader] = "yes" if peer in seen else "no"
            if writer in NO_ITEMS:
                continue
            value = f"by {writer}".encode().hex()
            node.tell("put_mutable", seed=key.seed.hex(), secret=key.expanded.hex(), key=key.public.hex(), salt="",
                      seq=1, value=value, cas=None)
            for reader in nodes:
                if reader != writer and reader not in NO_ITEMS:
                    got = nodes[reader].tell("get_mutable", key=key.public.hex(), salt="")
                    read[writer, reader] = "yes" if got["value"] == value else "no"
        return found, read


def name_of(row):
    return row.__doc__.split(" → ")[0]


def expected(row, v6=False):
    answer = row.__doc__.split(" → ")[1] if " → " in row.__doc__ else ""
    return re.sub("^nodes(?! and nodes6)", "nodes6", answer) if v6 else answer


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def questions_table(questions, kinds, columns, v6=False):
    """Where a node does other than the BEPs ask, it stands out."""
    def shown(question, said):
        wanted = expected(question, v6)
        return said if not wanted or said == wanted or said.startswith("–") else f"**{said}**"

    for question, said in zip(questions, columns[OURS]):
        wanted = expected(question, v6)
        check(wanted in ("", said), f"of ours, to “{name_of(question)}”: {said}, not {wanted}")
    rows = [[name_of(q), expected(q, v6), *(shown(q, columns[kind][n]) for kind in kinds)] for n, q in enumerate(questions)]
    return table(["", "by the BEPs", *kinds], rows)


def cross_table(cells, corner):
    def shown(writer, reader):
        if writer == reader:
            return ""
        return cells.get((writer, reader), "– (no BEP 44)")

    return table([corner, *KINDS], [[writer, *(shown(writer, reader) for reader in KINDS)] for writer in KINDS])


def page():
    """The whole text."""
    with ThreadPoolExecutor() as pool:
        said = dict(zip(KINDS, pool.map(lambda kind: answers(kind, ANSWERS + REFUSALS), KINDS)))
        over_v6 = dict(zip(WITH_V6, pool.map(lambda kind: answers(kind, OVER_V6, "::1"), WITH_V6)))
        asked = dict(zip(FOREIGN, pool.map(ours_asks, FOREIGN)))
        asking = dict(zip(FOREIGN, pool.map(asks_ours, FOREIGN)))
        of_both = dict(zip(WITH_V6, pool.map(families.answers, WITH_V6)))
        sides = [side for kind in WITH_V6 if kind != OURS for side in ((OURS, kind), (kind, OURS))]
        among = list(pool.map(lambda side: families.deeds(*side), sides))
    found, read = crossing()
    columns = {kind: cells for kind, (cells, _) in said.items()}
    versions = ", ".join(f"{kind} {said[kind][1]}" for kind in FOREIGN)
    half = len(ANSWERS)
    deed_rows = [[name_of(deed), *(side[kind][n] for side in (asked, asking) for kind in FOREIGN)]
                 for n, deed in enumerate(DEEDS)]
    return f"""# Interoperability

Written by `interop/matrix.py --write`, and compared with what is found by `interop/matrix.py --check`, a step of `.ci/run`.
Do not edit. On loopback, with {versions}.

“–” is what an implementation has no way to do, with the reason. **Bold** is what differs from the BEPs.

## What each answers

Questions from a plain socket, to a node in a network of its own kind (of librqbit-dht, in one of ours). Ours is held to the
BEPs by the script.

{questions_table(ANSWERS, list(KINDS), {kind: cells[:half] for kind, cells in columns.items()})}

## What each refuses

A number is the code of an error. After each malformed datagram the node was asked whether it lives.

{questions_table(REFUSALS, list(KINDS), {kind: cells[half:] for kind, cells in columns.items()})}

## Over IPv6

Nodes on `::1`. bittorrent-dht and mainline have no IPv6.

{questions_table(OVER_V6, list(WITH_V6), {kind: cells for kind, (cells, _) in over_v6.items()}, True)}

## Nodes of both families

Each node on `127.0.0.1` and `::1`, in a network of such nodes; named is who names at least one node. In the second table, what a node
of the one does among nodes of the other.

{questions_table(families.ANSWERS_BOTH, list(WITH_V6), of_both)}

{table(["", *(f"{asking} → {asked}" for asking, asked in sides)],
       [[name, *(column[n] for column in among)] for n, name in enumerate(families.DEEDS_BOTH)])}

## Our node among theirs, and theirs among ours

Through each implementation's own interface; ours is the command `moot dht`. On the left our node asks, in a network of theirs; on
the right theirs asks, in a network of ours.

{table(["", *(f"ours → {kind}" for kind in FOREIGN), *(f"{kind} → ours" for kind in FOREIGN)], deed_rows)}

## All in one network

Whether a torrent that one announces is found by the others:

{cross_table(found, "announced by ↓, found by →")}

Whether a mutable item that one puts is read by the others:

{cross_table(read, "put by ↓, read by →")}
"""


def main():
    parser = argparse.ArgumentParser()
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", action="store_true", help="write MATRIX.md")
    mode.add_argument("--check", action="store_true", help="fail if MATRIX.md says other than what is found")
    options = parser.parse_args()
    began = time.monotonic()
    text = page()
    cells = len(re.findall(r" \| ", text))
    if options.write:
        PAGE.write_text(text)
    else:
        committed = PAGE.read_text().splitlines()
        differences = list(difflib.unified_diff(committed, text.splitlines(), "written", "found", "", "", 0, ""))
        if differences:
            sys.exit("\n".join(differences))
    print(f"matrix: {cells} cells, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
