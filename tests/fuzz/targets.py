"""What is fuzzed: each parser with inputs that it accepts, words of its language, and what must hold whatever it is given.

A parser may accept, or refuse with an error of ours. Anything else that leaves it is a finding. What was accepted has to mean the same
when it is written and read again, where it can be written.
"""

from __future__ import annotations

import io
import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp

from poolpair.config import load_config
from poolpair.documents import decode, encode
from poolpair.errors import PoolpairError
from poolpair.format.container import unwrap_single, wrap_single
from poolpair.format.cookie import MEMBER, open_cookie, seal_cookie
from poolpair.format.layout import PoolIdentity, package_name, parse_package_name
from poolpair.format.package import PackageReader
from poolpair.keyfile import parse_key_text
from poolpair.model import Channel, Cookie, Manifest
from poolpair.pairing import Invitation, invite, read_invitation, write_invitation
from poolpair.smb_address import parse_smb
from poolpair.store.profile import match_path
from poolpair.store.profile_file import load_profile, parse_profile
from poolpair.store.sqlite.index_terms import split_index
from poolpair.store.sqlite.virtual import written_by
from poolpair.store.tree import safe_path
from tests.badinput.ground import PROFILE
from tests.unit.format.format_samples import POSITION, RING, STORE, manifest, name_of, package

ROOT = Path(__file__).parents[2]
JSON_WORDS = (
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b'"',
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"\\ud800",
    b"\xff",
    b'{"a":',
    b"[[",
)
TOML_WORDS = (
    *(
        b"[",
        b"]",
        b"[[",
        b"]]",
        b"{",
        b"}",
        b"=",
        b".",
        b'"',
        b"'",
        b'"""',
        b"'''",
        b"\n",
        b"#",
        b",",
        b"\\u0000",
        b"\\U0010ffff",
    ),
    *(
        b"true",
        b"1979-05-27",
        b"inf",
        b"nan",
        b"0x",
        b"[homes]\n",
        b"[[tables]]\n",
        b"[[files]]\n",
        b"*",
        b"a = [",
        b"a.b.",
    ),
    *(
        b"whole = true\n",
        b"without = ",
        b"skip = ",
        b"key = ",
        b"home_key = ",
        b"where = ",
        b"{*path}",
        b"{x}",
        b"}{",
        b"../",
    ),
)


@dataclass(frozen=True)
class Target:
    """One parser. `share` is how often it is chosen: cheap ones more often."""

    name: str
    run: Callable[[bytes], str]
    """Gives a word for what came of it; new words make an input worth keeping to go on from."""
    inputs: tuple[bytes, ...]
    words: tuple[bytes, ...]
    share: int


def outcome(parse: Callable[[], object]) -> str:
    """What a parser made of its input, without what is particular to it."""
    try:
        found = parse()
    except PoolpairError as error:
        return re.sub(r"""'[^']*'|"[^"]*"|[0-9]+|\S*/\S*""", "", f"{error.code}{error.detail}")[:160]
    return f"accepted {type(found).__name__}"


def _package(data: bytes) -> str:
    def parse() -> PackageReader:
        how = {"reader_pool": "oslo", "origin": "lyon", "channel": Channel.USERS, "name": name_of()}
        reader = PackageReader(io.BytesIO(data), RING, **how)  # type: ignore[arg-type]
        reader.check()
        assert data in PACKAGES, "a package that nobody made was accepted"
        return reader

    return outcome(parse)


def _manifest(data: bytes) -> str:
    return outcome(lambda: _again(Manifest, data))


def _again(cls: type[Manifest | Cookie], data: bytes) -> object:
    value = decode(cls, data)
    try:
        text = encode(value)
    except ValueError:
        return None  # a lone surrogate, which cannot travel
    assert decode(cls, text) == value, "it is read otherwise when it is written again"
    return value


def _cookie(data: bytes) -> str:
    def parse() -> Cookie:
        found = open_cookie(data, RING, reader_pool="oslo", channel=Channel.USERS)
        assert data == SEALED, "a cookie that nobody made was accepted"
        return found

    return outcome(parse)


def _cookie_inside(data: bytes) -> str:
    """The same behind a container that is in order, as somebody makes it who has no key."""

    def parse() -> Cookie:
        found = open_cookie(wrap_single(MEMBER, data), RING, reader_pool="oslo", channel=Channel.USERS)
        assert data == UNWRAPPED, "a cookie that nobody made was accepted"
        return found

    return outcome(parse)


def _cookie_text(data: bytes) -> str:
    return outcome(lambda: _again(Cookie, data))


def _profile(data: bytes) -> str:
    def parse() -> object:
        found = parse_profile(data, "fuzzed")
        assert parse_profile(data, "again").digest == found.digest
        for path in (b"a/b/c", b"up/u@a/x.bin", b"x", b"\xff/\n"):
            match_path(found, path)
        return found

    return outcome(parse)


def _config(data: bytes) -> str:
    path = SCRATCH / "fuzzed.toml"
    path.write_bytes(data)
    return outcome(lambda: load_config(path))


def _names(data: bytes) -> str:
    text = data.decode("utf-8", "surrogateescape")
    found = parse_package_name(text)
    placed = outcome(lambda: safe_path(data))
    if placed.startswith("accepted"):
        resolved = os.path.normpath(b"/share/" + data)
        assert resolved.startswith(b"/share/"), "a path leaves its folder"
    match_path(PROSODY, data)
    return f"{found is not None} {placed} {outcome(lambda: PoolIdentity.parse(data))}"


def _invitation(data: bytes) -> str:
    path = SCRATCH / "fuzzed.invite"
    path.write_bytes(data)
    path.chmod(0o600)

    def parse() -> Invitation:
        found = read_invitation(path)
        found.is_over(datetime(2026, 1, 1, tzinfo=UTC))
        return found

    # Most inputs end at the checksum; those of a stranger would not.
    first = outcome(parse)
    try:
        fixed = decode(Invitation, data)
        path.write_text(encode_all(replace(fixed, checksum=fixed.summed())))
    except (PoolpairError, ValueError):
        return first
    return first + outcome(parse)


def encode_all(invitation: Invitation) -> str:
    """The text of an invitation."""
    from poolpair.documents import encode_line

    return encode_line(invitation)


def _key(data: bytes) -> str:
    return outcome(lambda: parse_key_text(data))


def _statements(data: bytes) -> str:
    """Texts out of a database's catalogue: whatever they are, they are split without an error."""
    text = data.decode("utf-8", "replace")
    terms, condition = split_index(text)
    written = written_by(text)
    return f"{min(len(terms), 5)} {bool(condition)} {min(len(written), 3)}"


def _addresses(data: bytes) -> str:
    text = data.decode("utf-8", "surrogateescape")
    try:
        found = parse_smb(text)
    except ValueError:
        return "refused"
    assert parse_smb(str(found)) == found
    return "accepted"


SCRATCH = Path(mkdtemp(prefix="poolpair-fuzz-"))
PACKAGES = (package({"rows/0001.0001": b"a row\n" * 20, "files/0001": b"of a file" * 9}), package({}))
PROSODY = load_profile("prosody")
_COOKIE = Cookie(channel=Channel.USERS, origin="lyon", serial=7, store_id=STORE, nonce="33" * 16, applied=POSITION)
SEALED = seal_cookie(_COOKIE, RING, target="oslo")
UNWRAPPED = unwrap_single(MEMBER, SEALED)
_KEY = (ROOT / "tests/golden/pair_v1.key").read_bytes()
_POOL_FILE = b"""pool = "a"
store = "sqlite:////var/lib/x.sqlite"
profile = "prosody"
share = "/srv/share-a"
files = "/var/lib"
front_end = "one"
[partner]
pool = "b"
share = "smb://files.b.example/pools/b"
key_file = "/etc/pair.key"
[homes]
"a.example" = "a"
"*.b.example" = "b"
shared = "a"
[sync]
interval = "2m"
conference_max = "100MiB"
[bandwidth]
zone = "Europe/Paris"
users = 2000
conferences = ["500", "100 mon-fri 08:00-18:00", "unlimited sat,sun"]
[hooks]
after_serve = ["/bin/true", "x"]
timeout = "1m"
[gate]
wait = "never"
[api]
listen = "127.0.0.1:7462"
[guard]
delete_fraction = "20%"
"""


def _invited() -> bytes:
    made = invite(SCRATCH / "pair.key", "a", "b", timedelta(hours=1), datetime(2026, 1, 1, tzinfo=UTC))
    write_invitation(made, SCRATCH / "made.invite")
    return (SCRATCH / "made.invite").read_bytes()


def _catalogue() -> tuple[bytes, ...]:
    with closing(sqlite3.connect(":memory:")) as memory:
        from tests.badinput.test_hostile_application import FILL
        from tests.badinput.test_values import SCHEMA

        memory.executescript(SCHEMA)
        memory.executescript(FILL)
        found = memory.execute("SELECT sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL")
        return tuple(str(sql).encode() for (sql,) in found)


SHIPPED = (ROOT / "src/poolpair/profiles/prosody.toml").read_bytes()
_ZIP = (b"PK\1\2", b"PK\5\6", b"PK\3\4", b"\0" * 8, b"manifest", b"rows/", b"\n")
_PATHS = (b"/", b"..", b"\0", b"backup-", b"-", b".zip", b"%2e", b"\xff")
_SQL = (
    b"(",
    b")",
    b"'",
    b'"',
    b"`",
    b"[",
    b"]",
    b"--",
    b"/*",
    b"*/",
    b"\n",
    b",",
    b" WHERE ",
    b"INSERT INTO ",
    b"UPDATE ",
    b"BEGIN ",
)
_URLS = (b"/", b"\\", b":", b"@", b"[", b"]", b"smb:", b"\0", b"\xff")
_FILE_NAMES = (package_name(POSITION).encode(), b"a.example/http_file_share/x%2dy.bin", b"a/../b", b'{"pool": "a"}')
_SERVERS = (b"smb://server:445/share/a/b", b"\\\\server\\share\\dir", b"smb://[::1]/s")
_WHOLE_PROFILE = b'whole = true\nwithout = ["a*"]\nskip = ["*.x"]\n'
TARGETS: tuple[Target, ...] = (
    Target("package", _package, PACKAGES, (*_ZIP, *JSON_WORDS), 8),
    Target("manifest", _manifest, (encode(manifest()).encode(),), JSON_WORDS, 10),
    Target("cookie", _cookie, (SEALED,), (*_ZIP, *JSON_WORDS), 8),
    Target("cookie inside", _cookie_inside, (UNWRAPPED,), (*_ZIP, *JSON_WORDS), 8),
    Target("cookie text", _cookie_text, (encode(_COOKIE).encode(),), JSON_WORDS, 10),
    Target("profile", _profile, (PROFILE.encode(), SHIPPED, _WHOLE_PROFILE), TOML_WORDS, 2),
    Target("pool file", _config, (_POOL_FILE,), TOML_WORDS, 1),
    Target("file names", _names, _FILE_NAMES, _PATHS, 30),
    Target("invitation", _invitation, (_invited(),), JSON_WORDS, 3),
    Target("key file", _key, (_KEY,), JSON_WORDS, 10),
    Target("catalogue", _statements, _catalogue(), _SQL, 1),
    Target("file server", _addresses, _SERVERS, _URLS, 10),
)
