"""Reads our signed documents with tools that know nothing of Hansa.

usage: check_documents.py SAMPLES

SAMPLES/documents holds `<name>.dsse.json`, `keys.json` (name -> public keys in hex, all of which signed) and
`refused-*.dsse.json` (rotations from keyring-1 that must not be followed).

  securesystemslib   verifies every envelope, and refuses it with a byte of payload or signature changed
  python-tuf         takes keyring-1 as trusted root, follows it to the last version, and refuses what must be refused
  cryptography       signs the vectors in Tests/Vectors/documents.json again from their seeds: the same bytes
"""

import base64
import hashlib
import json
import pathlib
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey
from tuf.api.dsse import SimpleEnvelope
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Root
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

failures = 0


def check(holds, what):
    global failures
    if not holds:
        failures += 1
        print(f"FAILED: {what}")


def refuses(body, *errors):
    try:
        body()
    except errors:
        return True
    return False


def key(public):
    keyid = hashlib.sha256(bytes.fromhex(public)).hexdigest()
    return SSlibKey(keyid, "ed25519", "ed25519", {"public": public})


def envelopes(directory):
    keys = json.loads((directory / "keys.json").read_text())
    for name, publics in keys.items():
        data = json.loads((directory / f"{name}.dsse.json").read_text())
        signers = [key(public) for public in publics]

        def read():
            return Envelope.from_dict(json.loads(json.dumps(data)))

        accepted = read().verify(signers, len(signers))
        check(len(accepted) == len(signers), f"{name}: {len(accepted)} of {len(signers)} signatures hold")

        changed = read()
        changed.payload = changed.payload.replace(b'"', b"'", 1)
        check(refuses(lambda: changed.verify(signers, 1), VerificationError), f"{name}: a changed payload passes")
        retyped = read()
        retyped.payload_type = "application/vnd.hansa.other.v1+json"
        check(refuses(lambda: retyped.verify(signers, 1), VerificationError), f"{name}: another type passes")
        strangers = [key(hashlib.sha256(name.encode()).hexdigest())]
        check(refuses(lambda: read().verify(strangers, 1), VerificationError), f"{name}: an unknown key is accepted")
        check(read().to_dict() == data, f"{name}: securesystemslib writes another envelope")
    return len(keys)


def keyrings(directory):
    def load(name):
        return (directory / f"{name}.dsse.json").read_bytes()

    versions = sorted(directory.glob("keyring-*.dsse.json"), key=lambda path: int(path.name.split("-")[1].split(".")[0]))
    trusted = TrustedMetadataSet(versions[0].read_bytes(), EnvelopeType.SIMPLE)
    for path in versions[1:]:
        trusted.update_root(path.read_bytes())
    check(trusted.root.version == len(versions), f"python-tuf stopped at version {trusted.root.version}")

    for path in directory.glob("refused-*.dsse.json"):
        start = TrustedMetadataSet(load("keyring-1"), EnvelopeType.SIMPLE)
        check(refuses(lambda: start.update_root(path.read_bytes()), RepositoryError), f"python-tuf follows {path.name}")
    start = TrustedMetadataSet(load("keyring-1"), EnvelopeType.SIMPLE)
    check(refuses(lambda: start.update_root(load("keyring-3")), RepositoryError), "python-tuf follows a skipped version")

    for path in versions:
        root = SimpleEnvelope[Root].from_bytes(path.read_bytes()).get_signed()
        check(isinstance(root, Root), f"{path.name} is no root")
        for role in ("root", "targets", "snapshot", "timestamp"):
            check(root.get_delegated_role(role).threshold >= 1, f"{path.name}: {role}")
        check(root.unrecognized_fields["hansa"]["city"] == "kitchener.ca", f"{path.name}: hansa.city")
    return len(versions)


def vectors(path):
    entries = json.loads(path.read_text())
    for entry in entries:
        name, payload, kind = entry["name"], entry["payload"].encode(), entry["payloadType"].encode()
        digest = hashlib.sha256(payload).hexdigest()
        check(entry["digest"] == f"sha256:{digest}", f"vector {name}: digest")
        message = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
        signatures = []
        for seed in entry["seeds"]:
            private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
            public = private.public_key().public_bytes_raw()
            signatures.append((hashlib.sha256(public).digest(), private.sign(message)))
        signatures.sort()
        envelope = {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": entry["payloadType"],
            "signatures": [{"keyid": i.hex(), "sig": base64.b64encode(s).decode()} for i, s in signatures],
        }
        check(entry["json"] == json.dumps(envelope, separators=(",", ":")), f"vector {name}: JSON form")
        check(entry["binary"] == binary(entry["payloadType"], payload, signatures).hex(), f"vector {name}: binary form")
        compact = json.dumps(json.loads(payload), separators=(",", ":"), ensure_ascii=False)
        check(compact.encode() == payload, f"vector {name}: the payload is not compact JSON")
        if "fingerprint" in entry:
            check(entry["fingerprint"] == fingerprint(json.loads(payload)), f"vector {name}: fingerprint")
    return len(entries)


def binary(kind, payload, signatures):
    codes = {
        "application/vnd.tuf+json": 1,
        "application/vnd.hansa.agreement.v1+json": 2,
        "application/vnd.hansa.agreement-step.v1+json": 3,
        "application/vnd.hansa.release.v1+json": 4,
        "application/vnd.hansa.receipt.v1+json": 5,
    }
    body = b"".join(i + s for i, s in signatures)
    return bytes([codes[kind]]) + varint(len(payload)) + payload + varint(len(signatures)) + body


def varint(value):
    for size, prefix in ((1, 0x00), (2, 0x40), (4, 0x80), (8, 0xC0)):
        if value < 1 << (8 * size - 2):
            data = bytearray(value.to_bytes(size, "big"))
            data[0] |= prefix
            return bytes(data)
    raise ValueError(value)


def fingerprint(root):
    role = root["roles"]["root"]
    text = f"hansa-fingerprint/1{root['hansa']['city']}\n{role['threshold']}\n" + "\n".join(sorted(role["keyids"]))
    digest = hashlib.sha256(text.encode()).digest()
    return " ".join(f"{int.from_bytes(digest[i:i + 4], 'big') % 100000:05d}" for i in range(0, 32, 4))


def main():
    directory = pathlib.Path(sys.argv[1]) / "documents"
    here = pathlib.Path(__file__).resolve().parent
    counts = envelopes(directory), keyrings(directory), vectors(here.parent / "Vectors" / "documents.json")
    print("check_documents: %d envelopes, %d keyrings, %d vectors; %d failures" % (*counts, failures))
    sys.exit(1 if failures or 0 in counts else 0)


main()
