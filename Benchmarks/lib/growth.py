"""Series of real releases, and what storing each of them after the other takes: in a city's segments, and in a restic repository."""

import os
import shutil
import subprocess

from cities import City, Failed


def months(path, out):
    """The table as it was at the end of each of its months: one directory each, with all rows so far."""
    with open(path, "rb") as source: lines = source.readlines()
    steps, last = [], None
    for number, line in enumerate(lines[1:], 1):
        month = line[:7]
        if last is not None and month != last: steps.append(number)
        last = month
    steps.append(len(lines))
    for number, end in enumerate(steps):
        place = f"{out}/{number:03}"
        os.makedirs(place)
        with open(f"{place}/{os.path.basename(path)}", "wb") as target: target.writelines(lines[:end])
        yield place


def files(paths, out):
    """One directory for each release, under one file name."""
    for number, path in enumerate(paths):
        place = f"{out}/{number:03}"
        os.makedirs(place)
        shutil.copyfile(path, f"{place}/data{os.path.splitext(path)[1]}")
        yield place


def series(shared, fetched):
    """Name and a function that makes the releases' directories, for what is on this machine. Names of GeoNames' releases are versions."""
    found = []
    if os.path.exists(path := f"{shared}/auckland/hourly_counts.csv"): found.append(("auckland", lambda out: months(path, out)))
    airports = sorted(f"{fetched}/airports/{n}/airports.csv" for n in os.listdir(f"{fetched}/airports")) if fetched else [
        f"{shared}/airports/{n}" for n in sorted(os.listdir(f"{shared}/airports"))]
    found.append(("airports", lambda out: files(airports, out)))
    if fetched:
        names = sorted((n for n in os.listdir(f"{fetched}/geonames")), key=lambda n: [int(p) for p in n.split(".")])
        found.append(("geonames", lambda out: files([f"{fetched}/geonames/{n}/cities15000.json" for n in names], out)))
    return found


def bytes_below(path): return sum(os.path.getsize(f"{root}/{name}") for root, _, names in os.walk(path) for name in names)


class Store:
    """A city of its own, without a node."""

    def __init__(self, hansa, directory):
        self.city = City(hansa, f"{directory}/city", "a.example", 1)
        self.city.run("init", "--city", "a.example", "--name", "A")

    def add(self, place): self.city.run("package", "publish", place, "--name", "series")

    def size(self): return bytes_below(f"{self.city.home}/segments")

    def database(self): return sum(os.path.getsize(f"{self.city.home}/{name}") for name in os.listdir(self.city.home) if name.startswith("hansa.sqlite"))


class Restic:
    """A repository of version 2, whose packs are compressed with Zstandard."""

    def __init__(self, directory, compression):
        self.repository = f"{directory}/restic-{compression}"
        self.environment = dict(os.environ, RESTIC_PASSWORD="x", RESTIC_COMPRESSION=compression, RESTIC_CACHE_DIR=f"{directory}/cache")
        self.run("init", "--repository-version", "2")

    def run(self, *arguments):
        done = subprocess.run(["restic", "-q", "-r", self.repository, *arguments], env=self.environment, capture_output=True)
        if done.returncode != 0: raise Failed(f"restic {arguments[0]}: {done.stderr.decode(errors='replace')[-300:]}")

    def add(self, place):
        # From one path, so that each is a version of the one before.
        self.run("backup", place)

    def size(self): return bytes_below(f"{self.repository}/data")


def grow(store, places):
    """Bytes after the first release and after the last."""
    first = None
    for place in places:
        store.add(place)
        if first is None: first = store.size()
    return first, store.size()
