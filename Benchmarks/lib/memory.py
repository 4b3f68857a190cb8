"""What processes keep in memory while something runs, and a table of many GiB that is written as fast as a disk takes it."""

import hashlib
import re
import threading


class Sampler:
    """Looks at processes ten times a second. The system keeps a peak of all resident pages (VmHWM), and with it pages of files that are merely mapped, as
    the database's; what a process takes for itself (anonymous and shared memory) has no such peak, so it is sampled."""

    def __init__(self, pids):
        self.pids = pids
        self.peaks = {pid: (0, 0) for pid in pids}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def __enter__(self):
        for pid in self.pids: open(f"/proc/{pid}/clear_refs", "w").write("5")
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.look()

    def watch(self):
        while not self.ended.wait(0.1): self.look()

    def look(self):
        for pid in self.pids:
            try: status = open(f"/proc/{pid}/status").read()
            except (FileNotFoundError, ProcessLookupError): continue
            field = lambda name: int(re.search(rf"{name}:\s+(\d+) kB", status).group(1)) * 1024
            own, all_pages = self.peaks[pid]
            self.peaks[pid] = (max(own, field("RssAnon") + field("RssShmem")), max(all_pages, field("VmHWM")))


def stream_table(path, size):
    """A CSV of about `size` bytes, of which no two stretches are alike: counts of vehicles, with a key that rises. Returns its SHA-256 and length."""
    rows, head = 8192, b"id,time,station,direction,vehicles,speed,quality\n"
    pattern = b"".join(b"@@@@@@@@%05d,2026-%02d-%02dT%02d:%02d:00Z,station-%03d,%s,%d,%d.%d,%s\n" % (
        row, row % 12 + 1, row % 28 + 1, row % 24, row * 7 % 60, row * 31 % 977, (b"north", b"south", b"east", b"west")[row * 13 % 4],
        row * 7919 % 1999, 20 + row * 101 % 70, row % 10, (b"measured", b"estimated", b"")[row * 17 % 3]) for row in range(rows))
    digest, length = hashlib.sha256(head), len(head)
    with open(path, "wb") as out:
        out.write(head)
        block = 0
        while length < size:
            text = pattern.replace(b"@@@@@@@@", b"%08d" % block)
            out.write(text)
            digest.update(text)
            length += len(text)
            block += 1
    return digest.hexdigest(), length


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as source:
        while part := source.read(1 << 20): digest.update(part)
    return digest.hexdigest()
