"""Who may ask and who may order: tokens from a private file, and cookies that prove one without holding it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from poolpair.api.access import COOKIE_S, Role, Tokens, add_token, cookie_for
from poolpair.api.app import is_local_name
from poolpair.errors import Code, PoolpairError

NOW_S = 1_800_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one token of each role."""
    made = tmp_path / "api.tokens"
    add_token(made, Role.READER, "prometheus")
    add_token(made, Role.OPERATOR, "anna")
    return made


def test_tokens_are_drawn_private_and_told_apart(path: Path) -> None:
    """The file is ours alone; a token opens what its role may do, and nothing else opens anything."""
    assert path.stat().st_mode & 0o777 == 0o600
    tokens = Tokens(path)
    reader, operator = tokens.bearers()
    assert (tokens.by_token(reader.token), tokens.by_token(operator.token)) == (reader, operator)
    assert (reader.may(Role.READER), reader.may(Role.OPERATOR), operator.may(Role.READER)) == (True, False, True)
    for wrong in ("", operator.token[:-1], operator.token + "x", operator.token.swapcase(), "anna", "é" * 32):
        assert tokens.by_token(wrong) is None
    assert len({reader.token, operator.token}) == 2
    assert min(len(reader.token), len(operator.token)) == 32


def test_a_cookie_proves_a_token_for_a_while(path: Path) -> None:
    """It does not hold the token, opens nothing when it is altered or old, and dies with its token."""
    tokens = Tokens(path)
    operator = tokens.bearers()[1]
    cookie = cookie_for(operator, NOW_S)
    assert operator.token not in cookie
    assert tokens.by_cookie(cookie, NOW_S + COOKIE_S - 1) == operator
    assert tokens.by_cookie(cookie, NOW_S + COOKIE_S + 1) is None
    name, until, proof = cookie.split("~")
    later = str(int(until) + 1)
    for wrong in (
        f"{name}~{later}~{proof}",
        f"prometheus~{until}~{proof}",
        f"{name}~{until}~",
        "",
        "~~",
        f"{name}~-1~{proof}",
    ):
        assert tokens.by_cookie(wrong, NOW_S) is None, wrong
    path.write_text("\n".join(line for line in path.read_text().splitlines() if " anna " not in line) + "\n")
    assert tokens.by_cookie(cookie, NOW_S) is None
    assert tokens.by_token(operator.token) is None


def test_a_token_of_the_same_name_with_another_role_proves_nothing(path: Path) -> None:
    """A cookie of a time when somebody could order does not order any more when he may only look."""
    operator = Tokens(path).bearers()[1]
    cookie = cookie_for(operator, NOW_S)
    path.write_text(path.read_text().replace("operator anna", "reader anna"))
    assert Tokens(path).by_cookie(cookie, NOW_S) is None


WRONG = {
    "an unknown role": "root anna 0123456789abcdef",
    "a short token": "reader anna 0123456789abcde",
    "no name": "reader 0123456789abcdef",
    "more": "reader anna 0123456789abcdef more",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_line_that_is_not_understood_is_named(path: Path, name: str) -> None:
    """With its number and never its content; remarks and empty lines are none."""
    path.write_text(f"# who may look\n\n{WRONG[name]}\n")
    with pytest.raises(PoolpairError, match="line 3") as refused:
        Tokens(path).bearers()
    assert refused.value.code is Code.API_FILES
    assert "0123456789" not in str(refused.value)


def test_a_file_that_others_read_or_that_is_none_is_refused(path: Path, tmp_path: Path) -> None:
    """Before a token of it is believed."""
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(PoolpairError, match="not private"):
            Tokens(path).bearers()
    with pytest.raises(PoolpairError, match="No such file"):
        Tokens(tmp_path / "none").bearers()
    path.chmod(0o600)
    path.write_bytes(b"#" * 70_000)
    with pytest.raises(PoolpairError, match="larger than"):
        Tokens(path).bearers()


@pytest.mark.timeout(30)
def test_a_pipe_in_its_place_keeps_nobody_waiting(path: Path) -> None:
    """Opened, it would wait for whoever writes, and every answer of the API with it."""
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(PoolpairError, match="is no file"):
        Tokens(path).bearers()


def test_names_are_plain_and_used_once(path: Path) -> None:
    """The audit names them."""
    for name in ("a b", "", "a\nb", "x" * 65, "ä"):
        with pytest.raises(PoolpairError, match="no name"):
            add_token(path, Role.READER, name)
    with pytest.raises(PoolpairError, match="already"):
        add_token(path, Role.READER, "anna")
    assert len(Tokens(path).bearers()) == 2


def test_only_names_of_this_machine_are_local() -> None:
    """A page elsewhere may let its own name point at loopback."""
    assert all(map(is_local_name, ("127.0.0.1:7462", "localhost", "[::1]:7462", "127.8.8.8", "")))
    assert not any(
        map(is_local_name, ("evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", "localhost.evil.example"))
    )


def test_a_token_is_not_glued_to_a_last_line_without_an_end(path: Path) -> None:
    """A file that a program wrote may end without a line's end; all tokens of it go on to count."""
    path.write_text(path.read_text().rstrip("\n"))
    before = Tokens(path).bearers()
    made = add_token(path, Role.READER, "grafana")
    assert Tokens(path).bearers() == (*before, made)
