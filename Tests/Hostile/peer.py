#!/usr/bin/env python3
"""A hostile peer against a live node: each attack must be refused, cost little, and leave the honest partner served.

    peer.py BINARY [ATTACK…]      --list   --keep (leaves the homes)

The attacker holds the keys of chicago.gov, a partner with an agreement, or none at all. Exit: 0 when no attack succeeds, 1 otherwise.
"""
import json
import os
import signal
import socket
import ssl
import statistics
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from wire import *  # noqa: E402,F403
from world import World  # noqa: E402

ATTACKS = []
ME, NODE = "chicago.gov", "auckland.nz"


def attack(function):
    ATTACKS.append(function)
    return function


def spoils(function):
    """What comes after meets a fresh node."""
    function.spoils = True
    return function


def refused_in_handshake(w, **how):
    """The node ends the connection before a byte of ours counts."""
    try:
        peer = w.peer(**how)
        peer.send(peer.hello(ME, NODE))
        got = peer.read(5)
    except (ssl.SSLError, OSError, Closed):
        return
    raise AssertionError(f"the node went on: {got}")


def must_close(peer, what, word=None, timeout=5):
    assert peer.is_closed(timeout), f"{what}: the node goes on"
    if word:
        closes = [body[1:].decode() for kind, body in peer.last if kind == CLOSE]
        assert closes == [word], f"{what}: farewell {closes}, not {word}"


# Transport

@attack
def no_certificate(w): refused_in_handshake(w, city=False)


@attack
def unknown_certificate(w): refused_in_handshake(w, city=w.stranger)


@attack
def tls_1_2(w): refused_in_handshake(w, maximum=ssl.TLSVersion.TLSv1_2)


@attack
def no_alpn(w): refused_in_handshake(w, alpn=())


@attack
def other_alpn(w): refused_in_handshake(w, alpn=("h2", "http/1.1", "hansa/2"))


@attack
def no_session_ticket(w):
    peer = w.session()
    peer.drain(0.5)
    session = peer.sock.session
    assert not session or not session.has_ticket, "the node gave a session ticket"
    peer.close()


@attack
def garbage_instead_of_tls(w):
    for data in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(4096), b"\x16\x03\x01\xff\xff" + bytes(70000), b"\x80" * 100):
        with socket.create_connection(("127.0.0.1", w.ports["a"]), 5) as s:
            s.settimeout(13)
            try:
                s.sendall(data)
                while s.recv(4096):
                    pass
            except ConnectionError:
                pass


# Hello

def bad_hello(w, word, **fields):
    peer = w.peer()
    peer.send(peer.hello(fields.pop("own", ME), fields.pop("to", NODE), **fields))
    must_close(peer, "hello", word)
    assert HELLO not in [k for k, _ in peer.last], "the node said who it is before it knew us"


@attack
def hello_to_another(w): bad_hello(w, "refused", to="boston.gov")


@attack
def hello_from_another(w): bad_hello(w, "refused", own="boston.gov")


@attack
def hello_from_the_node_itself(w): bad_hello(w, "refused", own=NODE)


@attack
def hello_from_nobody(w): bad_hello(w, "refused", own="nobody.example")


@attack
def hello_without_common_version(w): bad_hello(w, "version", versions=(2, 77))


@attack
def hello_with_bad_names(w):
    for name in ("", "../../etc", "A.B", "x" * 300, "a\x1b[31m.b", "\u2028.nz"):
        bad_hello(w, "protocol", own=name)


@attack
def frames_before_hello(w):
    for kind in list(range(2, 18)):
        peer = w.peer()
        peer.send(frame(kind, b"\0"))
        must_close(peer, f"frame {kind} first", "protocol")


@attack
def second_hello(w):
    peer = w.session()
    peer.send(peer.hello(ME, NODE))
    must_close(peer, "second hello", "protocol")


@attack
def megabyte_hello(w):
    peer = w.peer()
    peer.send(frame(HELLO, b"", length=(1 << 20)))
    must_close(peer, "megabyte hello", "protocol")
    peer = w.peer()
    peer.send(frame(HELLO, os.urandom(256 * 1024)))
    must_close(peer, "256 KiB of noise", "protocol")


@attack
def silent_after_handshake(w):
    peer = w.peer()
    start = time.time()
    must_close(peer, "no hello", timeout=15)
    assert time.time() - start < 13, "a silent stranger may stay"


# Frames

@attack
def malformed_frames(w):
    v, e = w.view, w.epoch
    bad = {
        "unknown type": frame(0x7F, b"x"), "type 0": frame(0, b""), "unknown type 2": frame(0x18, b""), "empty reconcile": frame(RECONCILE, b""),
        "oversize control": frame(VIEWS, b"", length=256 * 1024 + 1), "2^24-1": frame(CHUNKS, b"", length=(1 << 24) - 1),
        "control on channel 1": frame(VIEWS, varint(1) + varint(0), channel=1), "content on channel 0": frame(CHUNKS, b"", channel=0),
        "overlong channel": (1).to_bytes(3, "big") + bytes([CREDIT, 0x40, 0x00]) + b"\1",
        "overlong varint": frame(CREDIT, b"\x40\x01"), "truncated varint": frame(CREDIT, b"\xc0"), "trailing byte": frame(CREDIT, b"\1\0"),
        "empty views": frame(VIEWS, b""), "count 2^62-1": frame(VIEWS, varint(1) + varint((1 << 62) - 1)),
        "long cursor": views(1, (v, e, bytes(17), ZERO)), "truncated line": frame(VIEWS, varint(1) + varint(1) + v),
        "get-releases 257": get_releases(v, *[os.urandom(32) for _ in range(257)]), "delta of no run": get_delta(v, (w.release("big/one"), ZERO, [])), "delta of touching runs": get_delta(v, (w.release("big/one"), ZERO, [(0, 1), (0, 1)])),
        "delta of an empty run": get_delta(v, (w.release("big/one"), ZERO, [(0, 0)])), "delta beyond all": get_delta(v, (w.release("big/one"), ZERO, [(0, 1 << 27)])),
        "get-small 257": get_small(v, *[os.urandom(32) for _ in range(257)]), "get-small twice": get_small(v, v, v), "get-small of an offer that was not told": get_small(v, b"offer-00"),
        "get-releases of an offer that was not told": get_releases(v, b"offer-00"), "a digest that is an offer": get_releases(v, b"offer-00" + bytes(24)),
        "small of another form": small(v, [(4, v, None)], b""), "small of nothing": small(v, [(0, v, [])], b""), "small of less": small(v, [(0, v, [("data/a", 9, 1)])], b"x"),
        "small of too much": small(v, [(0, os.urandom(32), [("data/a", 128 * 1024, 1)]) for _ in range(9)], b"x", 1),
        "small with a head that lies": frame(SMALL, v + prefixed(varint(1 << 20) + b"\1" + b"x") + b"\0"),
        "unasked delta of no run": frame(DELTA, v + ZERO + b"\0\0\0"), "base of two kinds": frame(GET_INDEX, v + b"\1" + ZERO + b"\0\0\1\2"),
        "run of none": get_chunks(v, (w.release("big/one"), 0, 0)), "run beyond all": get_chunks(v, (w.release("big/one"), 1 << 40, 1)),
        "unasked releases": releases(v, (v, b"")), "credit 2^62-1": frame(CREDIT, varint((1 << 62) - 1)),
        "junk envelope": documents((1, b"\2" + prefixed(b"{}") + b"\1")), "65 signatures": documents((1, b"\2" + prefixed(b"{}") + varint(65) + bytes(96 * 65))),
        "receipt that is none": frame(RECEIPT, RECEIPT_NUMBER + packed(w.c.sign(5, b"{}"))), "text not UTF-8": frame(ERROR, prefixed(b"\xff\xfe") + v + b"\0"),
        "feed status 9": feed(1, v, 9), "feed status 0": feed(1, v, 0),
        "equal beyond all rounds": frame(EQUAL, varint(1 << 40) + prefixed(b"\x80")), "equal with an empty end": frame(EQUAL, b"\1" + prefixed(b"\x80\0")),
        "equal of 1,032 lines": frame(EQUAL, b"\1" + prefixed(b"\1" * 129)), "short cursor": feed(0, w.view_from_c, 1, cursor=b"x"),
    }
    for what, data in bad.items():
        peer = w.session()
        peer.send(data)
        must_close(peer, what, "protocol")
        w.alive()


@attack
def endless_credit(w):
    peer = w.session()
    for _ in range(2000):
        peer.send(frame(CREDIT, varint(1 << 35)))
    must_close(peer, "credit", "protocol")


@attack
def zstd_bombs(w):
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(64 << 20))
    huge = zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters(window_log=27)).compress(bytes(200 << 20))
    before = w.rss()
    for kind in (RELEASES, INDEX):
        for body in (bomb, huge):
            for declared in (1 << 20, 10, (1 << 20) + 1):
                peer = w.session()
                told = varint(declared) + b"\1" + body
                peer.send(frame(kind, w.view_from_c + (prefixed(told) if kind == RELEASES else told)))
                must_close(peer, "bomb", "protocol")
    peer = w.session()
    peer.send(frame(CHUNKS, w.view_from_c + ZERO + b"\0\1\1" + varint(1 << 20) + bomb))
    peer.drain(0.5)
    peer.close()
    peer = w.session()
    peer.send(small(w.view_from_c, [(0, w.view, [("data/a", 128 * 1024, 1)])], bomb, 1))
    peer.drain(0.5)
    peer.close()
    peer = w.session()
    peer.send(frame(SMALL, w.view_from_c + prefixed(varint(256 * 1024) + b"\1" + huge[:200_000]) + b"\0"))
    must_close(peer, "bomb", "protocol")
    assert w.rss() < before + 60, f"{before} -> {w.rss()} MiB"


@attack
def disconnects_everywhere(w):
    peer = w.peer()
    whole = peer.hello(ME, NODE) + views(1, (w.view, w.epoch, b"", ZERO)) + get_releases(w.view, w.release("open/one")) + get_index(
        w.view, (w.release("open/one"), 0, 0, 9)) + get_chunks(w.view, (w.release("open/one"), 0, 3))
    peer.close()
    for cut in [1, 3, 4, 5, 6, 20, 60, 90, 120, 150, 200, 250, 300, 350, len(whole)]:
        peer = w.peer()
        peer.send(whole[:cut])
        peer.sock.unwrap() if cut % 2 == 0 and False else None
        peer.close()
    w.alive()


@attack
def byte_by_byte(w):
    peer = w.peer()
    for byte in peer.hello(ME, NODE) + views(1, (w.view, w.epoch, b"", ZERO)):
        peer.send(bytes([byte]))
    peer.wait(HELLO)
    peer.wait(FEED)
    peer.close()


# Floods

@attack
def half_open_flood(w):
    """500 connections that say nothing, from four addresses; the honest partner gets through on its own, within its patience."""
    idle, start, before = [], time.time(), w.rss()
    try:
        for i in range(500):
            s = socket.socket()
            s.bind((f"127.0.0.{2 + i % 4}", 0))
            s.settimeout(2)
            try:
                s.connect(("127.0.0.1", w.ports["a"]))
                idle.append(s)
            except OSError:
                s.close()
        w.stop("b")
        served = False
        w.serve("b")
        out = w.run("b", "sync", NODE, "--wait", "--json", ok=None)
        served = out.returncode == 0
        assert served, f"{len(idle)} idle strangers keep the honest partner out: exit {out.returncode} {out.stdout[:300]}"
        assert w.rss() < before + 80, f"{before} -> {w.rss()} MiB"
    finally:
        for s in idle:
            s.close()


@attack
def slow_handshake(w):
    """A ClientHello byte by byte: the node lets go within its deadline however much trickles in."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls_context(w.c).wrap_bio(incoming, outgoing)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    data, start = outgoing.read(), time.time()
    with socket.create_connection(("127.0.0.1", w.ports["a"]), 5) as s:
        s.settimeout(0.1)
        try:
            for byte in data * 9:
                s.sendall(bytes([byte]))
                try:
                    if not s.recv(1000):
                        break
                except (TimeoutError, socket.timeout):
                    pass
                assert time.time() - start < 14, "still there after 14 s"
        except ConnectionError:
            pass


@attack
def endless_frames(w):
    """Thousands of harmless frames: answered or closed, nothing grows."""
    before = w.rss()
    log = w.log_size()
    for kind, data in (
        ("announce", frame(ANNOUNCE, varint(1) + w.view_from_c + os.urandom(32))), ("credit", frame(CREDIT, varint(1))),
        ("views", views(7, (w.view, w.epoch, os.urandom(16), ZERO))), ("foreign views", views(8, (os.urandom(32), w.epoch, b"", ZERO))),
        ("feed-ack", frame(FEED_ACK, w.view + prefixed(os.urandom(16)) + ZERO)), ("error", frame(ERROR, prefixed("x") + ZERO + b"\0")),
        ("acks", frame(DOCUMENTS_ACK, varint(1) + varint(1 << 50) + prefixed(""))),
    ):
        peer = w.session()
        try:
            for _ in range(100):
                peer.send(data * 20)
                peer.drain(0.002)
        except (Closed, OSError):
            pass
        peer.close()
        w.alive()
        assert w.rss() < before + 80, f"{kind}: {before} -> {w.rss()} MiB"
    assert w.log_size() < log + 60, f"the partner filled the log: {log} -> {w.log_size()}"


@attack
def duplicate_sessions(w):
    peers = [w.session() for _ in range(30)]
    time.sleep(1)
    left = []
    for peer in peers:
        if not peer.is_closed(0.3):
            left.append(peer)
    assert len(left) <= 1, f"{len(left)} sessions of one partner stay"
    for peer in peers:
        peer.close()


@attack
def greedy_partner(w):
    """Sessions begun again and again, each full of frames of a few bytes that ask for much: an honest pair goes on meanwhile."""
    floods = (
        frame(DOCUMENTS_ACK, varint(0)) * 20000,
        b"".join(views(i + 1, (w.view, w.epoch, os.urandom(16), os.urandom(32))) for i in range(300)),
        frame(ANNOUNCE, varint(1) + w.view_from_c + os.urandom(32)) * 1000,
        get_index(w.view, *[(w.release("big/one"), 0, 0, 1)] * 1) * 500,
    )
    stop = threading.Event()
    sent = [0] * len(floods)

    def flood(number):
        while not stop.is_set():
            try:
                peer = w.session(receive_buffer=65536)
                peer.sock.settimeout(0.3)
                for _ in range(20):
                    peer.sock.sendall(floods[number])
                    sent[number] += 1
                peer.close()
            except (Closed, OSError, TimeoutError, AssertionError):
                time.sleep(0.02)

    threads = [threading.Thread(target=flood, args=(n,), daemon=True) for n in range(len(floods))]
    for thread in threads:
        thread.start()
    try:
        slowest = 0
        for i in range(3):
            w.publish("a", f"open/amid{i}", {"x.csv": b"a,b\n%d,2\n" % i})
            start = time.time()
            w.honest()
            slowest = max(slowest, time.time() - start)
            held = [p["package"] for p in w.json("b", "package", "list")["packages"]]
            assert f"auckland.nz/open/amid{i}" in held, f"the honest partner lacks what was published: {held}"
        assert slowest < 20, f"the honest partner waited {slowest:.1f} s"
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    assert all(sent), f"a flood never began: {sent}"


# Memory

def watched(w, seconds, limit, what):
    """The largest resident size over a while; the attack has won above the limit."""
    worst, end = 0, time.time() + seconds
    while time.time() < end:
        w.alive()
        worst = max(worst, w.rss())
        assert worst < limit, f"{what}: {worst} MiB resident"
        time.sleep(0.1)
    return worst


def pushes_without_reading(w, peer, data, count, limit, what):
    peer.sock.settimeout(0.5)
    sent = 0
    for _ in range(count):
        try:
            peer.sock.sendall(data)
            sent += len(data)
        except (TimeoutError, socket.timeout, OSError):
            break
        assert w.rss() < limit, f"{what}: {w.rss()} MiB resident after {sent} bytes"
    watched(w, 6, limit, what)
    peer.close()


@attack
def never_reads_index(w):
    """Index asks of one release over and over, and nothing is read."""
    peer = w.session(receive_buffer=4096)
    peer.send(views(1, (w.view, w.epoch, b"", ZERO)))
    peer.wait(FEED)
    ask = get_index(w.view, *[(w.release("big/one"), 0, 0, 1 << 20)] * 256)
    pushes_without_reading(w, peer, ask, 400, w.rss() + 150, "get-index, never read")


@attack
def never_reads_releases(w):
    peer = w.session(receive_buffer=4096)
    peer.send(views(1, (w.view, w.epoch, b"", ZERO)))
    peer.wait(FEED)
    pushes_without_reading(w, peer, get_releases(w.view, *[w.release("open/one")] * 256), 1500, w.rss() + 150, "get-releases, never read")


@attack
def one_view_many_lines(w):
    source = os.path.join(w.dir, "src-a")
    w.run("a", "package", "publish", *[w.publish_files("a", f"open/many{i}", {"x.csv": b"a,b\n%d,2\n" % i}) for i in range(150)], "--base", source)
    peer = w.session(receive_buffer=4096)
    lines = views(1, *[(w.view, w.epoch, b"", ZERO)] * 1024)
    pushes_without_reading(w, peer, lines, 60, w.rss() + 150, "views of one view, never read")


@attack
def endless_feed(w):
    peer = w.session()
    body = peer.wait(VIEWS)
    r = Reader(body)
    round_ = r.varint()
    limit, cursor = w.rss() + 200, b""
    line = [(r.raw(32), r.raw(8), r.prefixed(), r.raw(32)) for _ in range(r.varint())][0]
    cursor = line[2]
    try:
        for i in range(400):
            following = os.urandom(16)
            peer.send(feed(round_ if i == 0 else 0, w.view_from_c, 1, since=cursor, adds=[(os.urandom(32), 2, os.urandom(16)) for _ in range(4096)], cursor=following, more=1))
            cursor = following
            if i % 10 == 0:
                assert w.rss() < limit, f"endless feed: {w.rss()} MiB after {i} pages"
    except (OSError, Closed):
        pass
    watched(w, 3, limit, "endless feed")
    peer.close()


def own_release(w, path, seq, chunks, root, **more):
    release = {
        "schema": "hansa.release/1", "package": f"{ME}/{path}", "kind": "dataset", "version": f"1.0.{seq}", "operation": "publish", "writer": ME, "keyring": 1,
        "seq": seq, "previous": None, "parents": [], "clock": {ME: seq}, "issued": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()), "tlp": "TLP:AMBER+STRICT",
        "title": path, "bytes": 10, "files": 1, "manifest": "sha256:" + "00" * 32,
        "index": {"root": "sha256:" + root.hex(), "chunks": chunks, "pages": -(-chunks // 1024)}, "derivedFrom": None}
    release.update(more)
    payload = json.dumps(release, separators=(",", ":"), ensure_ascii=False).encode()
    return sha(payload), w.c.sign(4, payload)


def offer(w, peer, releases, level=2):
    """Lists made-up releases in our view and serves their documents. Returns the digests asked for in get-index."""
    r = Reader(peer.wait(VIEWS))
    round_ = r.varint()
    line = [(r.raw(32), r.raw(8), r.prefixed(), r.raw(32)) for _ in range(r.varint())][0]
    adds = [(d, level, os.urandom(16)) for d, _ in releases]
    peer.offers = {transfer[:8]: d for d, _, transfer in adds}
    peer.send(feed(round_, w.view_from_c, 1, since=line[2], adds=adds, digest=os.urandom(32)))
    return adds


def serve_documents(w, peer, made):
    known = dict(made)
    got = 0
    while got < len(known):
        r = Reader(peer.wait(GET_RELEASES))
        r.raw(32)
        wanted = [r.raw(8 if r.u8() else 32) for _ in range(r.varint())]
        peer.send(releases(w.view_from_c, *[(n, known.get(peer.offers.get(n, n), b"")) for n in wanted]))
        got += len(wanted)


@attack
def index_memory(w):
    """Many signed releases with indexes of 60 MiB, sent as zeros that compress to nothing."""
    peer = w.session()
    chunks, limit = 1_700_000, w.rss() + 250
    releases = [own_release(w, f"idx/p{i}", 1, chunks, os.urandom(32)) for i in range(12)]
    offer(w, peer, releases)
    serve_documents(w, peer, releases)
    try:
        peer.wait(GET_INDEX)
        pages = -(-chunks // 1024)
        page = bytes(1024 * 36)
        for release, _ in releases:
            for start in range(0, pages - 1, 27):
                numbers = range(start, min(pages - 1, start + 27))
                raw = varint(len(numbers)) + b"".join(b"\1" + release + varint(n) + prefixed(page) for n in numbers)
                peer.send(frame(INDEX, w.view_from_c + packed(raw)))
            assert w.rss() < limit, f"indexes: {w.rss()} MiB"
        watched(w, 3, limit, "indexes")
    except (OSError, Closed, TimeoutError):
        pass
    peer.close()


# Authority and leaks

def answers(peer, data, kinds, count, timeout=10):
    peer.send(data)
    out, end = [], time.time() + timeout
    while len(out) < count and time.time() < end:
        got = peer.read(1)
        if got and got[0] in kinds:
            out.append(got)
    return out


@attack
def hidden_is_nonexistent(w):
    """Gets for a release that is not granted and for one that never was differ in the echoed ids alone."""
    peer = w.session()
    peer.send(views(1, (w.view, w.epoch, b"", ZERO)))
    listed = [d for d, _, _ in read_feed(peer.wait(FEED))["adds"]]
    hidden, nothing = w.release("hidden/one"), os.urandom(32)
    assert hidden not in listed, "a hidden release is listed"
    other = view_id(w.agreement["b"][1], NODE, "boston.gov")
    unheard = os.urandom(32)
    makes = {"get-releases": lambda v, r: get_releases(v, r), "get-index": lambda v, r: get_index(v, (r, 0, 0, 1)), "get-chunks": lambda v, r: get_chunks(v, (r, 0, 1)),
             "get-delta": lambda v, r: get_delta(v, (r, os.urandom(32), [(0, 1)])), "get-small": lambda v, r: get_small(v, r)}
    kinds = (RELEASES, INDEX, CHUNKS, SMALL)
    for name, make in makes.items():
        seen = {}
        for label, view, release in (("not granted", w.view, hidden), ("not there", w.view, nothing), ("another's view", other, hidden), ("no view", unheard, nothing)):
            got = answers(peer, make(view, release), kinds, 1)
            assert len(got) == 1, f"{name} {label}: {got}"
            kind, body = got[0]
            if kind in (SMALL, RELEASES):
                r = Reader(body)
                head = Reader(r.raw(32) + r.prefixed())
                body = head.raw(32) + unpacked(head) + r.rest()
            elif kind != CHUNKS:
                r = Reader(body)
                body = r.raw(32) + unpacked(r)
            seen[label] = (kind, body.replace(view, b"V" * 32).replace(release, b"R" * 32))
        assert len(set(seen.values())) == 1, f"{name}: {seen}"
        # Busy machines make noise: the best of three.
        for attempt in range(3):
            times = {hidden: [], nothing: []}
            for i in range(120):
                for release in ((hidden, nothing), (nothing, hidden))[i % 2]:
                    start = time.perf_counter()
                    answers(peer, make(w.view, release), kinds, 1)
                    times[release].append(time.perf_counter() - start)
            a, b = (statistics.median(times[k]) for k in (hidden, nothing))
            if abs(a - b) < 0.25 * min(a, b) + 0.0003:
                break
        else:
            raise AssertionError(f"{name}: hidden takes {a * 1e6:.0f} us, absent {b * 1e6:.0f} us")
    for view in (other, unheard, view_id(w.agreement["b"][1], "boston.gov", NODE), w.view_from_c):
        got = answers(peer, views(3, (view, w.epoch, b"", ZERO)), (FEED,), 1)
        assert read_feed(got[0][1])["status"] == 4, "another's view was answered"
    peer.close()


@attack
def chunks_beyond_the_release(w):
    peer = w.session()
    peer.send(views(1, (w.view, w.epoch, b"", ZERO)))
    peer.wait(FEED)
    for first, count in ((0, 1 << 26), (1 << 26, 1), (1 << 26, 1 << 26), (100000, 1)):
        got = answers(peer, get_chunks(w.view, (w.release("open/one"), first, count)), (CHUNKS,), 1)
        assert read_chunks(got[0][1])["count"] == 0, "chunks beyond the release"
    for tf, first, count in ((1 << 61, 0, 0), (0, (1 << 62) - 1, (1 << 62) - 1), ((1 << 62) - 1, 1 << 61, 1 << 61)):
        peer.send(get_index(w.view, (w.release("open/one"), tf, first, count)))
    peer.drain(0.5)
    w.alive()
    peer.close()


@attack
def content_without_credit(w):
    peer = w.session(credit=0)
    peer.send(views(1, (w.view, w.epoch, b"", ZERO)))
    peer.wait(FEED)
    peer.send(*[get_chunks(w.view, (w.release("big/one"), 0, 100))] * 20)
    got = [k for k, _ in peer.drain(2)]
    assert CHUNKS not in got, "content without credit"
    peer.send(frame(CREDIT, varint(1)))
    got = [k for k, _ in peer.drain(1)]
    assert got.count(CHUNKS) == 1, f"{got.count(CHUNKS)} frames for one byte of credit"
    peer.close()


@attack
def wants_everything_for_ever(w):
    """Every chunk, a million times, with all the credit: bounded queue, bounded memory."""
    peer = w.session(credit=1 << 39, receive_buffer=4096)
    peer.send(views(1, (w.view, w.epoch, b"", ZERO)))
    peer.wait(FEED)
    count = 330
    ask = get_chunks(w.view, *[(w.release("big/one"), 0, count)] * 1000)
    limit = w.rss() + 120
    pushes_without_reading(w, peer, ask, 100, limit, "get-chunks, never read")


@attack
def grouping_tells_nothing(w):
    """The frames of a release are the same whether or not a hidden package holds the same bytes: blocks of others must not show."""
    shared = b"k,v\n" + b"".join(b"%d,%d\n" % (i * 31, i * 17 % 9973) for i in range(60000))
    w.publish("a", "hidden/two", {"a.csv": b"n\n" + b"".join(b"%d\n" % (i * i) for i in range(3000)), "b.csv": shared[:len(shared) // 2] + b"z,z\n" * 5000})
    w.publish("a", "open/twin", {"t.csv": shared})
    plain = b"k,v\n" + b"".join(b"%d,%d\n" % (i * 37, i * 19 % 9973) for i in range(60000))
    w.publish("a", "open/plain", {"t.csv": plain})
    rows = {p["package"]: p for p in w.json("a", "package", "list")["packages"]}
    peer = w.session(credit=1 << 33)
    peer.send(views(1, (w.view, w.epoch, b"", ZERO)))
    peer.drain(1)
    shapes = {}
    for name in ("open/twin", "open/plain"):
        release = bytes.fromhex(rows["auckland.nz/" + name]["release"][7:])
        parts = answers(peer, get_index(w.view, (release, 0, 0, 9)), (INDEX,), 1)
        r = Reader(parts[0][1])
        r.raw(32)
        raw = Reader(unpacked(r))
        chunks = 0
        for _ in range(raw.varint()):
            mark, _ = raw.u8(), raw.raw(32)
            if mark == 0:
                raw.varint(), raw.varint(), raw.prefixed()
            elif mark == 1:
                raw.varint()
                chunks += len(raw.prefixed()) // 36
        peer.send(get_chunks(w.view, (release, 0, chunks)))
        got = 0
        shapes[name] = []
        while got < chunks:
            c = read_chunks(peer.wait(CHUNKS))
            assert c["count"] > 0
            shapes[name].append((c["count"], c["raw"]))
            got += c["count"]
    peer.close()
    a, b = (len(shapes[n]) for n in ("open/twin", "open/plain"))
    assert a == b, f"content shared with a hidden package comes in {a} frames, content of its own in {b}: {shapes}"


@attack
def cursors_of_garbage(w):
    peer = w.session()
    for cursor in (os.urandom(16), bytes(16), b"\xff" * 16, b"", b"x"):
        got = answers(peer, views(9, (w.view, w.epoch, cursor, os.urandom(32))), (FEED,), 1)
        assert got, "no answer"
    peer.drain(0.5)
    peer.close()


# Documents

@attack
def documents_of_strangers(w):
    """Signed by one party, with unknown terms, with junk signatures, steps and withdrawals of others: refused, with a reason in the log."""
    peer = w.session()
    peer.send(views(1, (w.view, bytes(32), b"", ZERO)))
    agreement = None
    for _, code, payload, signatures in read_documents(peer.wait(DOCUMENTS)):
        if code == 2:
            agreement = payload
    assert agreement
    before = {x["id"]: x["state"] for x in w.json("a", "agreement", "list")["agreements"]}
    term = json.loads(agreement)

    def changed(**more):
        return json.dumps({**term, **more}, separators=(",", ":"), ensure_ascii=False).encode()

    mine = changed(id="mine", parties=list(reversed(term["parties"])))
    unknown = dict(term["terms"][0], shareWithEveryone=True)
    noise = [(os.urandom(32), os.urandom(64)) for _ in range(63)]
    step = json.dumps({"schema": "hansa.agreement-step/1", "agreement": "sha256:" + w.agreement["b"][1].hex(), "step": "terminate", "by": ME, "previous": None,
                       "issued": "2026-01-01T00:00:00.000Z", "effective": "2026-01-01T00:00:00.000Z", "reason": "x", "keyring": 1}, separators=(",", ":")).encode()
    by_b = step.replace(b'"by":"chicago.gov"', b'"by":"boston.gov"')
    withdrawal = json.dumps({"schema": "hansa.release/1", "package": "boston.gov/x", "kind": "dataset", "version": "9.0.0", "operation": "withdraw", "writer": ME, "keyring": 1,
                             "seq": 9, "previous": None, "parents": [], "clock": {ME: 9}, "issued": "2026-01-01T00:00:00.000Z", "tlp": "TLP:AMBER", "title": "x", "bytes": 0,
                             "files": 0, "manifest": None, "index": None, "derivedFrom": None, "reason": "r"}, separators=(",", ":")).encode()
    cases = {
        "agreement signed by the other party only": (2, changed(id="forged"), "officer", noise[:0]),
        "unknown term": (2, changed(id="mine2", parties=list(reversed(term["parties"])), terms=[unknown]), "officer", []),
        "unknown key": (2, changed(id="mine3", parties=list(reversed(term["parties"])), x=1), "officer", []),
        "signed by the package key": (2, changed(id="mine4", parties=list(reversed(term["parties"]))), "package", []),
        "a step of a stranger to the agreement": (3, step, "officer", []), "a step in another's name": (3, by_b, "officer", []),
        "a withdrawal of another's package": (4, withdrawal, "package", []),
        "a withdrawal of the node's package": (4, withdrawal.replace(b"boston.gov/x", b"auckland.nz/open/one"), "package", []),
        "a keyring": (1, b"{}", "officer", []), "a receipt": (5, b"{}", "package", []),
    }
    for number, (what, (code, payload, job, extra)) in enumerate(cases.items()):
        peer.send(documents((number, w.c.sign(code, payload, job, extra))))
        answer = read_acks(peer.wait(DOCUMENTS_ACK))
        assert answer[0][0] == number and answer[0][1], f"{what} was taken"
    assert {x["id"]: x["state"] for x in w.json("a", "agreement", "list")["agreements"]} == before
    peer.send(documents((99, w.c.sign(2, mine, "officer", noise))))
    assert not read_acks(peer.wait(DOCUMENTS_ACK))[0][1]
    state = {x["id"]: x["state"] for x in w.json("a", "agreement", "list")["agreements"]}
    assert state.get("mine") == "proposed", f"signed by one party and {state.get('mine')}"
    peer.close()
    entries = w.json("a", "audit", "log", "--partner", ME, "--outcome", "refused")["entries"]
    assert sum(e["event"].startswith("document") for e in entries) >= 1 and all(e["reason"] for e in entries), "refusals without a reason in the log"


@attack
def document_numbers_tell_nothing(w):
    """The numbers of documents sent to us must not count what others were sent."""
    def numbers():
        peer = w.session()
        peer.send(views(1, (w.view, bytes(32), b"", ZERO)))
        out = [n for n, *_ in read_documents(peer.wait(DOCUMENTS))]
        peer.send(frame(DOCUMENTS_ACK, varint(len(out)) + b"".join(varint(n) + prefixed("") for n in out)))
        peer.drain(0.5)
        peer.close()
        return out
    numbers()
    first, second = numbers(), numbers()
    file = os.path.join(w.dir, "extra.yaml")
    for _ in range(3):
        w.run("a", "agreement", "new", "--template", "city-exchange", "--with", "boston.gov", "--out", file)
        w.run("a", "agreement", "propose", file)
        os.unlink(file)
    third = numbers()
    told = f"document numbers {first}, {second}, and after three documents for another partner {third}"
    assert second == third or min(third) - max(second) == min(second) - max(first), told


@attack
def steps_for_ever(w):
    """A party ends one agreement again and again: one entry is enough."""
    payload = None
    peer = w.session()
    peer.send(views(1, (w.view, bytes(32), b"", ZERO)))
    for _, code, body, _ in read_documents(peer.wait(DOCUMENTS)):
        payload = body if code == 2 else payload
    term = json.loads(payload)
    mine = json.dumps({**term, "id": "ends", "parties": list(reversed(term["parties"]))}, separators=(",", ":"), ensure_ascii=False).encode()
    peer.send(documents((1, w.c.sign(2, mine, "officer"))))
    peer.wait(DOCUMENTS_ACK)
    before = w.log_size()
    taken = 0
    for i in range(200):
        step = json.dumps({"schema": "hansa.agreement-step/1", "agreement": "sha256:" + sha(mine).hex(), "step": "terminate", "by": ME, "previous": None,
                           "issued": "2026-01-01T00:00:00.%03dZ" % i, "effective": "2026-01-02T00:00:00.000Z", "reason": "x", "keyring": 1}, separators=(",", ":")).encode()
        peer.send(documents((2 + i, w.c.sign(3, step, "officer"))))
        taken += not read_acks(peer.wait(DOCUMENTS_ACK))[0][1]
    peer.close()
    assert taken <= 2 and w.log_size() < before + 20, f"{taken} steps of one party to one end were taken; the log grew by {w.log_size() - before}"


@attack
def policy_for_ever(w):
    """A partner whose policy epoch never agrees asks again and again, and acknowledges what it is sent each time."""
    peer = w.session()
    log, rounds, frames = w.log_size(), 0, 0
    for i in range(150):
        peer.send(views(100 + i, (w.view, os.urandom(32), b"", ZERO)))
        end = time.time() + 3
        while time.time() < end:
            got = peer.read(0.1)
            if not got:
                break
            frames += 1
            if got[0] == DOCUMENTS:
                rounds += 1
                peer.send(frame(DOCUMENTS_ACK, (lambda n: varint(len(n)) + b"".join(varint(x) + prefixed("") for x in n))([d[0] for d in read_documents(got[1])])))
            if got[0] == FEED:
                continue
    peer.close()
    grown = w.log_size() - log
    assert grown < 30, f"{rounds} times the same documents; the log grew by {grown}"


# Log and disk

@attack
def strangers_leave_the_log_alone(w):
    log = w.log_size()
    for _ in range(40):
        try:
            peer = w.peer(city=w.stranger)
            peer.send(b"x")
            peer.read(0.5)
        except (ssl.SSLError, OSError, Closed):
            pass
        peer = w.peer()
        peer.send(peer.hello("boston.gov", NODE))
        peer.is_closed(2)
    assert w.log_size() <= log + 2, f"80 refused strangers made {w.log_size() - log} entries"


@attack
def refusals_fill_the_log(w):
    peer = w.session()
    before = w.log_size()
    for _ in range(20):
        answers(peer, get_releases(w.view, *[os.urandom(32) for _ in range(256)]), (RELEASES,), 1)
    peer.close()
    for _ in range(20):
        bad = w.session()
        bad.send(frame(0x7F))
        bad.is_closed(2)
    time.sleep(0.5)
    grown = w.log_size() - before
    assert grown < 60, f"5,120 refused gets and 20 violations made {grown} entries"


# A receipt frame begins with the sender's number for it.
RECEIPT_NUMBER = b"\x01"


def receipt(w, view, items, own=ME, to=NODE):
    payload = json.dumps({"schema": "hansa.receipt/1", "view": "sha256:" + view.hex(), "from": own, "to": to, "issued": "2026-01-01T00:00:00.000Z",
                          "items": items, "log": None, "keyring": 1}, separators=(",", ":")).encode()
    return payload


@attack
def junk_receipts_fill_the_disk(w):
    """Receipts signed by nobody: nothing is stored, the log does not grow with them."""
    peer = w.session()
    disk, log = w.segment_bytes(), w.log_size()
    for i in range(60):
        items = [{"release": "sha256:" + os.urandom(32).hex(), "transfer": os.urandom(16).hex(), "outcome": "refused", "reason": "x" * 60} for _ in range(500)]
        peer.send(frame(RECEIPT, RECEIPT_NUMBER + packed(envelope(5, receipt(w, w.view, items), [(os.urandom(32), os.urandom(64))]))))
    peer.send(frame(CREDIT, varint(1)))
    time.sleep(2)
    w.honest()
    peer.close()
    grown = w.segment_bytes() - disk
    assert grown < 1 << 20 and w.log_size() < log + 30, f"unsigned receipts: {grown} bytes on the disk, {w.log_size() - log} log entries"


@attack
def replayed_receipts(w):
    """One true receipt a hundred times, then one for transfers that never were."""
    peer = w.session()
    peer.send(views(1, (w.view, w.epoch, b"", ZERO)))
    adds = read_feed(peer.wait(FEED))["adds"]
    peer.send(get_releases(w.view, adds[0][0]))
    peer.wait(RELEASES)
    log = w.log_size()
    one = [{"release": "sha256:" + adds[0][0].hex(), "transfer": adds[0][2].hex(), "outcome": "accepted"}]
    message = frame(RECEIPT, RECEIPT_NUMBER + packed(w.c.sign(5, receipt(w, w.view, one))))
    peer.send(*[message] * 100)
    time.sleep(2)
    grown = w.log_size() - log
    assert grown <= 5, f"a replayed receipt made {grown} entries"
    forged = [{"release": "sha256:" + os.urandom(32).hex(), "transfer": os.urandom(16).hex(), "outcome": "accepted"} for _ in range(900)]
    peer.send(frame(RECEIPT, RECEIPT_NUMBER + packed(w.c.sign(5, receipt(w, w.view, forged)))))
    time.sleep(2)
    grown = w.log_size() - log
    assert grown < 30, f"a receipt for transfers that never were made {grown} entries"
    log = w.log_size()
    for offers in ([adds[0][2][:8]], [adds[0][2][:8]] * 1000, [os.urandom(8)]):
        peer.send(*[frame(ACCEPTED, b"\1" + w.view + bytes(8) + b"\1" + os.urandom(32) + os.urandom(64) + varint(len(offers)) + b"".join(offers))] * 50)
    time.sleep(1)
    assert w.log_size() - log < 10, "receipts in short that nobody signed are logged"
    peer.close()


@attack
def receipt_of_another(w):
    peer = w.session()
    peer.send(frame(RECEIPT, RECEIPT_NUMBER + packed(w.c.sign(5, receipt(w, w.view, [{"release": "sha256:" + "00" * 32, "transfer": "00" * 16, "outcome": "accepted"}], own="boston.gov")))))
    must_close(peer, "a receipt from another", "protocol")


@attack
def repeated_chunks(w):
    """One good chunks frame again and again: stored once."""
    raw = os.urandom(200_000)
    pieces = [raw[i:i + 50_000] for i in range(0, 200_000, 50_000)]
    page = b"".join(sha(p) + struct.pack(">I", len(p)) for p in pieces)
    table = b"\1" + varint(1) + prefixed("data/r.bin") + varint(len(raw)) + b"\1" + varint(0) + sha(raw)
    root = sha(b"hansa-index/1" + sha(table) + sha(page))
    release = own_release(w, "rep/one", 1, 4, root, bytes=len(raw))
    peer = w.session()
    offer(w, peer, [release])
    serve_documents(w, peer, [release])
    peer.wait(GET_INDEX)
    parts = varint(2) + b"\0" + release[0] + varint(len(table)) + varint(0) + prefixed(table) + b"\1" + release[0] + varint(0) + prefixed(page)
    peer.send(frame(INDEX, w.view_from_c + packed(parts)))
    peer.wait(GET_CHUNKS)
    before = w.segment_bytes()
    one = frame(CHUNKS, w.view_from_c + release[0] + varint(0) + varint(1) + b"\0" + varint(50_000) + pieces[0])
    try:
        for _ in range(400):
            peer.send(one)
        time.sleep(3)
    except (OSError, Closed):
        pass
    peer.close()
    time.sleep(1)
    grown = w.segment_bytes() - before
    assert grown < 1 << 20, f"one chunk of 50 KB, sent 400 times, took {grown} bytes of the disk"


@attack
@spoils
def resurrection(w):
    """A withdrawn release listed again stays withdrawn."""
    rows = {p["package"]: p for p in w.json("a", "package", "list")["packages"]}
    old = bytes.fromhex(rows["chicago.gov/from/chicago"]["release"][7:])
    withdrawal = json.dumps({
        "schema": "hansa.release/1", "package": "chicago.gov/from/chicago", "kind": "dataset", "version": "1.0.1", "operation": "withdraw", "writer": ME, "keyring": 1, "seq": 7,
        "previous": "sha256:" + old.hex(), "parents": ["sha256:" + old.hex()], "clock": {ME: 7}, "issued": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
        "tlp": "TLP:AMBER+STRICT", "title": "c", "bytes": 0, "files": 0, "manifest": None, "index": None, "derivedFrom": None, "reason": "error"}, separators=(",", ":")).encode()
    peer = w.session()
    peer.send(documents((1, w.c.sign(4, withdrawal))))
    assert read_acks(peer.wait(DOCUMENTS_ACK)) == [(1, "")]
    r = Reader(peer.wait(VIEWS)) if VIEWS not in peer.seen else None
    state = {p["package"]: p for p in w.json("a", "package", "list")["packages"]}.get("chicago.gov/from/chicago", {}).get("origin")
    assert state in ("ended", None), state
    peer.close()
    for digest in (old, sha(withdrawal)):
        peer = w.session()
        offer(w, peer, [(digest, b"")])
        got = peer.drain(2)
        outcomes = [Reader(b) for k, b in got if k == RECEIPT]
        texts = []
        for o in outcomes:
            o.varint()  # the sender's number for it
            e = Reader(unpacked(o))
            e.u8()
            texts.append(e.prefixed())
        peer.close()
        assert not any(k == ACCEPTED for k, _ in got) and not any(b'"accepted"' in t for t in texts), f"a withdrawn release was accepted again: {texts}"
        state = {p["package"]: p for p in w.json("a", "package", "list")["packages"]}.get("chicago.gov/from/chicago", {}).get("origin")
        assert state in ("ended", None), f"resurrected: {state}"


# Revocation and the end of a partnership

@attack
def withdrawals_of_unknown_packages(w):
    """Withdrawals of packages that the node never had make no packages, and cost little."""
    peer, log = w.session(), w.log_size()
    for i in range(100):
        body = json.dumps({
            "schema": "hansa.release/1", "package": f"chicago.gov/never/p{i}", "kind": "dataset", "version": "1.0.1", "operation": "withdraw", "writer": ME, "keyring": 1, "seq": 2**63 - 1,
            "previous": "sha256:" + "11" * 32, "parents": ["sha256:" + "11" * 32], "clock": {ME: 2**63 - 1}, "issued": "2026-01-01T00:00:00.000Z",
            "tlp": "TLP:AMBER+STRICT", "title": "c", "bytes": 0, "files": 0, "manifest": None, "index": None, "derivedFrom": None, "reason": "error"}, separators=(",", ":")).encode()
        peer.send(documents((i, w.c.sign(4, body))))
        peer.wait(DOCUMENTS_ACK)
    peer.close()
    listed = [p["package"] for p in w.json("a", "package", "list")["packages"] if "/never/" in p["package"]]
    assert not listed, f"{len(listed)} packages that never were are listed"


@attack
def small_release_behind_a_stuck_one(w):
    """A transfer that never ends does not keep a complete release from being committed."""
    def one(path, raw):
        page, table = sha(raw) + struct.pack(">I", len(raw)), b"\1" + varint(1) + prefixed("data/r.csv") + varint(len(raw)) + b"\1" + varint(0) + sha(raw)
        return own_release(w, path, 1, 1, sha(b"hansa-index/1" + sha(table) + sha(page)), bytes=len(raw)), table, page, raw
    small, stuck = one("st/small", b"a,b\n1,2\n"), one("st/stuck", os.urandom(50_000))
    peer = w.session()
    offer(w, peer, [small[0], stuck[0]])
    serve_documents(w, peer, [small[0], stuck[0]])
    peer.wait(GET_INDEX)
    parts = b"".join(b"\0" + r[0] + varint(len(t)) + varint(0) + prefixed(t) + b"\1" + r[0] + varint(0) + prefixed(p) for r, t, p, _ in (small, stuck))
    peer.send(frame(INDEX, w.view_from_c + packed(varint(4) + parts)))
    peer.wait(GET_CHUNKS)
    peer.send(frame(CHUNKS, w.view_from_c + small[0][0] + varint(0) + varint(1) + b"\0" + varint(len(small[3])) + small[3]))
    peer.wait(RECEIPT, ACCEPTED, timeout=10)
    peer.close()


@attack
def wrong_content(w):
    """Bytes that are not what the index says are never committed, however often they come."""
    raw = os.urandom(50_000)
    page, table = sha(raw) + struct.pack(">I", len(raw)), b"\1" + varint(1) + prefixed("data/r.csv") + varint(len(raw)) + b"\1" + varint(0) + sha(raw)
    release = own_release(w, "wrong/one", 1, 1, sha(b"hansa-index/1" + sha(table) + sha(page)), bytes=len(raw))
    peer, before = w.session(), w.segment_bytes()
    offer(w, peer, [release])
    serve_documents(w, peer, [release])
    peer.wait(GET_INDEX)
    peer.send(frame(INDEX, w.view_from_c + packed(varint(2) + b"\0" + release[0] + varint(len(table)) + varint(0) + prefixed(table) + b"\1" + release[0] + varint(0) + prefixed(page))))
    try:
        for _ in range(50):
            peer.wait(GET_CHUNKS, timeout=2)
            peer.send(frame(CHUNKS, w.view_from_c + release[0] + varint(0) + varint(1) + b"\0" + varint(len(raw)) + os.urandom(len(raw))))
    except (TimeoutError, Closed, OSError):
        pass
    peer.close()
    assert not [p for p in w.json("a", "package", "list")["packages"] if "wrong/" in p["package"]], "wrong bytes were committed"
    assert w.segment_bytes() - before < 1 << 20, "wrong bytes were kept"


@attack
def releases_of_others(w):
    """Documents that chicago.gov may not speak: another's package, also as a merge by one who does not maintain it, another writer, another's signature,
    terms that do not cover it."""
    cases = [own_release(w, "x/one", 1, 1, os.urandom(32), package="boston.gov/x"), own_release(w, "x/two", 1, 1, os.urandom(32), writer="boston.gov", clock={"boston.gov": 1}),
             own_release(w, "x/three", 1, 1, os.urandom(32), tlp="TLP:RED"), own_release(w, "x/four", 1, 1, os.urandom(32), keyring=7),
             own_release(w, "x/six", 1, 1, os.urandom(32), package="boston.gov/six", operation="merge", parents=["sha256:" + "22" * 32, "sha256:" + "33" * 32], clock={ME: 1, "boston.gov": 1})]
    payload = own_release(w, "x/five", 1, 1, os.urandom(32))[1]
    r = Reader(payload)
    r.u8()
    payload = r.prefixed()
    cases.append((sha(payload), w.stranger.sign(4, payload)))
    cases.append((sha(payload + b" "), w.c.sign(4, payload + b" ", "officer")))
    peer = w.session()
    offer(w, peer, cases)
    serve_documents(w, peer, cases)
    frames = peer.drain(3)
    peer.close()
    asked = [k for k, _ in frames if k in (GET_INDEX, GET_CHUNKS, GET_SMALL)]
    assert not asked, f"content of refused releases is asked for: {asked}"
    assert not any(k == ACCEPTED for k, _ in frames), "a refused release is accepted"
    texts = b""
    for r in [Reader(b) for k, b in frames if k == RECEIPT]:
        r.varint()  # the sender's number for it
        texts += unpacked(r)
    # The one under a keyring that nobody has seen yet waits for it; all others are refused.
    count = len(cases) - 1
    assert texts.count(b'"refused"') == count and b'"accepted"' not in texts, f"{texts.count(b'refused')} of {count} refused"
    entries = [e for e in w.json("a", "audit", "log", "--partner", ME, "--outcome", "refused")["entries"] if e["event"].startswith("release")]
    assert len(entries) >= count and all(e["reason"] for e in entries), "refusals without a reason in the log"


@attack
@spoils
def two_bad_digests(w):
    """A partner that lies about its digest is told all once, then its view stops; others notice nothing."""
    peer = w.session()
    peer.send(views(1, (w.view, w.epoch, b"", ZERO)))
    answer = read_feed(peer.wait(FEED))
    statuses, said = [], None
    for _ in range(16):
        if answer["status"] == 3 and said:
            # Other attacks have had this view repaired as often as it may be for now.
            time.sleep(3)
            peer.send(said)
        elif answer["status"] == 6:
            # A repair is offered, and declined: the whole view follows.
            r = Reader(peer.wait(RECONCILE))
            speaker, view, number, turn = r.u8(), r.raw(32), r.varint(), r.u8()
            assert speaker == 0 and view == w.view, "a repair of another view"
            peer.send(frame(RECONCILE, b"\1" + view + varint(number) + bytes([turn, 2]) + varint(0)))
        elif "cursor" in answer:
            said = frame(FEED_ACK, w.view + prefixed(answer["cursor"]) + os.urandom(32))
            peer.send(said)
        else:
            break
        answer = read_feed(peer.wait(FEED))
        statuses += [answer["status"]] if answer["status"] != 3 else []
    assert statuses[-1] == 5 and len(statuses) <= 5, f"answers {statuses}"
    got = answers(peer, get_releases(w.view, w.release("open/one")), (RELEASES,), 1)
    r = Reader(got[0][1])
    r.raw(32)
    assert unpacked(Reader(r.prefixed()))[1] == 0, "a stopped view is served"
    peer.close()


def after(w, act):
    """Content that is read after `act`, when the peer had stopped reading in the middle of a transfer."""
    peer = w.session(receive_buffer=65536, credit=1 << 39)
    peer.send(views(1, (w.view, w.epoch, b"", ZERO)))
    peer.wait(FEED)
    peer.send(get_chunks(w.view, (w.release("big/one"), 0, 300)))
    got = 0
    while got < 2 << 20:
        got += len(read_chunks(peer.wait(CHUNKS))["bytes"])
    time.sleep(1.5)
    act()
    time.sleep(1)
    content = 0
    try:
        while (body := peer.read(2)) is not None:
            if body[0] == CHUNKS:
                content += len(read_chunks(body[1])["bytes"])
    except Closed:
        pass
    again = None
    try:
        again = answers(peer, get_chunks(w.view, (w.release("big/one"), 0, 1)), (CHUNKS,), 1, timeout=3)
    except (OSError, Closed):
        pass
    assert not again or read_chunks(again[0][1])["count"] == 0, "still served"
    peer.close()
    # One frame under way, what the peer's window had let through and what the kernel has not sent (TCP_NOTSENT_LOWAT) cannot be called back.
    assert content < 3 << 19, f"{content} bytes of content after the end"


@attack
def revoked_in_mid_transfer(w):
    grant = [g for g in w.json("a", "access", "list")["grants"] if g["pattern"] == "auckland.nz/big/**"][0]["grant"]
    try:
        after(w, lambda: w.run("a", "access", "revoke", grant))
    finally:
        w.run("a", "access", "grant", ME, "auckland.nz/big/**", "--under", w.agreement["c"][0])


@attack
@spoils
def removed_in_mid_transfer(w):
    """Last: the attacker is no partner any more; its session closes within a second, and its key opens nothing."""
    idle = w.session()
    idle.drain(0.3)
    start = time.time()
    w.run("a", "partner", "remove", ME, "--confirm", ME)
    assert idle.is_closed(1.5), "the session of a removed partner goes on"
    assert time.time() - start < 2.5
    refused_in_handshake(w)


def main():
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    if "--list" in sys.argv:
        print("\n".join(f.__name__ for f in ATTACKS))
        return 0
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 64
    chosen = [f for f in ATTACKS if f.__name__ in arguments[1:]] if arguments[1:] else ATTACKS
    world, won = None, []
    try:
        for function in chosen:
            if world is None:
                world = World(arguments[0])
            start = time.time()
            fault = None
            try:
                function(world)
                world.honest()
            except Exception as error:
                fault = f"{type(error).__name__}: {error}" if isinstance(error, (AssertionError, TimeoutError, Closed, OSError)) else traceback.format_exc()
            print(f"{'HELD ' if fault is None else 'LOST '} {function.__name__} ({time.time() - start:.1f} s, {world.rss() if world.nodes['a'].poll() is None else 'dead'} MiB)"
                  + ("" if fault is None else f"\n      {fault[:1500]}"), flush=True)
            if fault:
                won.append(function.__name__)
            elif world.run("a", "audit", "verify", ok=None).returncode:
                won.append(function.__name__)
                print("LOST  audit verify after " + function.__name__)
            if fault or getattr(function, "spoils", False):
                world.end("--keep" in sys.argv)
                world = None
    finally:
        if world:
            world.end("--keep" in sys.argv)
    print(f"{len(chosen) - len(won)} of {len(chosen)} attacks held" + (f"; lost: {' '.join(won)}" if won else ""))
    return 1 if won else 0


if __name__ == "__main__":
    sys.exit(main())
