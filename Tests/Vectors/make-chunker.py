#!/usr/bin/env python3
"""Makes chunker.json: cut points by a second, plain implementation of the rule in PROTOCOL.md. Standard library only.

Usage: make-chunker.py > chunker.json
"""
import hashlib
import json

MASK = (1 << 64) - 1
GEAR = [int.from_bytes(hashlib.sha256(b"hansa-gear/1" + bytes([v])).digest()[:8], "big") for v in range(256)]
KIB = 1024
# name: (min, avg, max, centre, line window)
PROFILES = {
    "fastcdc-64k/1": (16 * KIB, 64 * KIB, 256 * KIB, 52 * KIB, 0),
    "fastcdc-line-16k/1": (4 * KIB, 16 * KIB, 64 * KIB, 13 * KIB, KIB),
    "fastcdc-512k/1": (256 * KIB, 512 * KIB, 1024 * KIB, 400 * KIB, 0),
}


def cut(b, profile):
    low, average, high, centre, window = PROFILES[profile]
    n = min(len(b), high)
    if n <= low:
        return n
    bits = average.bit_length() - 1
    hard, easy = 1 << (64 - bits - 2), 1 << (64 - bits + 2)
    last = min(n, high - window)
    h = 0
    for v in b[low - 64:low]:
        h = (h << 1) + GEAR[v] & MASK
    p = last
    for q in range(low + 1, last + 1):
        # Bits older than 64 places have been shifted out, so this is H(q).
        h = (h << 1) + GEAR[b[q - 1]] & MASK
        if h < (hard if q <= centre else easy):
            p = q
            break
    if window:
        feed = b.find(b"\n", p - 1, min(n, p + window))
        if feed >= 0:
            return feed + 1
    return p


def lengths(b, profile):
    result = []
    view = b
    while view:
        length = cut(view, profile)
        result.append(length)
        view = view[length:]
    return result


def splitmix64(seed, count):
    out, state = bytearray(), seed
    while len(out) < count:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        out += (z ^ (z >> 31)).to_bytes(8, "little")
    return bytes(out[:count])


def case(profile, kind, count, seed=None):
    if kind == "splitmix64":
        data = splitmix64(seed, count)
    elif kind == "splitmix64-lines":
        data = bytes(0x0A if v < 4 else 0x20 + v % 95 for v in splitmix64(seed, count))
    else:
        data = bytes(count)
    return {"profile": profile, "input": kind, "seed": seed, "bytes": count, "lengths": lengths(data, profile)}


cases = []
for name, size in (("fastcdc-64k/1", 1 << 20), ("fastcdc-line-16k/1", 1 << 18), ("fastcdc-512k/1", 3 << 20)):
    cases += [case(name, "splitmix64", size, 1), case(name, "splitmix64-lines", size, 2), case(name, "zeros", size + 1)]
    cases += [case(name, "splitmix64", PROFILES[name][0], 3), case(name, "splitmix64", PROFILES[name][0] + 1, 3)]
cases.append(case("fastcdc-64k/1", "zeros", 0))
print(json.dumps({
    "about": "Input splitmix64: each output of SplitMix64 from the seed as 8 bytes, little-endian, one after another, cut to size. "
             "splitmix64-lines: the same, each byte v below 4 as line feed, others as 0x20 + v mod 95. zeros: zero bytes.",
    "gear": {str(v): format(GEAR[v], "x") for v in (0, 1, 10, 97, 255)},
    "cases": cases,
}, indent=1))
