"""Ed25519 (RFC 8032), as short as it can be and as slow: for signing test items without a package. Never for real secrets."""

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
BASE_Y = 4 * pow(5, -1, P) % P


def _x_of(y):
    """The even x that belongs to a y on the curve."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    return P - x if x & 1 else x


BASE = (_x_of(BASE_Y), BASE_Y, 1, _x_of(BASE_Y) * BASE_Y % P)


def _add(a, b):
    """The sum of two points in extended coordinates."""
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g = 2 * a[3] * b[3] * D % P
    h = 2 * a[2] * b[2] % P
    w, x, y, z = f - e, h - g, h + g, f + e
    return w * x % P, y * z % P, x * y % P, w * z % P


def _times(scalar, point):
    product = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            product = _add(product, point)
        point = _add(point, point)
        scalar >>= 1
    return product


def _encode(point):
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _scalar(data):
    return int.from_bytes(hashlib.sha512(data).digest(), "little") % L


class Key:
    """A key pair from a seed of 32 bytes."""

    def __init__(self, seed):
        digest = bytearray(hashlib.sha512(seed).digest())
        digest[0] &= 248
        digest[31] = digest[31] & 63 | 64
        self.seed = seed
        # Scalar and prefix, which is what libtorrent calls the secret key.
        self.expanded = bytes(digest)
        self.public = _encode(_times(int.from_bytes(digest[:32], "little"), BASE))

    def sign(self, message):
        secret, prefix = int.from_bytes(self.expanded[:32], "little"), self.expanded[32:]
        nonce = _scalar(prefix + message)
        commitment = _encode(_times(nonce, BASE))
        answer = (nonce + _scalar(commitment + self.public + message) * secret) % L
        return commitment + answer.to_bytes(32, "little")


# RFC 8032, 7.1, test 2.
_key = Key(bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
assert _key.public.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
assert _key.sign(b"\x72").hex().startswith("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da")
