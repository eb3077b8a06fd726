"""`poolpair`: the program. Turns errors into one line, a hint and an exit status; never a traceback for an expected failure."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import typer
from rich.text import Text

from poolpair.cli.context import app, talk
from poolpair.errors import PoolpairError

__all__ = ["app", "main"]

COMMANDS = {
    "prosody": ("prosody",),
    "settings": ("key", "config", "init", "uninstall", "adopt-store"),
    "running": ("run",),
    "work": ("sync", "verify"),
    "api": ("api", "token"),
    "audit": ("audit",),
    "bundle": ("support-bundle",),
    "look": ("status", "inspect"),
    "check": ("check",),
    "decide": ("parked", "held", "setback"),
    "failover": ("failover", "failback", "ledger"),
    "fence": ("fence", "gate"),
    "hook": ("hook",),
    "drill": ("drill",),
    "pair": ("pair",),
    "parting": ("unpair",),
    "pausing": ("pause", "resume"),
    "quarantine": ("quarantine",),
    "profile": ("profile",),
    "share": ("share",),
    "adopt": ("adopt",),
    "cms": ("cms",),
    "topology": ("topology",),
    "lab": ("lab",),
}
"""Which module registers which commands, in the order in which `--help` lists them."""

# A command or option that does not exist is "the command is wrong" here; the 2 of a usage error would read as "an error, or the partner is
# silent". Reached through a class that typer exports, since it brings its own copy of click.
setattr(typer.BadParameter.__base__, "exit_code", 64)  # noqa: B010 - mypy knows no attributes of a base


def modules_for(words: Iterable[str]) -> tuple[str, ...]:
    """The module of the command that these words give; all of them where the words ask about the program, or are none that are known."""
    left = iter(words)
    for word in left:
        if word in {"-c", "--config"}:
            next(left, None)
        elif not word.startswith(("-c", "--config=", "--cms")):
            return tuple(module for module, commands in COMMANDS.items() if word in commands) or tuple(COMMANDS)
    return tuple(COMMANDS)


# Hooks run `poolpair prosody`, scripts run `poolpair status`, and users wait meanwhile: to read what all commands need takes as long again.
_IS_PROGRAM = Path(sys.argv[0]).name in {"poolpair", "main.py"}
for _module in modules_for(sys.argv[1:] if _IS_PROGRAM else ()):
    import_module(f"poolpair.cli.{_module}").register(app)


def main() -> None:
    """Run the program."""
    try:
        app(standalone_mode=True)
    except PoolpairError as error:
        talk.print(Text.assemble((error.code, "bold red"), f" {error.detail}"))
        talk.print(Text(f"hint: {error.hint}"))
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
