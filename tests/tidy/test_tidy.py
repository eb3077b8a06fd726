"""House rules that no linter knows. Each exception stands in a dict here, with its reason."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]

FILE_LINES = 300
FUNCTION_LINES = 60
# A ratchet: an entry may shrink and go, never grow. "path" or "path::function" -> lines it has today.
LONGER: dict[str, int] = {}

BANNED_CALLS = re.compile(r"unittest\.mock\b|time\.sleep$|pytest\.(mark\.)?(skip(if)?|xfail)$|pytest\.importorskip$")
# "path: name" -> why it must be so.
ALLOWED_CALLS: dict[str, str] = {
    "src/poolpair/cli/work.py: time.sleep": "a command watches another process, which has no event to wait for",
    "src/poolpair/lab/crash.py: time.sleep": "the middle of an apply is short and can only be looked for",
    "src/poolpair/lab/waiting.py: time.sleep": "the demo watches real service processes from outside",
}

BANNED_STEMS = re.compile(r"(^|_)(utils?|managers?|helpers?)($|_)")
BROAD = {"Exception", "BaseException"}

# Spelled in pieces, or this file would break its own rule.
HOSTS = re.compile(
    "|".join(re.escape(f"{name}.{top}") for name, top in [
        ("pypi", "org"), ("pythonhosted", "org"), ("debian", "org"), ("ubuntu", "com"), ("docker", "io"),
        ("ghcr", "io"), ("quay", "io"), ("npmjs", "org"), ("npmjs", "com"), ("crates", "io"),
    ])
)  # fmt: skip
WORKPLACE = re.compile("/" + r"work/|\b[Ss]es" + r"sions?\b")
# Where the word means something else: (path, the text around it) -> why.
ALLOWED_WORDS: dict[tuple[str, str], str] = {
    ("tests/conftest.py", 'scope="' + "ses" + 'sion"'): "pytest's own word for the longest scope",
    ("src/poolpair/share/smb/line.py", "ses" + "sion_id"): "SMB's own word, an attribute of its library",
    ("src/poolpair/share/smb/connection.py", "ses" + "sion_table"): "the same",
    ("src/poolpair/share/smb/connection.py", "ses" + "sion_id"): "the same",
    ("src/poolpair/share/smb/line.py", "from smbprotocol.ses" + "sion import"): "a module of the library",
    ("docs/SQLITE.md", "`ses" + "sion`"): "a table of Trac's",
    ("docs/SQLITE.md", "`ses" + "sions`"): "a table of Roundup's",
    ("tests/applications/on_sqlite.py", '"ses' + "sion"): "the same tables",
    ("tests/applications/on_sqlite.py", "django_ses" + "sion"): "a table of Django's",
    ("tests/seed/conftest.py", 'scope="' + "ses" + 'sion"'): "pytest's own word for the longest scope",
}


class Source(NamedTuple):
    """One file as the rules see it."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return _parse(self.text)


@cache
def _parse(text: str) -> ast.Module:
    return ast.parse(text)


@cache
def _paths() -> list[str]:
    """What git tracks or would take up next; without git, every file that is not hidden or generated."""
    try:
        command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        outside = re.compile(r"^(\.(?!ci/|gitignore)|build/|dist/|demo/)|__pycache__|\.egg-info/")
        listed = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*")]
        listed = [path for path in listed if not outside.search(path)]
    return sorted(path for path in set(listed) if path and (ROOT / path).is_file())


def _files(pattern: str) -> list[Source]:
    chosen = [path for path in _paths() if re.search(pattern, path)]
    return [Source(path, (ROOT / path).read_bytes().decode("utf-8", "replace")) for path in chosen]


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def long_files(source: Source) -> Iterator[str]:
    lines, limit = source.text.count("\n"), LONGER.get(source.path, FILE_LINES)
    if lines > limit:
        yield f"{source.path} has {lines} lines, more than {limit}: split it by what its parts are about"


def long_functions(source: Source) -> Iterator[str]:
    for node in _functions(source.tree):
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        limit = LONGER.get(f"{source.path}::{node.name}", FUNCTION_LINES)
        if lines > limit:
            yield f"{source.path}:{node.lineno} {node.name} has {lines} lines, more than {limit}"


def banned_calls(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute):
            names = [ast.unparse(node)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if BANNED_CALLS.search(name) and f"{source.path}: {name}" not in ALLOWED_CALLS:
                why = "use a hand-written double, wait for the event itself, or make the test run"
                yield f"{source.path}:{node.lineno} {name}: {why}"


def vague_names(source: Source) -> Iterator[str]:
    for part in Path(source.path).with_suffix("").parts:
        if BANNED_STEMS.search(part):
            yield f"{source.path}: {part!r} says nothing; name it after what it does"


def broad_excepts(source: Source) -> Iterator[str]:
    lines = source.text.splitlines()
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} if node.type else BROAD
        comment = re.sub(r"#?\s*noqa\S*[ A-Z0-9,]*", "", lines[node.lineno - 1].partition("#")[2])
        if caught & BROAD and len(comment.split()) < 3:
            yield f"{source.path}:{node.lineno} catches everything: say why in a comment on the same line"


def missing_docstrings(source: Source) -> Iterator[str]:
    if not ast.get_docstring(source.tree):
        yield f"{source.path} needs a docstring that says what the module is for"


def unexplained_tests(source: Source) -> Iterator[str]:
    for node in _functions(source.tree):
        first = (ast.get_docstring(node) or "").split("\n\n")[0]
        if node.name.startswith("test_") and not first.endswith("."):
            yield f"{source.path}:{node.lineno} {node.name} needs one sentence that says what holds"


def registry_hosts(source: Source) -> Iterator[str]:
    for number, line in enumerate(source.text.splitlines(), 1):
        if HOSTS.search(line):
            yield f"{source.path}:{number} names a package registry: where packages come from is the machine's setting"


def workplace_words(source: Source) -> Iterator[str]:
    allowed = [around for path, around in ALLOWED_WORDS if path == source.path]
    for number, line in enumerate(source.text.splitlines(), 1):
        found = WORKPLACE.search(line)
        if found and not any(around in line for around in allowed):
            yield f"{source.path}:{number} says {found[0]!r}: the files speak of the project, not of where it is made"


MODULES, PYTHON, ANY = r"^src/.*\.py$", r"^(src|tests)/.*\.py$", r""
Rule = Callable[[Source], Iterator[str]]
RULES: list[tuple[Rule, str]] = [
    (long_files, MODULES),
    (long_functions, MODULES),
    (banned_calls, PYTHON),
    (vague_names, ANY),
    (broad_excepts, PYTHON),
    (missing_docstrings, MODULES),
    (unexplained_tests, r"^tests/.*\.py$"),
    (registry_hosts, ANY),
    (workplace_words, ANY),
]


@pytest.mark.parametrize(("rule", "pattern"), RULES, ids=[rule.__name__ for rule, _ in RULES])
def test_rule_holds(rule: Rule, pattern: str) -> None:
    """Every file that the rule speaks of keeps it."""
    files = _files(pattern)
    assert files, f"no file matches {pattern}"
    broken = [line for source in files for line in rule(source)]
    assert not broken, "\n" + "\n".join(broken)


BREAKS: list[tuple[Rule, str]] = [
    (long_files, "\n" * (FILE_LINES + 1)),
    (long_functions, "def f():\n" + "    x = 1\n" * FUNCTION_LINES),
    (banned_calls, "from unittest.mock import patch"),
    (banned_calls, "from unittest import mock"),
    (banned_calls, "import time\ntime.sleep(1)"),
    (banned_calls, "from time import sleep"),
    (banned_calls, "@pytest.mark.skipif(True)\ndef test_it(): ..."),
    (broad_excepts, "try: ...\nexcept Exception: ..."),
    (broad_excepts, "try: ...\nexcept (ValueError, BaseException):  # noqa: BLE001\n    ..."),
    (broad_excepts, "try: ...\nexcept: ..."),
    (missing_docstrings, "x = 1"),
    (unexplained_tests, "def test_it(): ..."),
    (registry_hosts, "https://" + "pypi" + ".org/simple"),
    (workplace_words, "cd /" + "work/x"),
    (workplace_words, "this ses" + "sion"),
]


@pytest.mark.parametrize(("rule", "text"), BREAKS)
def test_rule_sees_a_breach(rule: Rule, text: str) -> None:
    """A rule that can never fail is no rule."""
    assert list(rule(Source("src/poolpair/example.py", text)))


def test_vague_name_is_seen_in_a_folder_too() -> None:
    """The name of a package counts like that of a file."""
    assert list(vague_names(Source("src/poolpair/share_utils/smb.py", "")))


def test_a_reason_makes_a_broad_except_fair() -> None:
    """The rule wants the reason, not the absence."""
    text = "try: ...\nexcept Exception as error:  # one bad row stops one group, whatever it raises\n    ..."
    assert not list(broad_excepts(Source("src/poolpair/example.py", text)))


def test_ratchet_is_tight() -> None:
    """An exception to the limits goes as soon as it is no longer needed."""
    for entry, lines in LONGER.items():
        path, _, name = entry.partition("::")
        source = Source(path, (ROOT / path).read_text())
        sizes = [(n.end_lineno or n.lineno) - n.lineno + 1 for n in _functions(source.tree) if n.name == name]
        today = max(sizes, default=0) if name else source.text.count("\n")
        assert today == lines > (FUNCTION_LINES if name else FILE_LINES), f"{entry} has {today} lines now: say so"


def test_pure_modules_are_under_contract() -> None:
    """import-linter cannot name a module that does not exist yet, so here it is asked for once it does."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (forbidden,) = [each for each in settings["contracts"] if "poolpair.pipeline.*" in each.get("source_modules", ())]
    pure = ("cycle", "protocol", "model")
    there = {f"poolpair.{path.stem}" for path in (ROOT / "src/poolpair").iterdir() if path.stem in pure}
    missing = sorted(there - set(forbidden["source_modules"]))
    assert not missing, f"pyproject.toml, {forbidden['name']!r}: add {missing} to source_modules"
