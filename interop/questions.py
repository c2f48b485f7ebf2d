"""Questions put to a DHT node through a plain socket, and what it says, in as few words as a cell of the matrix has room for.

Each function is a row: its docstring is the row's name, and the answer of a node that does all that the BEPs ask comes after it,
behind a `→`. A row that has no such answer has none because the BEPs leave it open.
"""

import hashlib
import secrets

from ed25519 import Key
from peers import NO_ITEMS
from probe import Krpc, addr_of, bencode


class Asker:
    """One who asks a node of some kind. Every question is asked twice before there is silence."""

    def __init__(self, node, kind):
        self.node, self.kind = node, kind
        self.krpc = Krpc(node[0])
        # Another address of this machine, and so another asker.
        self.other = Krpc("127.0.0.2") if node[0].startswith("127.") else None
        reply = self.query("ping")
        self.id = reply[b"r"][b"id"] if reply else bytes(20)
        self.count = 0

    def query(self, method, args=None, tid=None, krpc=None, top=None, timeout=1.0):
        """The whole reply to a query, or None."""
        krpc = krpc or self.krpc
        for _ in range(2):
            t = tid or secrets.token_bytes(4)
            message = {b"t": t, b"y": b"q", b"q": method.encode(), b"ro": 1, b"a": {b"id": krpc.id} | (args or {})}
            reply = krpc.ask(self.node, bencode(message | (top or {})), t, timeout)
            if reply is not None:
                return reply
        return None

    def raw(self, datagram, tid):
        """What comes back for a datagram that is no proper query, in words. The node has to live on."""
        said = outcome(self.krpc.ask(self.node, datagram, tid, 0.7))
        return said if self.query("ping") else f"{said}, then dead"

    def near(self):
        """A topic so close to the node that it feels in charge of it."""
        self.count += 1
        return self.id[:17] + self.count.to_bytes(3, "big")

    def token(self, topic, krpc=None):
        reply = self.query("get_peers", {b"info_hash": topic}, krpc=krpc)
        return (reply or {}).get(b"r", {}).get(b"token", b"none")

    def peers(self, topic):
        reply = self.query("get_peers", {b"info_hash": topic})
        return [addr_of(value) for value in (reply or {}).get(b"r", {}).get(b"values", [])]

    def announce(self, topic, token, **more):
        """With `implied_port` even where it is 0: one implementation does not answer without."""
        args = {b"info_hash": topic, b"token": token, b"implied_port": 0} | {key.encode(): value for key, value in more.items()}
        return self.query("announce_peer", args)

    def get(self, target, **more):
        args = {b"target": target} | {key.encode(): value for key, value in more.items()}
        return (self.query("get", args) or {}).get(b"r", {})

    def put(self, value, key=None, target=None, token=None, **more):
        """Puts an item, signed if there is a key; with the `target` that one implementation wants."""
        args = {b"v": value}
        if key:
            salt, seq = more.pop("salt", b""), more.pop("seq", 1)
            head = b"4:salt%d:%s" % (len(salt), salt) if salt else b""
            signature = more.pop("sig", None) or key.sign(head + b"3:seqi%de1:v" % seq + bencode(value))
            args |= {b"k": key.public, b"seq": seq, b"sig": signature} | ({b"salt": salt} if salt else {})
            target = target or hashlib.sha1(key.public + salt).digest()
        target = target or hashlib.sha1(bencode(value)).digest()
        token = token or self.get(target).get(b"token", b"none")
        args |= {b"token": token, b"target": target} | {name.encode(): value for name, value in more.items()}
        return self.query("put", {name: value for name, value in args.items() if value is not None})


def outcome(reply):
    """A reply in a word."""
    if reply is None:
        return "silence"
    if reply.get(b"y") == b"e":
        return str(reply[b"e"][0])
    return "ok" if reply.get(b"y") == b"r" else "?"


def fresh():
    return secrets.token_bytes(20)


def families(reply):
    r = (reply or {}).get(b"r", {})
    named = [name for name in (b"nodes", b"nodes6") if name in r]  # Of a family of which it knows nobody, empty.
    return " and ".join(name.decode() for name in named) or outcome(reply)


# BEP 5

def ping(asker):
    """`ping` → ok"""
    return outcome(asker.query("ping"))


def tid_short(asker):
    """a transaction id of 2 bytes → ok"""
    return outcome(asker.query("ping", tid=b"aa"))


def tid_long(asker):
    """a transaction id of 20 bytes → ok"""
    return outcome(asker.query("ping", tid=b"0123456789abcdefghij"))


def unknown_keys(asker):
    """keys that nobody knows → ok"""
    return outcome(asker.query("ping", {b"zz": [1, {b"y": b"x"}]}, top={b"xx": {b"deep": [b"er"]}}))


def unsorted_keys(asker):
    """keys out of order → ok"""
    return asker.raw(b"d1:y1:q1:t4:uuuu1:q4:ping1:ad2:id20:" + asker.krpc.id + b"ee", b"uuuu")


def find_node(asker):
    """`find_node` → nodes"""
    return families(asker.query("find_node", {b"target": fresh()}))


def find_node_both(asker):
    """`find_node`, `want` n4 and n6 (BEP 32) → nodes and nodes6"""
    return families(asker.query("find_node", {b"target": fresh(), b"want": [b"n4", b"n6"]}))


def find_node_no_target(asker):
    """`find_node` without a target → 203"""
    return families(asker.query("find_node"))


def find_node_short_target(asker):
    """`find_node`, target of 19 bytes → 203"""
    return families(asker.query("find_node", {b"target": fresh()[:19]}))


def ping_no_id(asker):
    """`ping` without an id → 203"""
    return asker.raw(b"d1:ade1:q4:ping1:t4:nnnn1:y1:qe", b"nnnn")


def ping_short_id(asker):
    """`ping`, id of 19 bytes → 203"""
    return asker.raw(b"d1:ad2:id19:0123456789abcdefghie1:q4:ping1:t4:ssss1:y1:qe", b"ssss")


def get_peers(asker):
    """`get_peers` of an unknown topic → nodes and token"""
    r = (asker.query("get_peers", {b"info_hash": fresh()}) or {}).get(b"r", {})
    return " and ".join(name.decode() for name in (b"nodes", b"nodes6", b"token") if r.get(name))


def get_peers_no_hash(asker):
    """`get_peers` without an info-hash → 203"""
    return outcome(asker.query("get_peers"))


def announce(asker):
    """`announce_peer`, `implied_port` 0 → stored"""
    topic = asker.near()
    said = outcome(asker.announce(topic, asker.token(topic), port=4444))
    return "stored" if (asker.node[0], 4444) in asker.peers(topic) else f"{said}, not stored"


def announce_by_the_book(asker):
    """`announce_peer` without `implied_port` → stored"""
    topic = asker.near()
    args = {b"info_hash": topic, b"token": asker.token(topic), b"port": 4444}
    said = outcome(asker.query("announce_peer", args))
    return "stored" if asker.peers(topic) else f"{said}, not stored"


def announce_implied(asker):
    """`announce_peer`, `implied_port` 1 and another port → stored, that of the socket"""
    topic = asker.near()
    said = outcome(asker.announce(topic, asker.token(topic), port=4444, implied_port=1))
    ports = [port for _, port in asker.peers(topic)]
    if not ports:
        return f"{said}, not stored"
    return "stored, that of the socket" if ports == [asker.krpc.address[1]] else "stored, the other"


def announce_far(asker):
    """`announce_peer` of a topic far from the node → stored"""
    topic = bytes(byte ^ 0xFF for byte in asker.near())
    said = outcome(asker.announce(topic, asker.token(topic), port=4444))
    return "stored" if asker.peers(topic) else f"{said}, not stored"


def announce_bad_token(asker):
    """`announce_peer`, a made-up token → 203"""
    topic = asker.near()
    return outcome(asker.announce(topic, b"nonsense", port=4444))


def announce_no_token(asker):
    """`announce_peer` without a token → 203"""
    return outcome(asker.query("announce_peer", {b"info_hash": asker.near(), b"port": 4444, b"implied_port": 0}))


def announce_others_token(asker):
    """`announce_peer`, the token of another address → 203"""
    topic = asker.near()
    return outcome(asker.announce(topic, asker.token(topic, asker.other), port=4444))


def announce_forged_token(asker):
    """`announce_peer`, the exclusive or of the tokens of three other addresses → 203"""
    # Where a token is a checksum of a secret and the address, it is that of a fourth address: 1 ^ 2 ^ 4 = 7.
    topic = asker.near()
    tokens = [asker.token(topic, Krpc(f"127.0.7.{last}")) for last in (1, 2, 4)]
    forged = bytes(a ^ b ^ c for a, b, c in zip(*tokens))
    args = {b"info_hash": topic, b"token": forged, b"port": 4444, b"implied_port": 0}
    said = outcome(asker.query("announce_peer", args, krpc=Krpc("127.0.7.7")))
    return f"{said}, stored" if ("127.0.7.7", 4444) in asker.peers(topic) else said


def announce_topics_token(asker):
    """`announce_peer`, the token of another topic"""
    return outcome(asker.announce(asker.near(), asker.token(asker.near()), port=4444))


def announce_port_0(asker):
    """`announce_peer`, port 0 → 203"""
    topic = asker.near()
    said = outcome(asker.announce(topic, asker.token(topic), port=0))
    return f"{said}, stored" if asker.peers(topic) else said


# BEP 44

def get_nothing(asker):
    """`get` of what nobody put → nodes and token"""
    r = asker.get(fresh())
    return " and ".join(name.decode() for name in (b"nodes", b"token", b"v") if name in r) or "silence"


def put_immutable(asker):
    """`put`, immutable, and `get` → the value"""
    value = secrets.token_hex(8).encode()
    said = outcome(asker.put(value))
    got = asker.get(hashlib.sha1(bencode(value)).digest()).get(b"v")
    return "the value" if got == value else said


def put_by_the_book(asker):
    """`put` as the BEP has it, without `target` → the value"""
    value = secrets.token_hex(8).encode()
    target = hashlib.sha1(bencode(value)).digest()
    token = asker.get(target).get(b"token", b"none")
    said = outcome(asker.query("put", {b"v": value, b"token": token}))
    return "the value" if asker.get(target).get(b"v") == value else said


def put_dictionary(asker):
    """`put` of a dictionary, and `get` → the value"""
    value = {b"a": [1, b"two"], b"salt": secrets.token_hex(4).encode()}
    said = outcome(asker.put(value))
    return "the value" if asker.get(hashlib.sha1(bencode(value)).digest()).get(b"v") == value else said


def put_largest(asker):
    """`put` of 1000 bytes, bencoded, and `get` → the value"""
    value = secrets.token_hex(498).encode()
    said = outcome(asker.put(value))
    return "the value" if asker.get(hashlib.sha1(bencode(value)).digest()).get(b"v") == value else said


def put_oversize(asker):
    """`put` of 1001 bytes → 205"""
    return outcome(asker.put(secrets.token_hex(498).encode() + b"x"))


def put_bad_token(asker):
    """`put`, a made-up token → 203"""
    return outcome(asker.put(b"some value", token=b"nonsense"))


def put_mutable(asker):
    """`put`, mutable, and `get` → value, key, signature, number"""
    key = Key(secrets.token_bytes(32))
    said = outcome(asker.put(b"one", key))
    got = asker.get(hashlib.sha1(key.public).digest())
    whole = (got.get(b"v"), got.get(b"k"), got.get(b"seq")) == (b"one", key.public, 1) and len(got.get(b"sig", b"")) == 64
    return "value, key, signature, number" if whole else said


def get_newer_only(asker):
    """`get` with the `seq` that is stored → the number alone"""
    key = Key(secrets.token_bytes(32))
    asker.put(b"one", key, seq=7)
    got = asker.get(hashlib.sha1(key.public).digest(), seq=7)
    return "the value too" if b"v" in got else "the number alone" if got.get(b"seq") == 7 else "nothing"


def put_salt(asker):
    """`put` with a salt of 64 bytes, and `get` → the value"""
    key, salt = Key(secrets.token_bytes(32)), b"s" * 64
    said = outcome(asker.put(b"salted", key, salt=salt))
    return "the value" if asker.get(hashlib.sha1(key.public + salt).digest()).get(b"v") == b"salted" else said


def put_salt_oversize(asker):
    """`put` with a salt of 65 bytes → 207"""
    return outcome(asker.put(b"salted", Key(secrets.token_bytes(32)), salt=b"s" * 65))


def put_bad_signature(asker):
    """`put`, a signature that does not hold → 206"""
    return outcome(asker.put(b"one", Key(secrets.token_bytes(32)), sig=b"s" * 64))


def put_older(asker):
    """`put` of a lower `seq` → 302"""
    key = Key(secrets.token_bytes(32))
    asker.put(b"two", key, seq=2)
    return outcome(asker.put(b"one", key, seq=1))


def put_same(asker):
    """`put` of the same `seq` and value"""
    key = Key(secrets.token_bytes(32))
    asker.put(b"two", key, seq=2)
    return outcome(asker.put(b"two", key, seq=2))


def put_same_seq(asker):
    """`put` of the same `seq`, another value → 302"""
    key = Key(secrets.token_bytes(32))
    asker.put(b"two", key, seq=2)
    said = outcome(asker.put(b"deux", key, seq=2))
    kept = asker.get(hashlib.sha1(key.public).digest()).get(b"v") == b"two"
    return said if kept else f"{said}, replaced"


def put_cas(asker):
    """`put` with the right `cas` → ok"""
    key = Key(secrets.token_bytes(32))
    asker.put(b"one", key, seq=1)
    return outcome(asker.put(b"two", key, seq=2, cas=1))


def put_cas_wrong(asker):
    """`put` with a wrong `cas` → 301"""
    key = Key(secrets.token_bytes(32))
    asker.put(b"two", key, seq=2)
    return outcome(asker.put(b"three", key, seq=3, cas=1))


def put_negative(asker):
    """`put` of a negative `seq`"""
    return outcome(asker.put(b"one", Key(secrets.token_bytes(32)), seq=-1))


# What is no query of the BEPs

def unknown_with_target(asker):
    """an unknown method with a target"""
    return families(asker.query("frobnicate", {b"target": fresh()}))


def unknown(asker):
    """an unknown method → 204"""
    return outcome(asker.query("frobnicate"))


def sample(asker):
    """`sample_infohashes` (BEP 51)"""
    reply = asker.query("sample_infohashes", {b"target": fresh()})
    return "samples" if b"samples" in (reply or {}).get(b"r", {}) else families(reply)


def no_arguments(asker):
    """a query without `a` → 203"""
    return asker.raw(b"d1:q4:ping1:t4:mmmm1:y1:qe", b"mmmm")


def no_kind(asker):
    """a message without `y` → silence"""
    return asker.raw(b"d1:ad2:id20:" + asker.krpc.id + b"e1:q4:ping1:t4:yyyye", b"yyyy")


def stray_response(asker):
    """an answer to nothing → silence"""
    return asker.raw(b"d1:rd2:id20:" + asker.krpc.id + b"e1:t4:rrrr1:y1:re", b"rrrr")


def stray_error(asker):
    """an error to nothing → silence"""
    return asker.raw(b"d1:eli201e4:oopse1:t4:eeee1:y1:ee", b"eeee")


def garbage(asker):
    """bytes that are not bencoded → silence"""
    return asker.raw(b"d1:t4:gggg1:y1:q1:q99:ping", b"gggg")


def nested(asker):
    """a list within a list, a thousand deep → silence"""
    return asker.raw(b"d1:a" + b"l" * 1000 + b"e" * 1000 + b"1:q4:ping1:t4:llll1:y1:qe", b"llll")


# What an answer says

def says_ip(asker):
    """an answer says where it saw us (`ip`, BEP 42) → yes"""
    seen = (asker.query("ping") or {}).get(b"ip")
    return "no" if seen is None else "yes" if addr_of(seen)[1] == asker.krpc.address[1] else "wrong"


def says_version(asker):
    """an answer names its software (`v`)"""
    named = (asker.query("ping") or {}).get(b"v")
    return "no" if named is None else named[:2].decode(errors="replace")


ANSWERS = [
    ping, says_ip, says_version, tid_short, tid_long, unknown_keys, unsorted_keys, find_node, find_node_both, get_peers,
    announce, announce_by_the_book, announce_implied, announce_far, get_nothing, put_immutable, put_by_the_book, put_dictionary, put_largest,
    put_mutable, get_newer_only, put_salt, put_cas, put_same,
]
REFUSALS = [
    ping_no_id, ping_short_id, find_node_no_target, find_node_short_target, get_peers_no_hash, announce_bad_token,
    announce_no_token, announce_others_token, announce_forged_token, announce_topics_token, announce_port_0, put_bad_token, put_oversize,
    put_salt_oversize, put_bad_signature, put_older, put_same_seq, put_cas_wrong, put_negative, unknown_with_target,
    unknown, sample, no_arguments, no_kind, stray_response, stray_error, garbage, nested,
]
OVER_V6 = [ping, says_ip, find_node, find_node_both, get_peers, announce, announce_by_the_book, announce_implied]


def cell(question, asker):
    """What a node of this kind says."""
    if question.__name__.startswith(("put", "get_n")) and asker.kind in NO_ITEMS:
        return f"– ({NO_ITEMS[asker.kind]})"
    return question(asker)
