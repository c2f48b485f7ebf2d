#!/usr/bin/env python3
"""The vectors of core/PROTOCOL.md, computed a second time: with nothing but hmac and hashlib, from the text alone.

Argon2id is not in Python's library, so the two masters are taken as the page gives them.
"""

import base64
import hashlib
import hmac
import re
import sys
from pathlib import Path

PAGE = (Path(__file__).resolve().parent.parent / "core" / "PROTOCOL.md").read_text()


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def hkdf(secret, info, size):
    """RFC 5869 without salt."""
    key, block, out = mac(bytes(32), secret), b"", b""
    for i in range(1, -(-size // 32) + 1):
        block = mac(key, block + info + bytes([i]))
        out += block
    return out[:size]


def b64(data):
    return base64.b64encode(data).decode().rstrip("=")


def row(name):
    """The values in backquotes of the table row that starts with `name`."""
    line = next(line for line in PAGE.splitlines() if line.startswith(f"| {name} |") and re.search(r"`[^`]{16,}`", line.split("|", 2)[2]))
    return re.findall(r"`([^`]+)`", line.replace("\\|", "¦").split("|", 2)[2])


wrong = 0


def same(what, computed, *page):
    global wrong
    good = list(computed) == list(page)
    wrong += not good
    print(f"{'ok   ' if good else 'WRONG'} {what}" + ("" if good else f": computed {computed}, the page says {page}"))


for code in ("`acid-tulip-seven-camel-proof`", "`ABC123XYZ` (normalised `abc123xyz`)"):
    master, meeting, topic = row(code)
    secret = bytes.fromhex(master)
    same(f"the keys of {code}", (hkdf(secret, b"meeting", 16).hex(), hkdf(secret, b"topic|20000", 20).hex()), meeting, topic)

secret = bytes(range(32))
for label, size in (("meeting", 16), ("seal", 32), ("ice", 32), ("member", 32)):
    same(label, [hkdf(secret, label.encode(), size).hex()], *row(f"`{label}`"))
same("topic", [hkdf(secret, b"topic|20000", 20).hex()], *row("`topic\\|20000`"))
knock = hkdf(secret, b"knock|20000", 36)
same("knock", (b64(knock[:12]), b64(knock[12:])), *row("`knock\\|20000`"))

ice, x, y = hkdf(secret, b"ice", 32), b"\xaa" * 32, b"\xbb" * 32
ufrag = lambda of, to, incarnation, n: b64(mac(ice, of + to)[:8] + incarnation.to_bytes(8, "big") + n.to_bytes(2, "big"))
of_x, of_y = ufrag(x, y, 0x0102030405060708, 7), ufrag(y, x, 9, 7)
same("ufrag of X", [of_x], *row("ufrag of X towards Y"))
same("ufrag of Y", [of_y], *row("ufrag of Y towards X"))
same("password", [b64(hkdf(ice + b"\xcc" * 32, f"{of_y}:{of_x}".encode(), 24))], *row("password of X's checks to Y, with a pair secret of 32 bytes `cc`"))
sys.exit(1 if wrong else 0)
