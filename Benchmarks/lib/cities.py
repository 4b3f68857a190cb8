"""Two cities on this machine for the benchmarks: homes, nodes, an agreement between them, and the checks a figure needs before it counts."""

import json
import os
import re
import signal
import socket
import subprocess
import time


class Failed(Exception):
    """A step did not go as a benchmark needs it; the figure does not count."""


class City:
    """One home, and its node while it runs."""

    def __init__(self, hansa, home, name, port):
        self.hansa, self.home, self.name, self.port, self.node = hansa, home, name, port, None

    def run(self, *arguments):
        """A command with --json: what it printed, decoded. Peak memory of the command itself is in `last_rss` (bytes), and its CPU
        time in `last_cpu` (seconds)."""
        child = subprocess.Popen([self.hansa, *map(str, arguments), "--json", "--home", self.home], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        with child.stdout, child.stderr:
            # The commands say little on stderr, far below a pipe's 64 KiB.
            out = child.stdout.read()
            err = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        self.last_rss = usage.ru_maxrss * 1024
        self.last_cpu = usage.ru_utime + usage.ru_stime
        if child.returncode != 0:
            raise Failed(f"{self.name}: hansa {' '.join(map(str, arguments))[:200]} ended with {child.returncode}: "
                         f"{(err + out).decode(errors='replace')[-600:]}")
        return json.loads(out)

    def text(self, *arguments):
        """A command's stdout as it is."""
        return subprocess.run([self.hansa, *arguments, "--home", self.home], check=True, capture_output=True).stdout

    def serve(self):
        self.log = open(self.home + ".log", "ab")
        start = self.log.tell()
        self.node = subprocess.Popen([self.hansa, "serve", "--home", self.home], stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 20
        while b" serving " not in open(self.home + ".log", "rb").read()[start:]:
            if self.node.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{self.name} does not serve: {open(self.home + '.log').read()[-600:]}")
            time.sleep(0.02)

    def stop(self):
        if not self.node: return
        self.node.send_signal(signal.SIGTERM)
        code = self.node.wait(60)
        self.node = None
        self.log.close()
        if code != 0: raise Failed(f"{self.name}'s node ended with {code}: {open(self.home + '.log').read()[-600:]}")

    def peak_rss(self):
        """VmHWM of the node, in bytes."""
        status = open(f"/proc/{self.node.pid}/status").read()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024

    def reset_rss(self):
        """Begins the peak anew, so that a start or an earlier step does not count."""
        open(f"/proc/{self.node.pid}/clear_refs", "w").write("5")

    def cpu(self):
        """User and system seconds of the node so far."""
        fields = open(f"/proc/{self.node.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def last_session(self, kind):
        """Bytes of all frames of a kind that the node sent in the session that ended last, as its debug log says."""
        deadline = time.monotonic() + 5
        while not (ends := [line for line in open(self.home + ".log") if "session ends" in line]) and time.monotonic() < deadline: time.sleep(0.05)
        if not ends: raise Failed(f"{self.name}'s log tells of no session")
        found = re.search(rf" sent=.*?\b{kind} \d+/(\d+)", ends[-1])
        return int(found.group(1)) if found else 0

    def entries(self, event):
        return len(self.run("audit", "log", "--event", event)["entries"])


class Pair:
    """a has the data, b wants it. Only b dials, so that nothing begins before a benchmark says so.

    `through` maps a's port to another one on which b dials, for a proxy that counts.
    """

    def __init__(self, hansa, directory, through=None):
        self.directory = directory
        os.makedirs(directory)
        self.a = City(hansa, f"{directory}/a", "a.example", free_port())
        self.b = City(hansa, f"{directory}/b", "b.example", free_port())
        endpoint = f"127.0.0.1:{self.a.port if through is None else through(self.a.port)}"
        self.a.run("init", "--city", self.a.name, "--name", "A", "--listen", f"127.0.0.1:{self.a.port}", "--advertise", endpoint)
        self.b.run("init", "--city", self.b.name, "--name", "B", "--listen", f"127.0.0.1:{self.b.port}")
        for one, other in ((self.a, self.b), (self.b, self.a)):
            card = f"{directory}/{other.name}.card"
            open(card, "wb").write(other.text("city", "card"))
            one.run("partner", "add", card, "--fingerprint", other.run("city", "show")["fingerprint"])
        self.a.serve()
        self.b.serve()
        paper = f"{directory}/exchange.yaml"
        self.a.run("agreement", "new", "--template", "city-exchange", "--with", self.b.name, "--out", paper)
        self.agreement = self.a.run("agreement", "propose", paper)["id"]
        self.await_state(self.b, "proposed")
        self.b.run("agreement", "accept", self.agreement, "--yes")
        self.await_state(self.a, "active")

    def await_state(self, city, state):
        deadline = time.monotonic() + 20
        while self.agreement not in [a["id"] for a in city.run("agreement", "list")["agreements"] if a["state"] == state]:
            if time.monotonic() > deadline: raise Failed(f"{city.name} does not have the agreement as {state}")
            time.sleep(0.05)

    def grant(self, pattern="a.example/**"):
        self.a.run("access", "grant", self.b.name, pattern, "--under", self.agreement)

    def sync(self, timeout=900):
        """b syncs with a; the row of `sync --wait`. Raises unless in sync."""
        row = self.b.run("sync", self.a.name, "--wait", "--timeout", timeout)["partners"][0]
        if row["state"] != "in-sync": raise Failed(f"not in sync: {row}")
        return row

    def check(self, releases):
        """What must hold before a figure counts: every release received and receipted in both logs, and both logs valid."""
        held = len([p for p in self.b.run("package", "list")["packages"] if p["origin"] == "received"])
        if held != releases: raise Failed(f"b holds {held} of {releases} packages")
        for city, event in ((self.a, "release.delivered"), (self.a, "receipt.received"), (self.b, "release.received")):
            # The publisher may still be taking the last receipt in when the recipient has said that it is in sync.
            deadline = time.monotonic() + 5
            while (count := city.entries(event)) < releases and time.monotonic() < deadline: time.sleep(0.2)
            if count != releases: raise Failed(f"{city.name}'s log has {count} entries {event} for {releases} releases")
        for city in (self.a, self.b):
            answer = city.run("audit", "verify")
            if answer["valid"] is not True: raise Failed(f"{city.name}: audit verify: {answer['findings'][:3]}")

    def check_events(self, releases):
        """As `check`, where the releases are versions of few packages."""
        deadline = time.monotonic() + 5
        while (count := self.a.entries("receipt.received")) < releases and time.monotonic() < deadline: time.sleep(0.1)
        if count != releases: raise Failed(f"{count} receipts for {releases} releases")
        for city in (self.a, self.b):
            if city.run("audit", "verify")["valid"] is not True: raise Failed(f"{city.name}: the log is not valid")

    def stop(self):
        for city in (self.a, self.b): city.stop()

    def kill(self):
        for city in (self.a, self.b):
            if city.node and city.node.poll() is None:
                city.node.kill()
                city.node.wait()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
