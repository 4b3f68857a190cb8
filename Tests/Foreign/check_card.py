"""Follows a card that a node printed, as python-tuf's updater follows a repository's root.

usage: check_card.py SAMPLES

SAMPLES/card holds `N.root.json`, one version of a keyring each, made by `hansa city rotate` of every key, `renew` and `--compromised`.

  python-tuf   starts with 1.root.json as what it trusts and asks for 2, 3, … until there is none; ends at the last
  python-tuf   stays where it is when a version is signed by the old officers alone, by the new alone, is skipped, or served twice
"""

import base64
import json
import pathlib
import sys
import tempfile

from tuf.api.exceptions import DownloadHTTPError, RepositoryError
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig
from tuf.ngclient.config import EnvelopeType

failures = 0


def check(holds, what):
    global failures
    if not holds:
        failures += 1
        print(f"FAILED: {what}")


class Served(FetcherInterface):
    """A repository that has roots and nothing else."""

    def __init__(self, roots):
        self.roots = roots

    def _fetch(self, url):
        name = url.rsplit("/", 1)[-1]
        if name not in self.roots:
            raise DownloadHTTPError(f"no {name}", 404)
        return iter([self.roots[name]])


def follow(roots):
    """The version at which an updater ends, and what stopped it."""
    with tempfile.TemporaryDirectory() as directory:
        (pathlib.Path(directory) / "root.json").write_bytes(roots["1.root.json"])
        updater = Updater(
            metadata_dir=directory,
            metadata_base_url="http://card.invalid/",
            fetcher=Served(roots),
            config=UpdaterConfig(envelope_type=EnvelopeType.SIMPLE),
            bootstrap=None,
        )
        stopped = None
        try:
            updater.refresh()
        except (RepositoryError, DownloadHTTPError) as error:
            # There is no timestamp to go on with: whoever got that far has followed the roots.
            stopped = error
        return updater._trusted_set.root, stopped


def officers(envelope):
    root = json.loads(base64.b64decode(envelope["payload"]))
    return set(root["roles"]["root"]["keyids"])


def main():
    directory = pathlib.Path(sys.argv[1]) / "card"
    files = sorted(directory.glob("*.root.json"), key=lambda path: int(path.name.split(".")[0]))
    roots = {path.name: path.read_bytes() for path in files}
    last, stopped = follow(roots)
    check(last.version == len(files), f"python-tuf ends at version {last.version} of {len(files)}")
    check(isinstance(stopped, DownloadHTTPError), f"python-tuf stopped for another reason: {stopped}")
    check(last.unrecognized_fields["hansa"]["city"] == "kitchener.ca", "hansa.city")

    hostile = 0
    for number in range(2, len(files) + 1):
        name, before = f"{number}.root.json", f"{number - 1}.root.json"
        envelope, old = json.loads(roots[name]), officers(json.loads(roots[before]))
        new = officers(envelope)

        def served(changed):
            return follow({**roots, name: changed})[0].version

        def signed_by(keyids):
            return json.dumps({**envelope, "signatures": [s for s in envelope["signatures"] if s["keyid"] in keyids]}).encode()

        attempts = {"unsigned": signed_by(set()), "served twice": roots[before]}
        if old != new:
            attempts["signed by the old officers only"] = signed_by(old - new)
            attempts["signed by the new officers only"] = signed_by(new - old)
        if number < len(files):
            attempts["skipped"] = roots[f"{number + 1}.root.json"]
        for what, changed in attempts.items():
            hostile += 1
            reached = served(changed)
            check(reached == number - 1, f"version {number} {what}: python-tuf goes on to {reached}")
    print(f"check_card: {len(files)} versions followed, {hostile} refused; {failures} failures")
    sys.exit(1 if failures or not files or not hostile else 0)


main()
