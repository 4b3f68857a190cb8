#!/usr/bin/env python3
"""Foreign tools read our packages: frictionless, bagit and sha256sum -c.

    check_package.py SAMPLES      every SAMPLES/packages/*/ is a bag as a checkout writes it
    check_package.py BAG...       the same for single bags

Needs the pip packages frictionless and bagit. Exits 0 when every bag passes, 1 otherwise.
"""
import logging
import subprocess
import sys
from pathlib import Path

import bagit
import frictionless


def bags(arguments):
    for argument in map(Path, arguments):
        if (argument / "bagit.txt").is_file():
            yield argument
        else:
            yield from sorted(path for path in (argument / "packages").glob("*/") if path.is_dir())


def problems(bag):
    for manifest in ("manifest-sha256.txt", "tagmanifest-sha256.txt"):
        run = subprocess.run(["sha256sum", "--check", "--strict", "--quiet", manifest], cwd=bag, capture_output=True, text=True)
        if run.returncode:
            yield f"sha256sum -c {manifest}: {(run.stdout + run.stderr).strip()}"
    try:
        opened = bagit.Bag(str(bag))
        opened.validate()
        size, count = opened.info["Payload-Oxum"].split(".")
        files = [path for path in (bag / "data").rglob("*") if path.is_file()]
        if int(size) != sum(path.stat().st_size for path in files) or int(count) != len(files):
            yield "bagit: Payload-Oxum is not the payload's"
    except bagit.BagError as error:
        yield f"bagit: {error}"
    try:
        report = frictionless.validate(str(bag / "datapackage.json"))
    except frictionless.FrictionlessException as error:
        yield f"frictionless: {error}"
        return
    for error in report.errors:
        yield f"frictionless: {error.message}"
    for task in report.tasks:
        for error in task.errors[:5]:
            yield f"frictionless: {task.name}: {error.type}: {error.message}"
        if len(task.errors) > 5:
            yield f"frictionless: {task.name}: {len(task.errors) - 5} more"


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    logging.disable(logging.CRITICAL)
    found = failed = 0
    for bag in bags(sys.argv[1:]):
        found += 1
        wrong = list(problems(bag))
        failed += bool(wrong)
        print(f"{'FAILED' if wrong else 'VALID '} {bag.name}")
        for line in wrong:
            print(f"       {line}")
    if not found:
        print("check_package: no bags found", file=sys.stderr)
    sys.exit(1 if failed or not found else 0)


if __name__ == "__main__":
    main()
