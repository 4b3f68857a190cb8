"""The wire of hansa/1 as PROTOCOL.md tells it, written apart from the Swift code, for a peer that keeps no rule."""
import base64
import hashlib
import os
import socket
import ssl
import struct
import time

import zstandard
from cryptography.hazmat.primitives.serialization import load_pem_private_key

HELLO, DOCUMENTS, DOCUMENTS_ACK, VIEWS, FEED, FEED_ACK, GET_RELEASES, RELEASES, GET_INDEX, INDEX, GET_CHUNKS, CHUNKS, RECEIPT, ANNOUNCE, \
    CREDIT, ERROR, CLOSE, RECONCILE = range(1, 19)
EQUAL, GET_DELTA, DELTA, GET_SMALL, SMALL, ACCEPTED = 0x15, 0x16, 0x17, 0x18, 0x19, 0x1A
TYPES = {1: "application/vnd.tuf+json", 2: "application/vnd.hansa.agreement.v1+json", 3: "application/vnd.hansa.agreement-step.v1+json",
         4: "application/vnd.hansa.release.v1+json", 5: "application/vnd.hansa.receipt.v1+json"}
ZERO = bytes(32)


def sha(data):
    return hashlib.sha256(data).digest()


def varint(n):
    if n < 1 << 6:
        return bytes([n])
    if n < 1 << 14:
        return struct.pack(">H", n | 0x4000)
    if n < 1 << 30:
        return struct.pack(">I", n | 0x80000000)
    return struct.pack(">Q", n | 0xC000000000000000)


def prefixed(data):
    if isinstance(data, str):
        data = data.encode()
    return varint(len(data)) + data


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def raw(self, n):
        if self.at + n > len(self.data):
            raise ValueError("truncated")
        self.at += n
        return self.data[self.at - n:self.at]

    def u8(self):
        return self.raw(1)[0]

    def varint(self):
        size = 1 << (self.data[self.at] >> 6)
        return int.from_bytes(self.raw(size), "big") & ((1 << (size * 8 - 2)) - 1)

    def prefixed(self):
        return self.raw(self.varint())

    def rest(self):
        return self.raw(len(self.data) - self.at)


def frame(kind, body=b"", channel=None, length=None):
    channel = (1 if kind in (CHUNKS, DELTA, SMALL) else 0) if channel is None else channel
    return (len(body) if length is None else length).to_bytes(3, "big") + bytes([kind]) + varint(channel) + body


def packed(raw, codec=1):
    """`varint raw length ‖ u8 codec ‖ bytes`."""
    return varint(len(raw)) + bytes([codec]) + (zstandard.ZstdCompressor(level=1).compress(raw) if codec else raw)


def unpacked(reader):
    count, codec = reader.varint(), reader.u8()
    data = reader.rest()
    return zstandard.ZstdDecompressor().decompress(data, max_output_size=count) if codec else data


class City:
    """A home made by `hansa init`, whose keys we hold."""

    def __init__(self, home, name):
        self.home, self.name = home, name
        self.tls = os.path.join(home, "keys", "tls.pem")

    def key(self, job):
        with open(os.path.join(self.home, "keys", job + ".pem"), "rb") as file:
            return load_pem_private_key(file.read(), None)

    def sign(self, code, payload, job="package", extra=()):
        """Binary envelope over the payload, signed with one of our keys; `extra`: (key id, signature) pairs added."""
        kind = TYPES[code]
        message = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
        key = self.key(job)
        signatures = [(sha(key.public_key().public_bytes_raw()), key.sign(message))] + list(extra)
        return envelope(code, payload, signatures)


def envelope(code, payload, signatures):
    signatures = sorted(set(signatures))
    return bytes([code]) + prefixed(payload) + varint(len(signatures)) + b"".join(a + b for a, b in signatures)


def view_id(agreement, publisher, recipient):
    return sha(b"hansa-view/1" + agreement + publisher.encode() + b"\n" + recipient.encode())


def policy_epoch(agreement, *steps):
    return sha(b"hansa-policy/1" + b"".join(sorted([agreement, *steps])))


def empty_digest(view, epoch):
    return sha(b"hansa-digest/1" + view + epoch + bytes(8) + bytes(2048))


def tls_context(city=None, alpn=("hansa/1",), maximum=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if maximum:
        context.maximum_version = maximum
    if city:
        context.load_cert_chain(city.tls)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


class Closed(Exception):
    pass


class Peer:
    """A connection to the node under attack."""

    def __init__(self, port, city=None, alpn=("hansa/1",), maximum=None, source=None, receive_buffer=None, sock=None):
        if sock is None:
            raw = socket.socket()
            if receive_buffer:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if source:
                raw.bind((source, 0))
            raw.settimeout(10)
            raw.connect(("127.0.0.1", port))
            self.sock = tls_context(city, alpn, maximum).wrap_socket(raw)
        else:
            self.sock = sock
        self.buffer, self.received, self.seen = b"", 0, []

    def hello(self, own, to, keyring=1, peer=1, credit=1 << 30, versions=(1,), clock=None):
        clock = int(time.time() * 1000) if clock is None else clock
        return frame(HELLO, varint(len(versions)) + b"".join(map(varint, versions)) + prefixed(own) + prefixed(to) + varint(keyring) + varint(peer)
                     + os.urandom(32) + varint(credit) + struct.pack(">q", clock))

    def send(self, *frames):
        self.sock.settimeout(10)
        self.sock.sendall(b"".join(frames))

    def read(self, timeout=10):
        """The next frame as (type, body); None when nothing came in time; Closed at the end."""
        end = time.time() + timeout
        while True:
            if len(self.buffer) >= 5:
                count = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) >= 5 + count:
                    out = self.buffer[3], self.buffer[5:5 + count]
                    self.buffer = self.buffer[5 + count:]
                    self.seen.append(out[0])
                    return out
            left = end - time.time()
            if left <= 0:
                return None
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(1 << 18)
            except (TimeoutError, socket.timeout):
                return None
            except OSError as error:
                raise Closed(str(error)) from error
            if not data:
                raise Closed("end")
            self.received += len(data)
            self.buffer += data

    def wait(self, *kinds, timeout=10):
        end = time.time() + timeout
        while time.time() < end:
            got = self.read(max(0.01, end - time.time()))
            if got and got[0] in kinds:
                return got[1]
            if got and got[0] == GET_SMALL and GET_INDEX in kinds:
                # Whoever waits for the question about an index has small releases asked for as any other.
                self.send(small_apart(got[1]))
        raise TimeoutError(f"no frame {kinds}, seen {self.seen[-20:]}")

    def drain(self, seconds=0.5):
        out, end = [], time.time() + seconds
        while time.time() < end:
            got = self.read(max(0.01, end - time.time()))
            if got:
                out.append(got)
        return out

    def is_closed(self, timeout=3):
        """Reads until the node ends the connection; the frames before that are kept in `last`."""
        self.last, end = [], time.time() + timeout
        try:
            while time.time() < end:
                got = self.read(max(0.01, end - time.time()))
                if got:
                    self.last.append(got)
            return False
        except Closed:
            return True

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass

    def open(self, city, to, **more):
        self.send(self.hello(city.name, to, **more))
        body = self.wait(HELLO)
        return body


def views(round_, *lines):
    return frame(VIEWS, varint(round_) + varint(len(lines)) + b"".join(v + e[:8] + prefixed(c) + d for v, e, c, d in lines))


def get_releases(view, *names):
    """A name is a digest, or the 8 bytes of an offer."""
    return frame(GET_RELEASES, view + varint(len(names)) + b"".join(bytes([len(n) == 8]) + n for n in names))


def releases(view, *items):
    """Each item: name, envelope in binary form, or b"" for what is not there. No digest is cut out."""
    texts, column = varint(len(items)), b""
    for name, envelope in items:
        if not envelope:
            texts += bytes([0x80 if len(name) == 8 else 0]) + name
            continue
        r = Reader(envelope)
        texts += bytes([r.u8()]) + prefixed(r.prefixed().replace(b"\xff", b"\xff\0"))
        count = r.varint()
        texts += varint(count)
        for _ in range(count):
            texts += r.raw(32)
            column += r.raw(64)
    return frame(RELEASES, view + prefixed(packed(texts)) + column)


def get_index(view, *asks):
    return frame(GET_INDEX, view + varint(len(asks)) + b"".join(r + varint(t) + varint(p) + varint(n) + b"\0" for r, t, p, n in asks))


def get_chunks(view, *runs):
    return frame(GET_CHUNKS, view + varint(len(runs)) + b"".join(r + varint(f) + varint(n) for r, f, n in runs))


def get_delta(view, *asks):
    """Each ask: release, base, [(gap, count), …]."""
    return frame(GET_DELTA, view + varint(len(asks)) + b"".join(
        r + b + varint(len(runs)) + b"".join(varint(g) + varint(n) for g, n in runs) for r, b, runs in asks))


def get_small(view, *names):
    return frame(GET_SMALL, view + varint(len(names)) + b"".join(bytes([2 * (len(n) == 8)]) + n for n in names))


def small(view, items, content, codec=0):
    """Each item: form, name, [(path, size, profile), …] or None."""
    head = varint(len(items)) + b"".join(
        bytes([form | (0x80 if len(name) == 8 else 0)]) + name + (b"" if files is None else varint(len(files)) + b"".join(prefixed(p) + varint(n) + bytes([c]) for p, n, c in files))
        for form, name, files in items)
    return frame(SMALL, view + prefixed(packed(head)) + bytes([codec]) + content)


def small_apart(asks):
    """The answer that has each of them asked for by index and chunks."""
    r = Reader(asks)
    view, names = r.raw(32), []
    for _ in range(r.varint()):
        mark = r.u8()
        names.append(r.raw(8 if mark & 2 else 32))
        if mark & 1:
            r.raw(32)
    return small(view, [(2, name, None) for name in names], b"")


def documents(*items):
    return frame(DOCUMENTS, varint(len(items)) + b"".join(varint(i) + prefixed(e) for i, e in items))


def feed(round_, view, status, since=b"", adds=(), drops=(), cursor=None, more=0, digest=ZERO):
    body = varint(round_) + view + bytes([status])
    if status in (1, 2):
        body += prefixed(since) + varint(len(adds) + len(drops)) + b"".join(bytes([0x80 | l]) + r for r, l in drops)
        body += b"".join(bytes([l]) + r + t for r, l, t in adds) + prefixed(cursor or os.urandom(16)) + bytes([more]) + digest
    return frame(FEED, body)


def read_feed(body):
    r = Reader(body)
    out = {"round": r.varint(), "view": r.raw(32), "status": r.u8(), "adds": [], "drops": []}
    if out["status"] in (1, 2):
        out["since"] = r.prefixed()
        for _ in range(r.varint()):
            mark = r.u8()
            release = r.raw(32)
            if mark & 0x80:
                out["drops"].append((release, mark & 0x7F))
            else:
                out["adds"].append((release, mark, r.raw(16)))
        out["cursor"], out["more"], out["digest"] = r.prefixed(), r.u8(), r.raw(32)
    return out


def read_chunks(body):
    r = Reader(body)
    out = {"view": r.raw(32), "release": r.raw(32), "first": r.varint(), "count": r.varint(), "codec": r.u8(), "raw": r.varint()}
    out["bytes"] = r.rest()
    return out


def read_documents(body):
    r = Reader(body)
    out = []
    for _ in range(r.varint()):
        number = r.varint()
        e = Reader(r.prefixed())
        code, payload = e.u8(), e.prefixed()
        signatures = [(e.raw(32), e.raw(64)) for _ in range(e.varint())]
        out.append((number, code, payload, signatures))
    return out


def read_acks(body):
    r = Reader(body)
    return [(r.varint(), r.prefixed().decode()) for _ in range(r.varint())]
