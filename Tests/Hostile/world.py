"""Three cities on loopback: auckland.nz is attacked, boston.gov is its honest partner, chicago.gov is a partner whose keys the attacker holds."""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from wire import City, Peer, policy_epoch, view_id


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class World:
    def __init__(self, binary, big_mib=24, small=0):
        self.binary = os.path.abspath(binary)
        self.dir = tempfile.mkdtemp(prefix="hansa-hostile-")
        self.nodes = {}
        self.ports = {n: free_port() for n in "abc"}
        try:
            self.build(big_mib, small)
        except BaseException:
            self.end()
            raise

    def build(self, big_mib, small):
        names = {"a": ("auckland.nz", "NZ"), "b": ("boston.gov", "US"), "c": ("chicago.gov", "US"), "s": ("stranger.org", "FR")}
        self.names = {n: v[0] for n, v in names.items()}
        for n, (city, country) in names.items():
            port = self.ports.setdefault(n, free_port())
            self.run(n, "init", "--city", city, "--name", city, "--country", country, "--listen", f"127.0.0.1:{port}", "--advertise", f"127.0.0.1:{port}")
            config = os.path.join(self.home(n), "hansa.yaml")
            text = open(config).read().replace("  #connectionsPerMinutePerAddress: 60", "  connectionsPerMinutePerAddress: 100000")
            open(config, "w").write(text)
        for n in "abc":
            with open(self.card(n), "w") as file:
                file.write(self.run(n, "city", "card").stdout)
        for n, m in ("ab", "ba", "ac", "ca"):
            self.run(n, "partner", "add", self.card(m), "--yes")
        self.c = City(self.home("c"), "chicago.gov")
        self.b = City(self.home("b"), "boston.gov")
        self.stranger = City(self.home("s"), "stranger.org")
        self.publish("a", "open/one", {"a.csv": b"x,y\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(20000)), "note.txt": b"for all\n"})
        self.publish("a", "hidden/one", {"secret.csv": b"s,t\n" + b"".join(b"%d,%d\n" % (i * 7, i) for i in range(20000))})
        if big_mib:
            self.publish("a", "big/one", {"random.bin": os.urandom(big_mib << 20)})
        for i in range(small):
            self.publish_files("a", f"many/p{i}", {"x.csv": b"a,b\n%d,2\n" % i})
        if small:
            self.run("a", "package", "publish", *[os.path.join(self.dir, "src-a", "many", f"p{i}") for i in range(small)], "--base", os.path.join(self.dir, "src-a"))
        self.publish("c", "from/chicago", {"c.csv": b"p,q\n1,2\n3,4\n"})
        self.serve("a")
        self.serve("b")
        self.agreement = {m: self.agree(m) for m in "bc"}
        self.run("a", "access", "grant", "boston.gov", "auckland.nz/**", "--under", self.agreement["b"][0])
        for pattern in ("open/**", "big/**", "many/**"):
            self.run("a", "access", "grant", "chicago.gov", f"auckland.nz/{pattern}", "--under", self.agreement["c"][0])
        self.run("c", "access", "grant", "auckland.nz", "chicago.gov/**", "--under", self.agreement["c"][0])
        for attempt in range(5):
            if self.run("c", "sync", "auckland.nz", "--wait", ok=None).returncode == 0:
                break
            time.sleep(1)
        else:
            raise AssertionError("chicago.gov cannot sync")
        self.packages = {p["package"]: p for p in self.json("a", "package", "list")["packages"]}
        self.digest = self.agreement["c"][1]
        self.view = view_id(self.digest, "auckland.nz", "chicago.gov")
        self.view_from_c = view_id(self.digest, "chicago.gov", "auckland.nz")
        self.epoch = policy_epoch(self.digest)

    def home(self, n):
        return os.path.join(self.dir, n)

    def card(self, n):
        return os.path.join(self.dir, n + ".card")

    def run(self, n, *arguments, ok=(0,), timeout=120):
        out = subprocess.run([self.binary, *arguments, "--home", self.home(n)], capture_output=True, text=True, timeout=timeout)
        if ok is not None and out.returncode not in ok:
            raise AssertionError(f"hansa {' '.join(arguments)} ({n}): exit {out.returncode}\n{out.stdout}{out.stderr}")
        return out

    def json(self, n, *arguments, ok=(0,), timeout=120):
        return json.loads(self.run(n, *arguments, "--json", ok=ok, timeout=timeout).stdout)

    def publish_files(self, n, name, files):
        where = os.path.join(self.dir, "src-" + n, name)
        os.makedirs(where, exist_ok=True)
        for file, data in files.items():
            with open(os.path.join(where, file), "wb") as out:
                out.write(data)
        return where

    def publish(self, n, name, files):
        return self.json(n, "package", "publish", self.publish_files(n, name, files), "--name", name)

    def serve(self, n):
        log = open(os.path.join(self.dir, n + ".log"), "ab")
        self.nodes[n] = subprocess.Popen([self.binary, "serve", "--home", self.home(n)], stdout=log, stderr=log)
        for _ in range(300):
            if os.path.exists(os.path.join(self.home(n), "run", "hansa.sock")) and self.run(n, "status", ok=None).returncode in (0, 3, 5):
                return
            time.sleep(0.1)
        raise AssertionError(n + " does not start")

    def stop(self, n, how=signal.SIGTERM):
        node = self.nodes.pop(n)
        node.send_signal(how)
        node.wait(30)

    def agree(self, m):
        file = os.path.join(self.dir, f"ag-{m}.yaml")
        self.run("a", "agreement", "new", "--template", "city-exchange", "--with", self.names[m], "--out", file)
        document = self.json("a", "agreement", "propose", file)
        self.run(m, "sync", "auckland.nz", "--wait", ok=(0, 3, 7))
        self.run(m, "agreement", "accept", document["id"])
        for _ in range(5):
            if self.run(m, "sync", "auckland.nz", "--wait", ok=None).returncode == 0:
                break
            time.sleep(0.5)
        row = [x for x in self.json("a", "agreement", "list")["agreements"] if x["id"] == document["id"]][0]
        assert row["state"] == "active", row
        return document["id"], bytes.fromhex(document["digest"].removeprefix("sha256:"))

    # Looking at the node under attack

    def release(self, name):
        return bytes.fromhex(self.packages["auckland.nz/" + name]["release"].removeprefix("sha256:"))

    def rss(self, n="a", field="VmRSS"):
        with open(f"/proc/{self.nodes[n].pid}/status") as file:
            return [int(line.split()[1]) // 1024 for line in file if line.startswith(field)][0]

    def alive(self):
        assert self.nodes["a"].poll() is None, f"the node died: {self.nodes['a'].returncode}"

    def log_size(self):
        return self.json("a", "audit", "checkpoint", ok=None).get("size") or self.json("a", "status", ok=None)["log"]["size"]

    def segments(self):
        total = 0
        for base, _, files in os.walk(os.path.join(self.home("a"), "segments")):
            total += sum(os.stat(os.path.join(base, f)).st_blocks * 512 for f in files)
        return total

    def segment_bytes(self):
        return self.json("a", "status", ok=None)["storage"]["bytes"]

    def text(self, n="a"):
        with open(os.path.join(self.dir, n + ".log"), errors="replace") as file:
            return file.read()

    def honest(self):
        self.alive()
        out = self.run("b", "sync", "auckland.nz", "--wait", "--json", ok=None, timeout=90)
        assert out.returncode == 0, f"the honest partner is not served: exit {out.returncode} {out.stdout}"

    def peer(self, city=None, **more):
        return Peer(self.ports["a"], self.c if city is None else (city or None), **more)

    def session(self, **more):
        """An admitted session as chicago.gov. `**more` goes to hello."""
        transport = {k: more.pop(k) for k in ("receive_buffer", "source") if k in more}
        peer = self.peer(**transport)
        peer.open(self.c, "auckland.nz", **more)
        return peer

    def end(self, keep=False):
        for n in list(self.nodes):
            try:
                self.nodes[n].send_signal(signal.SIGCONT)
                self.stop(n)
            except (subprocess.TimeoutExpired, OSError):
                self.nodes.get(n) and self.nodes[n].kill()
        if not keep:
            shutil.rmtree(self.dir, ignore_errors=True)
