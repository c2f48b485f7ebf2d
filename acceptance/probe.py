"""Raw KRPC (BEP 5) and STUN (RFC 8489) from a plain socket: what an outsider sees. Shares no code with what it tests."""

import os
import secrets
import socket
import struct
import time


def bencode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    if isinstance(value, dict):
        return b"d" + b"".join(bencode(k) + bencode(value[k]) for k in sorted(value)) + b"e"
    raise TypeError(value)


def bdecode(data):
    """The one value that `data` is; ValueError if it is none."""
    value, end = _bdecode(data, 0)
    if end != len(data):
        raise ValueError("trailing bytes")
    return value


def _bdecode(data, at):
    kind = data[at:at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1:end]), end + 1
    if kind in (b"l", b"d"):
        items, at = [], at + 1
        while data[at:at + 1] != b"e":
            item, at = _bdecode(data, at)
            items.append(item)
        return (items if kind == b"l" else dict(zip(items[::2], items[1::2]))), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    if end > len(data):
        raise ValueError("string past the end")
    return data[colon + 1:end], end


def addr_of(compact):
    """A compact peer of 6 or 18 bytes as (ip, port)."""
    family = socket.AF_INET if len(compact) == 6 else socket.AF_INET6
    return socket.inet_ntop(family, compact[:-2]), struct.unpack(">H", compact[-2:])[0]


class Krpc:
    """A querying DHT node that answers nothing."""

    def __init__(self, host="127.0.0.1", port=0):
        self.id = secrets.token_bytes(20)
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, port))
        self.address = self.socket.getsockname()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def query(self, to, method, timeout=2.0, tries=2, **args):
        """The `r` of the reply, the `e` as a list, or None if there was silence."""
        for _ in range(tries):
            t = secrets.token_bytes(4)
            message = {b"t": t, b"y": b"q", b"q": method.encode(), b"ro": 1,
                       b"a": {b"id": self.id, **{k.encode(): v for k, v in args.items()}}}
            reply = self.ask(to, bencode(message), t, timeout)
            if reply is not None:
                return reply.get(b"r") if reply.get(b"y") == b"r" else reply.get(b"e")
        return None

    def ask(self, to, datagram, t, timeout=2.0):
        """The whole reply to a datagram whose transaction id is `t`, or None if there was silence."""
        self.socket.sendto(datagram, to)
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                data, sender = self.socket.recvfrom(4096)
                reply = bdecode(data)
            except TimeoutError:
                break
            except (ValueError, IndexError, ConnectionError):
                continue
            if sender[:2] == to[:2] and isinstance(reply, dict) and reply.get(b"t") == t and reply.get(b"y") != b"q":
                return reply
        return None

    def peers(self, node, topic):
        """The addresses that `node` holds for `topic`, and the token; None if it does not answer."""
        reply = self.query(node, "get_peers", info_hash=topic)
        if not isinstance(reply, dict):
            return None
        return {addr_of(v) for v in reply.get(b"values", []) if len(v) in (6, 18)}, reply.get(b"token")

    def announce(self, node, topic):
        """Announces this socket's own address; whether the node said yes."""
        answer = self.peers(node, topic)
        if answer is None or answer[1] is None:
            return False
        reply = self.query(node, "announce_peer", info_hash=topic, token=answer[1], implied_port=1,
                           port=self.address[1])
        return isinstance(reply, dict)

    def known_to(self, node, target=None):
        """The addresses of the nodes that `node` names as closest to `target`; None if it does not answer."""
        reply = self.query(node, "find_node", target=target or secrets.token_bytes(20))
        if not isinstance(reply, dict):
            return None
        nodes = reply.get(b"nodes", b"")
        return {addr_of(nodes[i + 20:i + 26]) for i in range(0, len(nodes) - 25, 26)}


MAGIC = 0x2112A442
BINDING_REQUEST, BINDING_SUCCESS = 0x0001, 0x0101
USERNAME, MESSAGE_INTEGRITY, XOR_MAPPED_ADDRESS, FINGERPRINT = 0x0006, 0x0008, 0x0020, 0x8028
MESSAGE_INTEGRITY_SHA256 = 0x001C


def stun_request(*attributes):
    """A Binding request with the given (type, value) attributes: (transaction id, bytes)."""
    tid = secrets.token_bytes(12)
    body = b"".join(struct.pack(">HH", kind, len(value)) + value + bytes(-len(value) % 4) for kind, value in attributes)
    return tid, struct.pack(">HHI", BINDING_REQUEST, len(body), MAGIC) + tid + body


def stun_address(server, timeout=1.0, tries=3, port=0):
    """Our address as the STUN server sees it, or None if it is silent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
        sock.settimeout(timeout)
        for _ in range(tries):
            tid, request = stun_request()
            sock.sendto(request, server)
            try:
                data, sender = sock.recvfrom(2048)
            except (TimeoutError, ConnectionError):
                continue
            if sender != server or len(data) < 20 or data[8:20] != tid:
                continue
            at = 20
            while at + 4 <= len(data):
                kind, size = struct.unpack(">HH", data[at:at + 4])
                if kind == XOR_MAPPED_ADDRESS and size == 8:
                    port, ip = struct.unpack(">HI", data[at + 6:at + 12])
                    return socket.inet_ntoa(struct.pack(">I", ip ^ MAGIC)), port ^ (MAGIC >> 16)
                at += 4 + size + (-size % 4)
    return None


def stays_silent(to, datagrams, listen_s=3.0):
    """Sends the datagrams from one socket; whether nothing came back."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        for datagram in datagrams:
            sock.sendto(datagram, to)
        sock.settimeout(listen_s)
        try:
            sock.recvfrom(2048)
            return False
        except ConnectionError:
            raise AssertionError(f"nothing listens at {to}") from None
        except TimeoutError:
            return True


def junk(rng, templates=()):
    """One datagram of noise: random bytes with a likely first byte, or one of `templates` damaged."""
    if templates and rng.random() < 0.5:
        data = bytearray(rng.choice(templates))
        for _ in range(rng.randrange(1, 8)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            del data[rng.randrange(len(data) + 1):]
        return bytes(data)
    first = rng.choice([rng.randrange(256), rng.randrange(4), rng.randrange(20, 80), 100])
    return bytes([first]) + os.urandom(rng.randrange(0, 1200))
