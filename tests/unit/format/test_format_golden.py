"""Files that release 1 wrote must be readable for ever.

Only a new format version gets new golden files beside the old ones. While format 1 is not yet released:
`POOLPAIR_REGOLD=1 pytest tests/unit/format/test_format_golden.py` writes them anew.
"""

import json
import os
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from poolpair.errors import Code
from poolpair.format import documents
from poolpair.format.cookie import open_cookie, seal_cookie
from poolpair.format.keys import KeyRing
from poolpair.keyfile import parse_key_text
from poolpair.model import Answer, Ask, BucketSet, Channel, Cookie, ImportStatus, Manifest, RefusedPackage
from tests.unit.format.format_samples import MEMBERS, STORE, contents, cookie, package, reader

GOLDEN = Path(__file__).parents[2] / "golden"
FULL_COOKIE = replace(
    cookie(),
    standing=(43, 44),
    answer=Answer(package_id=STORE, differs=(BucketSet(home="lyon", table=1, of=256, buckets=(3, 200)),)),
    refused=(RefusedPackage(package_id=STORE, code=Code.DAMAGED),),
    parked=2,
    status=ImportStatus.DEGRADED,
    asks=(Ask(ask_id=STORE, verb="handover", home="lyon", epoch=2, expires_utc="2026-01-01T00:00:00Z"),),
)


def golden_ring() -> KeyRing:
    """The fixed ring of the golden files."""
    return parse_key_text((GOLDEN / "pair_v1.key").read_text())


@pytest.fixture(scope="module", autouse=True)
def regold() -> None:
    """Write the golden files anew, if asked to."""
    if os.environ.get("POOLPAIR_REGOLD") != "1":
        return
    GOLDEN.mkdir(exist_ok=True)
    secrets = '["000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"]'
    (GOLDEN / "pair_v1.key").write_text(f'{{"format": 1, "pair_id": "{"0d" * 16}", "secrets": {secrets}}}\n')
    sealed = package(ring=golden_ring())
    (GOLDEN / "package_v1.zip").write_bytes(sealed)
    (GOLDEN / "package_v1.manifest.json").write_text(documents.encode(reader(sealed).manifest) + "\n")
    (GOLDEN / "cookie_v1.zip").write_bytes(seal_cookie(FULL_COOKIE, golden_ring(), target="lyon"))
    (GOLDEN / "cookie_v1.json").write_text(documents.encode(FULL_COOKIE) + "\n")


def test_the_golden_package_opens() -> None:
    """Header, manifest and members of a package of format 1 read as when it was written."""
    opened = reader((GOLDEN / "package_v1.zip").read_bytes(), ring=golden_ring())
    opened.check()
    assert opened.header.format == 1
    assert opened.manifest == documents.decode(Manifest, (GOLDEN / "package_v1.manifest.json").read_text())
    assert contents(opened) == MEMBERS


def test_the_golden_package_opens_by_the_page_alone() -> None:
    """A reader written from docs/FORMAT.md, with nothing of poolpair, opens the file: key, nonces and frames are as told."""
    key_file = json.loads((GOLDEN / "pair_v1.key").read_text())
    with zipfile.ZipFile(GOLDEN / "package_v1.zip") as archive:
        clear = archive.read("header.json")
        sealed = {name: archive.read(name) for name in archive.namelist()[1:]}
    header = json.loads(clear)
    texts = ["poolpair format 1", key_file["pair_id"], "lyon", "oslo", "users", "package"]
    info = b"".join(struct.pack(">I", len(text)) + text.encode() for text in texts)
    derivation = HKDF(algorithm=SHA256(), length=32, salt=bytes.fromhex(header["package_id"]), info=info)
    aead = AESGCM(derivation.derive(bytes.fromhex(key_file["secrets"][0])))

    def unseal(data: bytes, member: int) -> bytes:
        plain, frame = b"", 0
        while data:
            end = 4 + struct.unpack(">I", data[:4])[0]
            nonce = struct.pack(">IQ", member, frame << 8 | (end == len(data)))
            plain += aead.decrypt(nonce, data[4:end], clear)
            data, frame = data[end:], frame + 1
        return zstandard.ZstdDecompressor().decompressobj().decompress(plain)

    manifest = json.loads(unseal(sealed.pop("manifest"), 0))
    assert [member["name"] for member in manifest["members"]] == list(sealed)
    raw = {member["name"]: unseal(sealed[member["name"]], member["number"]) for member in manifest["members"]}
    assert raw == MEMBERS
    assert len(sealed["files/0001"]) > 128 * 1024


def test_the_golden_cookie_opens() -> None:
    """A cookie of format 1 reads as when it was written, so its dictionary did not change either."""
    data = (GOLDEN / "cookie_v1.zip").read_bytes()
    found = open_cookie(data, golden_ring(), reader_pool="lyon", channel=Channel.USERS)
    assert found == documents.decode(Cookie, (GOLDEN / "cookie_v1.json").read_text())
    assert found.reads_format == 1


def test_the_same_package_gives_the_same_bytes() -> None:
    """A package holds no time and no chance but the ids of its position."""
    assert package(ring=golden_ring()) == package(ring=golden_ring())
