#!/usr/bin/env python3
"""Prints adaptor.json: vectors of ed25519 adaptor signatures, made with nothing but integers and SHA-512.

    python3 tests/vectors/adaptor.py > tests/vectors/adaptor.json

Points are affine pairs, added by the textbook law with an inversion each, multiplied bit by bit: slow, plain, and no
line in common with what it checks. Everything is derived from counters, so that two runs print the same.
"""
import hashlib
import json

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
TAG = b"magicwave ed25519 adaptor nonce 1"
NEUTRAL = (0, 1)


def add(p, q):
    (x1, y1), (x2, y2) = p, q
    k = D * x1 * x2 * y1 * y2 % P
    return (x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P


def times(n, p):
    total = NEUTRAL
    for bit in bin(n)[2:]:
        total = add(total, total)
        if bit == "1":
            total = add(total, p)
    return total


def with_y(y, sign):
    """The point of this y whose x has this sign, or None."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P:
        return None
    return (-x % P if x & 1 != sign else x), y


B = with_y(4 * pow(5, -1, P) % P, 0)


def negated(p):
    return -p[0] % P, p[1]


def encoded(p, lift=0):
    """32 bytes; with lift=P an encoding that is not canonical, where y leaves room for it."""
    return (p[1] + lift | (p[0] & 1) << 255).to_bytes(32, "little")


def decoded(data):
    """The point of a canonical encoding, else None."""
    n = int.from_bytes(data, "little")
    y, sign = n & (1 << 255) - 1, n >> 255
    if y >= P:
        return None
    p = with_y(y, sign)
    return p if p is not None and encoded(p) == data else None


def number(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")


def expanded(seed):
    h = hashlib.sha512(seed).digest()
    a = int.from_bytes(h[:32], "little")
    return a & (1 << 254) - 8 | 1 << 254, h[32:]


def public(seed):
    return encoded(times(expanded(seed)[0], B))


def scalar(n):
    return n.to_bytes(32, "little")


def sign(seed, message):
    a, prefix = expanded(seed)
    k = number(prefix, message) % L
    r = encoded(times(k, B))
    return r + scalar((k + number(r, public(seed), message) * a) % L)


def verify(key, message, signature):
    """RFC 8032 without the cofactor; keys and R of prime order only."""
    a, r, s = decoded(key), decoded(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L or times(L, a) != NEUTRAL or times(L, r) != NEUTRAL:
        return False
    return NEUTRAL not in (a, r) and times(s, B) == add(r, times(number(signature[:32], key, message) % L, a))


def pre_sign(seed, message, t_bytes, extra=NEUTRAL):
    """`extra` goes into R: what a payer would add that means harm."""
    a, prefix = expanded(seed)
    key = public(seed)
    k = number(TAG, prefix, t_bytes, key, message) % L
    r = encoded(add(add(times(k, B), decoded(t_bytes)), extra))
    return r + scalar((k + number(r, key, message) * a) % L)


def pre_verify(key, message, t_bytes, pre):
    """Whether R - T and s' make a signature, the challenge being that of R."""
    a, t, r, s = decoded(key), decoded(t_bytes), decoded(pre[:32]), int.from_bytes(pre[32:], "little")
    if None in (a, t, r) or s >= L or any(times(L, p) != NEUTRAL or p == NEUTRAL for p in (a, t, r)):
        return False
    nonce = add(r, negated(t))
    return nonce != NEUTRAL and times(s, B) == add(nonce, times(number(pre[:32], key, message) % L, a))


def adapt(pre, t):
    return pre[:32] + scalar((int.from_bytes(pre[32:], "little") + t) % L)


def torsion():
    """The eight points of small order, multiples of one of order eight."""
    y = 2
    while True:
        p = with_y(y, 0)
        q = times(L, p) if p else NEUTRAL
        if times(4, q) != NEUTRAL:
            return [times(i, q) for i in range(8)]
        y += 1


def known_answer():
    """Test 3 of RFC 8032, 7.1: this file is of use only while it holds."""
    seed = bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")
    assert public(seed).hex() == "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"
    signature = sign(seed, bytes.fromhex("af82"))
    assert signature.hex().startswith("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b53")
    assert verify(public(seed), bytes.fromhex("af82"), signature)


def vector(i):
    seed = hashlib.sha256(b"seed %d" % i).digest()
    message = hashlib.sha512(b"message %d" % i).digest() * 3
    message = message[: [32, 0, 1, 32, 64, 192, 32, 31][i]]
    t, r = number(b"t %d" % i) % L, number(b"r %d" % i) % L
    if i == 3:
        t, r = 1, L - 2  # the shifted secret is the largest there is
    point, up = encoded(times(t, B)), encoded(times((t + r) % L, B))
    pre, pre_up = pre_sign(seed, message, point), pre_sign(seed, message, up)
    key, signature = public(seed), adapt(pre, t)
    assert pre_verify(key, message, point, pre) and pre_verify(key, message, up, pre_up)
    assert verify(key, message, signature) and not verify(key, message, pre)
    fields = {
        "seed": seed, "public": key, "message": message, "secret": scalar(t), "point": point,
        "pre_signature": pre, "signature": signature, "plain_signature": sign(seed, message),
        "offset": scalar(r), "shifted_secret": scalar((t + r) % L), "shifted_point": up,
        "shifted_pre_signature": pre_up, "shifted_signature": adapt(pre_up, t + r),
    }
    return {name: value.hex() for name, value in fields.items()}


def refused_points(small):
    """Encodings that are no lock and no payer's key."""
    found = []
    for i, p in enumerate(small):
        found.append((encoded(p), "small order %d" % i))
        found.append((encoded(p, P), "small order %d, not canonical" % i) if p[1] < 19 else None)
        if i:
            found.append((encoded(add(times(5 + i, B), p)), "mixed order %d" % i))
    for y in range(19):
        for sign in (0, 1):
            p = with_y(y, sign)
            if p and p not in small:
                clear = times(L, p) == NEUTRAL
                found.append((encoded(p, P), "y = p + %d, %s order" % (y, "prime" if clear else "mixed")))
            elif not p:
                found.append((((y | sign << 255)).to_bytes(32, "little"), "y = %d is not on the curve" % y))
    found.append((encoded(NEUTRAL)[:31] + b"\x80", "the neutral element with a sign"))
    found.append((b"\xff" * 32, "all bits set"))
    return [{"bytes": data.hex(), "why": why} for data, why in filter(None, found)]


def refused_pre_signatures(small):
    """What a payer may send that means harm, each next to a key, a message and a lock that are in order."""
    seed, message, t = b"\x07" * 32, b"\x2a" * 32, number(b"refused") % L
    key, point = public(seed), encoded(times(t, B))
    honest = pre_sign(seed, message, point)
    s = int.from_bytes(honest[32:], "little")
    a = expanded(seed)[0]
    bare = number(point, key, message) * a % L  # no nonce at all: R = T
    cancelled = encoded(NEUTRAL)
    found = [
        (honest[:32] + scalar(s + L), "s' + L"),
        (honest[:32] + scalar(L), "s' = L"),
        (honest[:32] + b"\xff" * 32, "s' with all bits set"),
        (honest[:32] + scalar((s + 1) % L), "s' + 1"),
        (honest[:32] + scalar(-s % L), "-s'"),
        (encoded(negated(decoded(honest[:32]))) + honest[32:], "-R"),
        (sign(seed, message), "a plain signature"),
        (adapt(honest, t), "the completed signature"),
        (point + scalar(bare), "the nonce is zero, the key lies open"),
        (cancelled + scalar((number(cancelled, key, message) * a - t) % L), "R is neutral"),
        (encoded(NEUTRAL, P) + scalar((number(encoded(NEUTRAL, P), key, message) * a - t) % L),
         "R is neutral and not canonical"),
        (pre_sign(seed, message, encoded(negated(decoded(point)))), "under -T"),
        (pre_sign(seed, message[:31], point), "of another message"),
        (pre_sign(b"\x08" * 32, message, point), "by another key"),
    ]
    found += [(pre_sign(seed, message, point, p), "R with torsion %d" % i) for i, p in enumerate(small) if i]
    assert pre_verify(key, message, point, honest)
    assert not any(pre_verify(key, message, point, pre) for pre, _ in found)
    return {
        "public": key.hex(), "message": message.hex(), "secret": scalar(t).hex(), "point": point.hex(),
        "honest": honest.hex(), "refused": [{"pre_signature": pre.hex(), "why": why} for pre, why in found],
    }


def main():
    known_answer()
    small = torsion()
    print(json.dumps({
        "made_by": "python3 tests/vectors/adaptor.py",
        "vectors": [vector(i) for i in range(8)],
        "refused_scalars": [scalar(n).hex() for n in (0, L, L + 1, 2 * L, 2**255, 2**256 - 1)],
        "refused_points": refused_points(small),
        "refused_pre_signatures": refused_pre_signatures(small),
    }, indent=1))


if __name__ == "__main__":
    main()
