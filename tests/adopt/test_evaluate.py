"""A configuration is read as Prosody reads it, does nothing to this machine, and whatever is wrong with it is said in one line."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from poolpair.adopt.lua import evaluate
from poolpair.adopt.prosody import read_prosody
from poolpair.errors import Code, PoolpairError
from tests.unit.unprivileged import as_nobody, reachable_folder

PROSODYS_OWN = """
package.path, package.cpath = "/usr/lib/prosody/?.lua;" .. package.path, "/usr/lib/prosody/?.so;" .. package.cpath
local config = require "core.configmanager"
assert(config.load(arg[1]))
local out = {}
for host, options in pairs(config.getconfig()) do out[host] = options end
io.write(require "util.json".encode(out))
"""
"""Prosody's own reader, which the test asks for the same file."""

ONE = """
-- options, tables, and what may be computed
admins = { "root@a.example" }
local base = "a.exa" .. ("mple"):lower()
modules_enabled = { "roster"; "pep", [3] = "mam" }
storage = { archive = "sql"; roster = "sql" }
default_storage = os.getenv("HOME") and "sql" or "internal"
limits = { c2s = { rate = "10kb/s" }; [1] = 0.5, deep = { { 1 }, { x = true } } }
from_env = ENV_HOME
not_there = ENV_POOLPAIR_IS_NOT_SET
umlaut = "K\\xc3\\xb6ln \\1 \\" \\\\ \\u{1F600}"
VirtualHost "A.Example"
    enabled = false
    authentication = "internal_hashed"
VirtualHost(base)
    disco_hidden = true
Component ("rooms." .. base) "muc" { modules_enabled = { "muc_mam" } }
back_to_the_server = true
Component "share.a.example" "http_file_share"
    http_file_share_size_limit = 10 * 1024 * 1024
Component "gate.a.example"
    component_secret = "x"
Include "more.cfg.lua"
still_of_gate = 1
Include "conf.d/*.cfg.lua"
VirtualHost "b.example" { enabled = false; sql = { driver = "SQLite3" } }
"""
MORE = """
of_the_server = "yes"
VirtualHost "a.example"
    name = "added"
"""
GLOBBED = 'VirtualHost "from-{n}.example"\n'


def written(folder: Path, text: str | bytes) -> Path:
    """A configuration with this text."""
    path = folder / "prosody.cfg.lua"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def complaint(path: Path, **how: float) -> str:
    """What is said of a configuration that cannot be read."""
    with pytest.raises(PoolpairError) as caught:
        evaluate(path, **how) if how else read_prosody(path)
    assert caught.value.code is Code.APPLICATION
    assert caught.value.exit_status == 64
    assert "\n" not in caught.value.detail
    assert caught.value.detail.isprintable()
    return caught.value.detail


def prosodys_own(path: Path) -> dict[str, dict[str, object]]:
    """What Prosody itself makes of a configuration."""
    command = ["lua5.4", "-", str(path)]
    done = subprocess.run(command, input=PROSODYS_OWN, capture_output=True, text=True, check=True, cwd="/")
    found: dict[str, dict[str, object]] = json.loads(done.stdout)
    return found


def plain(value: object) -> object:
    """Without what two writers of JSON do differently: an empty table, and numbers as keys."""
    if isinstance(value, dict):
        listed = {key: plain(each) for key, each in value.items() if key != "__array"}
        return listed or []
    return [plain(each) for each in value] if isinstance(value, list) else value


def test_it_is_what_prosody_reads(tmp_path: Path) -> None:
    """Options, hosts opened again, components, included files, the environment: all as Prosody's own reader has them."""
    path = written(tmp_path, ONE)
    (tmp_path / "more.cfg.lua").write_text(MORE)
    (tmp_path / "conf.d").mkdir()
    for name in ("1.cfg.lua", "2.cfg.lua", ".hidden.cfg.lua", "3.cfg.lua.bak"):
        (tmp_path / "conf.d" / name).write_text(GLOBBED.format(n=name[0]))
    ours = json.loads(evaluate(path))
    theirs = prosodys_own(path)
    mixed = ours["hosts"]["*"].pop("limits")
    assert mixed == {"1": 0.5, "c2s": {"rate": "10kb/s"}, "deep": [[1], {"x": True}]}
    theirs["*"].pop("limits")
    assert plain(ours["hosts"]) == plain(theirs)
    assert set(ours["hosts"]) == {
        "*", "a.example", "rooms.a.example", "share.a.example", "gate.a.example", "b.example", "from-1.example", "from-2.example",
    }  # fmt: skip
    assert ours["environment"] == {"HOME": True, "POOLPAIR_IS_NOT_SET": False}


def test_debians_own_configuration_is_read() -> None:
    """As the package brings it, with its conf.d."""
    prosody = read_prosody(Path("/etc/prosody/prosody.cfg.lua"))
    assert [host.name for host in prosody.hosts] == ["localhost"]
    assert dict(prosody.hosts[0].stores()) == {"every store": "internal"}
    assert prosody.socket == Path("/var/lib/prosody/prosody.sock")


def test_what_is_given_twice_is_said(tmp_path: Path) -> None:
    """The last one counts, as in Prosody, and the line is named."""
    prosody = read_prosody(written(tmp_path, 'VirtualHost "a.example"\nenabled = true\nenabled = false\n'))
    (warning,) = prosody.warnings
    assert warning == f"{tmp_path}/prosody.cfg.lua:3: enabled is given twice, the last one counts"
    assert not prosody.hosts[0].is_enabled


WRONG = {
    "foo(": "prosody.cfg.lua:1: unexpected symbol near <eof>",
    "x = nothing.at_all": "prosody.cfg.lua:1: attempt to index a nil value",
    '\n\nVirtualHost ""': "prosody.cfg.lua:3: a VirtualHost must have a name",
    'Component "x.example" "muc"\nVirtualHost "x.example"': "x.example is a Component already",
    'VirtualHost "x.example"\nComponent "x.example" "muc"': "x.example is a VirtualHost already",
    'VirtualHost "x.example" "muc"': "expected a table of options for x.example, not a string",
    'Include "gone.cfg.lua"': "gone.cfg.lua: No such file or directory",
    'Include "gone.d/*.cfg.lua"': "gone.d/: No such file or directory",
    'Include "prosody.cfg.lua"': "files include each other in a circle",
    'Include "/dev/zero"': "/dev/zero is larger than 1 MiB",
    "error({})": "it ends with an error that is no text",
    "error('a\\n\\27[31mb')": "cannot be evaluated",
    "local function f() return f() + 1 end f()": "stack overflow",
    "x = string.rep('a', 1000000000)": "not enough memory",
    "local x = {} for i = 1, 1e9 do x[i] = {} end": "not enough memory",
    "x = string.rep('a', 5000000)": "it says more than 4 MiB",
    "local x = {} x.x = x y = x": "a table lies in more than 12 others",
    "os.execute('id')": "os.execute is not evaluated here",
    "io.popen('id')": "io.popen is not evaluated here",
    "require 'os'": "require is not evaluated here",
    "dofile('/etc/hostname')": "dofile is not evaluated here",
    "load('x = 1')": "load is not evaluated here",
    "RunScript 'x'": "RunScript is not evaluated here",
    "os.exit(0)": "attempt to call a nil value (field 'exit')",
    "debug.getinfo(1)": "attempt to index a nil value (global 'debug')",
    "os.remove('/etc/hostname')": "attempt to call a nil value (field 'remove')",
    "storage = 5": "the server: storage",
    "VirtualHost 'a.example'\nsql = 'PostgreSQL'": "a.example: sql",
    "sql = { driver = 'PostgreSQL', port = 'none' }": "the server: sql.port",
    "modules_enabled = { 1, {} }": "the server: modules_enabled.0",
    "enabled = 'perhaps'": "the server: enabled",
}


@pytest.mark.parametrize(("text", "words"), WRONG.items(), ids=range(len(WRONG)))
def test_what_is_wrong_is_said_in_a_line(tmp_path: Path, text: str, words: str) -> None:
    """The file, its line where there is one, and what is wrong; never more than that, never a traceback."""
    assert words in complaint(written(tmp_path, text))


def test_a_password_is_not_part_of_a_complaint(tmp_path: Path) -> None:
    """Values that do not fit are not repeated."""
    assert "hunter2" not in complaint(written(tmp_path, "sql = { driver = 'PostgreSQL', password = { 'hunter2' } }"))


def test_what_never_ends_is_ended(tmp_path: Path) -> None:
    """A loop, also one that catches its errors, and a file that nobody writes to."""
    began_s = time.monotonic()
    os.mkfifo(tmp_path / "pipe")
    for text in ("while true do end", "while true do pcall(error) end", f'Include "{tmp_path}/pipe"'):
        assert "was not evaluated within 0.3 s" in complaint(written(tmp_path, text), time_max_s=0.3)
    assert time.monotonic() - began_s < 5


@pytest.mark.parametrize(
    "content", [b"\x7fELF\x02\x01\x01\0\0", b"\x1bLua\x54\0", b"\xff\xfe\0\0", b"SQLite format 3\0"]
)
def test_a_binary_file_is_no_configuration(tmp_path: Path, content: bytes) -> None:
    """Compiled code is not run either."""
    assert "cannot be evaluated" in complaint(written(tmp_path, content))


def test_places_that_hold_no_configuration(tmp_path: Path) -> None:
    """Nothing there, a folder, a pipe, an empty file."""
    assert "cannot be read: No such file or directory" in complaint(tmp_path / "gone")
    assert "is no regular file" in complaint(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "is no regular file" in complaint(tmp_path / "pipe")
    assert read_prosody(written(tmp_path, "")).hosts == ()


def test_a_file_that_may_not_be_read_is_named() -> None:
    """Whether it is the configuration itself, or one that it includes."""
    with reachable_folder() as folder:
        for name, text in (("prosody.cfg.lua", 'Include "secret.cfg.lua"'), ("secret.cfg.lua", "")):
            (folder / name).write_text(text)
        (folder / "secret.cfg.lua").chmod(0o600)
        path = folder / "prosody.cfg.lua"
        assert f"includes {folder}/secret.cfg.lua: Permission denied" in as_nobody(lambda: read_prosody(path))
        path.chmod(0o600)
        assert as_nobody(lambda: read_prosody(path)) == f"P108: {path} cannot be read: Permission denied"


def test_nothing_is_written_by_it(tmp_path: Path) -> None:
    """Not even by what Lua can do with an open file."""
    target = tmp_path / "target"
    target.write_text("kept")
    text = f'local f = io.open("{target}", "r") pcall(f.write, f, "changed") f:close() x = io.lines("{target}")()'
    path = written(tmp_path, text)
    assert json.loads(evaluate(path))["hosts"]["*"] == {"x": "kept"}
    assert "opening a file to write" in complaint(written(tmp_path, f'io.open("{target}", "a")'))
    assert target.read_text() == "kept"


def test_text_that_is_no_utf8_does_not_end_it(tmp_path: Path) -> None:
    """Such signs are replaced; everything else stands."""
    assert json.loads(evaluate(written(tmp_path, b'name = "K\xf6ln"')))["hosts"]["*"] == {
        "name": "K\N{REPLACEMENT CHARACTER}ln"
    }
