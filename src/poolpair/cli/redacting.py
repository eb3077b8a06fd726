"""What a text that leaves the machine must not hold: every secret that the pool file leads to, and whatever is written like one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from poolpair.api.access import DEFAULT_NAME
from poolpair.config import PoolConfig
from poolpair.errors import PoolpairError
from poolpair.scratch import scratch_of
from poolpair.share.smb.login import read_login

HIDDEN = "***"
_WORD_MIN = 8
"""Shorter words of files of secrets are names and punctuation."""
_PASSWORD_MIN = 4
"""A shorter one would take letters out of every other word; it is taken out only where it is written as one."""
_HEADER = re.compile(r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(\s*[=:]\s*)[^\n]*")
_NAMED = re.compile(
    r"""(?ix) ( \w* (?: password | passwd | secret | token | api_?key ) ["']? \s*[=:]\s* | \b (?: password | passwd | bearer | token ) \s+ )
    ( "[^"\n]*" | '[^'\n]*' | [^\s,;&"']+ )"""
)
_IN_URL = re.compile(r"(://[^/@:\s]*):[^/\s]*@")


def known_secrets(config: PoolConfig) -> tuple[str, ...]:
    """Passwords of databases and file servers, every word of the files of keys and tokens, and what hooks are told; longest first."""
    found = {*_of_urls(config), *_of_logins(config), *_of_files(config), *_of_hooks(config)}
    return tuple(sorted((each for each in found if len(each) >= _PASSWORD_MIN), key=len, reverse=True))


def without(text: str, secrets: Iterable[str]) -> str:
    """A text with every known secret, and whatever is written like one, taken out."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    text = _IN_URL.sub(rf"\1:{HIDDEN}@", _HEADER.sub(rf"\1\2{HIDDEN}", text))
    return _NAMED.sub(lambda found: f"{found[1]}{_hidden(found[2])}", text)


def _hidden(value: str) -> str:
    quote = value[0] if value[0] in "\"'" else ""
    return f"{quote}{HIDDEN}{quote}"


def without_words(command: Iterable[str]) -> str:
    """A hook as it may be shown: the program, and how many words it is given."""
    words = tuple(command)
    if not words:
        return "none"
    count = len(words) - 1
    return f"{words[0]} with {count} {'word' if count == 1 else 'words'}" if count else words[0]


def _of_urls(config: PoolConfig) -> Iterator[str]:
    for url in (config.store, config.cms.store if config.cms else ""):
        for raw in (*re.findall(r"://[^/@:]*:([^/]*)@", url), *re.findall(r"[?&](?:ssl)?password=([^&]*)", url)):
            yield raw
            yield unquote(raw)


def _of_logins(config: PoolConfig) -> Iterator[str]:
    files = (
        config.share_credentials,
        config.partner.share_credentials,
        config.cms.share_credentials if config.cms else None,
    )
    for path in files:
        with suppress(PoolpairError):
            yield read_login(path).password
        yield from _words_in(path)  # also of one that cannot be used as it is


def _of_files(config: PoolConfig) -> Iterator[str]:
    tokens = config.api.tokens or scratch_of(config) / DEFAULT_NAME
    for path in (config.partner.key_file, tokens, config.api.certificate_key, config.member_key):
        yield from _words_in(path)


def _words_in(path: Path | None) -> Iterator[str]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace") if path else ""
    except OSError:
        return
    yield from (word for word in re.split(r"[\s\"',:={}\[\]]+", text) if len(word) >= _WORD_MIN)


def _of_hooks(config: PoolConfig) -> Iterator[str]:
    """The words that hooks are given, as status and audit write them one after the other."""
    for _, command in config.hooks.commands:
        if len(command) > 1:
            yield shlex.join(command[1:])
            yield from (word for word in command[1:] if len(word) >= _WORD_MIN and "/" not in word)
