"""Commands that bring two sides together: one invites, the other joins."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from poolpair.cli.context import EXIT_STATUSES, chosen_config, talk
from poolpair.cli.work import wait
from poolpair.config import PoolConfig
from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format.layout import COOKIE_NAME, cookie_dir, folders
from poolpair.keyfile import new_key_file
from poolpair.model import Channel, new_nonce
from poolpair.pairing import (
    ANSWER_MAX_BYTES,
    accept,
    check_place,
    encode_answer,
    fingerprint,
    forget,
    invite,
    join,
    keep_answer,
    refuse_second,
    write_invitation,
)
from poolpair.share.open import own_share, partner_share
from poolpair.share.port import OwnShare
from poolpair.wiring import channels_of, profile_of

FOLDER = cookie_dir(Channel.USERS)
"""The answer lies where the partner's words will: there its account may write."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Bring two pools together: one side invites, the other joins.", no_args_is_help=True)
    group.command("invite", epilog=EXIT_STATUSES)(pair_invite)
    group.command("join", epilog=EXIT_STATUSES)(pair_join)
    app.add_typer(group, name="pair")


def pair_invite(
    path: Annotated[Path, typer.Argument(help="Where to write the invitation, to be carried to the partner.")],
    minutes: Annotated[float, typer.Option(min=1, max=7 * 24 * 60, help="How long it may be answered.")] = 60,
    waits: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for the answer; the command given again goes on waiting.")
    ] = True,
) -> None:
    """Invite the partner, and make the key file when it has joined. The invitation is worth nothing once it was answered."""
    config = chosen_config()
    share = own_share(config)
    share.prepare(folders(channels_of(profile_of(config))))
    key_file = config.partner.key_file
    check_place(key_file, path, config.pool, _now())
    invitation = invite(key_file, config.pool, config.partner.pool, timedelta(minutes=minutes), _now())
    write_invitation(invitation, path)
    words = _answer(config, share)
    if words is None:
        there = f"carry {path} to {config.partner.pool}, mode 0600, and there: poolpair -c FILE pair join {path.name}"
        talk.print(
            f"{there}\nit is good until {invitation.expires_utc}; the same command again goes on waiting", markup=False
        )
    ends_s = time.monotonic() + (datetime.fromisoformat(invitation.expires_utc) - _now()).total_seconds()
    with talk.status(f"waiting for {config.partner.pool}"):
        while words is None and waits:
            wait(ends_s, f"{config.partner.pool} did not join", "make another invitation")
            words = _answer(config, share)
    if words is None:
        talk.print(f"{config.partner.pool} has not joined yet; the same command again looks, or waits", markup=False)
        raise typer.Exit(1)
    with suppress(OSError):
        path.unlink()
    talk.print(f"{config.partner.pool} joined; {key_file} is made. Both sides must show: {words}", markup=False)
    talk.print("next, on both sides: init, check, run", markup=False)


def _answer(config: PoolConfig, share: OwnShare) -> str | None:
    """Take what lies in the share, if it is an answer; whatever else lies there is no partner's yet, and goes."""
    try:
        data = share.read_small(f"{FOLDER}/{COOKIE_NAME}", ANSWER_MAX_BYTES)
    except Refused:
        data = b"too large, or no file"
    words = accept(config.partner.key_file, data or b"", _now())
    if data is not None:
        share.remove(FOLDER, COOKIE_NAME)
        if words is None:
            who = f"{config.partner.pool} joined with another one, or a stranger tried"
            what = f"what lay in the share is no answer to this invitation: {who}"
            talk.print(f"{what}; remove the key file that `pair join` made there, and join with this one", markup=False)
    return words


def pair_join(path: Annotated[Path, typer.Argument(help="The invitation that was carried here.")]) -> None:
    """Answer an invitation: make the key file, and leave the answer in the inviting pool's share."""
    config = chosen_config()
    refuse_second(config.partner.key_file, config.partner.pool, _now())
    invitation, answer, secret = join(path, config.pool, config.partner.pool)
    if invitation.is_over(_now()):
        over = f"by this machine's clock its time was over at {invitation.expires_utc}"
        raise PoolpairError(Code.KEY_FILE, f"{path}: {over}", "make another with `pair invite`, or correct the clocks")
    key_file = config.partner.key_file
    answer, secret = keep_answer(key_file, invitation, answer, secret)
    try:
        partner_share(config).replace(FOLDER, COOKIE_NAME, encode_answer(answer), f"{config.pool}-{new_nonce()}.part")
    except PoolpairError as error:
        # It may lie there all the same, and be taken: the same one is given again.
        detail = f"the answer cannot be left in {config.partner.share}: {error.detail}"
        raise PoolpairError(Code(error.code), detail, "mend it, and give the command again") from error
    new_key_file(key_file, pair_id=answer.pair_id, secret=secret)
    forget(key_file)
    path.unlink(missing_ok=True)
    talk.print(f"{key_file} is made, and {path} removed. Both sides must show: {fingerprint(secret)}", markup=False)
    talk.print(
        f"when `pair invite` has ended at {config.partner.pool}, next on both sides: init, check, run", markup=False
    )


def _now() -> datetime:
    return datetime.now(UTC)
