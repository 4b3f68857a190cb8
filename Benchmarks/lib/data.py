"""Data for the benchmarks, the same bytes in every run: stdlib only."""

import hashlib
import json
import os
import random
import subprocess

WORDS = ("city data service request open sensor station air quality water street light permit budget transit stop route bicycle counter "
         "noise tree park waste collection school building energy meter hourly daily dataset column row value unit missing update published "
         "licence contact office district ward census population housing traffic signal road bridge rainfall level river temperature "
         "calibration device location latitude longitude identifier timestamp quality provisional revised annual report method").split()


def small_packages(directory, count):
    """`count` packages in five-and-fifty folders of cities: 1 KB of JSON and 4 KB of Markdown each. Returns their directories."""
    made = []
    for number in range(count):
        rng = random.Random(f"hansa {number}")
        words = lambda n: " ".join(rng.choices(WORDS, k=n))
        text = f"# {words(5).title()}\n\n"
        while len(text) < 4096:
            text += f"## {words(3).title()}\n\n{words(55).capitalize()}.\n\n- {words(6)}\n- {words(7)}\n\n"
        text = text[:4096] + "\n"
        city = f"city-{number % 50:02d}"
        about = {
            "id": hashlib.sha256(str(number).encode()).hexdigest(), "city": city, "title": words(5), "licence": "CC-BY-4.0",
            "keywords": words(6).split(), "created": f"2026-{number % 12 + 1:02d}-{number % 28 + 1:02d}T12:00:00Z",
            "resources": [{"path": "README.md", "bytes": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}],
            "schema": [{"name": f"{words(1)}_{k}", "type": "string number integer boolean".split()[k % 4]} for k in range(6)],
            "note": rng.randbytes(64).hex(),
        }
        place = f"{directory}/{city}/dataset-{number:05d}"
        os.makedirs(place)
        open(place + "/manifest.json", "w").write(json.dumps(about, indent=1) + "\n")
        open(place + "/README.md", "w").write(text)
        made.append(place)
    return made


def shared_small_packages(generator, directory, count):
    """The same shape by the harness of ../shared/bench (S1), where it and numpy are present; else None."""
    if not os.path.exists(generator): return None
    made = subprocess.run(["python3", generator, directory, "--csv-mib", "1", "--packages", str(count)], capture_output=True)
    if made.returncode != 0: return None
    base = directory + "/pkgs/base"
    return [f"{base}/{city}/{name}" for city in sorted(os.listdir(base)) for name in sorted(os.listdir(f"{base}/{city}"))]


def table(path, size):
    """A CSV of about `size` bytes: service requests with times, codes, streets, numbers and coordinates, 12 columns."""
    rng = random.Random("hansa table")
    streets = [f"{rng.randrange(1, 4000)} {w.upper()} {k}" for w in WORDS for k in ("STREET", "AVENUE", "ROAD", "LANE")]
    kinds = [f"{a.title()} {b}" for a in WORDS[:20] for b in WORDS[20:26]]
    written = row = 0
    with open(path, "w", buffering=1 << 20) as out:
        written += out.write("id,created,closed,kind,agency,street,ward,status,channel,temperature,latitude,longitude\n")
        while written < size:
            lines = []
            for _ in range(10_000):
                row += 1
                day = row // 4000
                lines.append(
                    f"{54_000_000 + row * 3},20{20 + day // 336:02d}-{day // 28 % 12 + 1:02d}-{day % 28 + 1:02d}T{row % 24:02d}:{row % 60:02d}:00Z,"
                    f"{'' if row % 7 == 0 else f'2027-01-{row % 28 + 1:02d}T00:00:00Z'},{kinds[int(rng.random() ** 2 * len(kinds))]},"
                    f"DEP-{row % 13},{streets[int(rng.random() ** 3 * len(streets))]},{row % 17 + 1},{('Closed', 'Open', 'Pending')[row % 3]},"
                    f"{('PHONE', 'ONLINE')[row % 2]},{rng.random() * 30:.2f},{40 + rng.random():.6f},{-74 + rng.random():.6f}\n")
            written += out.write("".join(lines))


def edited_table(path, share_edited, share_appended):
    """A new version of a `table`: in so many of its rows one field changes, and so many more come at its end."""
    rng = random.Random("hansa edits")
    with open(path) as f: lines = f.readlines()
    rows = len(lines) - 1
    for number in rng.sample(range(1, rows + 1), round(rows * share_edited)):
        fields = lines[number].split(",")
        fields[7] = {"Closed": "Reopened", "Open": "Closed", "Pending": "Open"}.get(fields[7], "Closed")
        lines[number] = ",".join(fields)
    last = int(lines[-1].split(",")[0])
    for number in range(round(rows * share_appended)):
        fields = lines[rng.randrange(1, rows + 1)].split(",")
        fields[0] = str(last + 3 + 3 * number)
        fields[9:] = [f"{rng.random() * 30:.2f}", f"{40 + rng.random():.6f}", f"{-74 + rng.random():.6f}\n"]
        lines.append(",".join(fields))
    with open(path, "w") as f: f.writelines(lines)


def row_on_top(path):
    """The next version: one row more, right behind the header."""
    with open(path, "rb") as f: head, rest = f.readline(), f.read()
    with open(path, "wb") as f: f.write(head + b"1,2027-02-01T00:00:00Z,,Noise street,DEP-1,1 MAIN STREET,3,Open,PHONE,20.00,40.500000,-73.500000\n" + rest)


def incompressible(path, size):
    """`size` bytes that no compressor shortens and no chunker finds twice: AES of zeros under a fixed key."""
    with open(path, "wb") as out:
        zeros = subprocess.Popen(["head", "-c", str(size), "/dev/zero"], stdout=subprocess.PIPE)
        subprocess.run(["openssl", "enc", "-aes-128-ctr", "-K", "0" * 31 + "1", "-iv", "0" * 32, "-nosalt"], stdin=zeros.stdout, stdout=out, check=True)
        zeros.stdout.close()
        if zeros.wait() != 0: raise OSError("head failed")


def bytes_below(directories):
    return sum(os.path.getsize(f"{d}/{f}") for d in directories for f in os.listdir(d))
