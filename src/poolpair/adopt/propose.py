"""From a Prosody as it is to everything that makes it one of a pair: findings, files and steps."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from poolpair.adopt.findings import FILE_SHARE, SERVER, Finding, Level, change, fail, know, look_at
from poolpair.adopt.lines import SECRET, Block, blocks_for, coming_hosts, hosts_as_here, render
from poolpair.adopt.owners import Owners, domains_of, is_keeper, is_theirs, main_domain, owners_by_domains
from poolpair.adopt.places import look_around
from poolpair.adopt.proposal import Places, homes_of, password_line, pool_file, pool_name
from poolpair.adopt.prosody import Host, Prosody, read_prosody
from poolpair.config_values import parse_pool_name
from poolpair.errors import Code, PoolpairError
from poolpair.format.keys import KeyRing
from poolpair.keyfile import read_key_file
from poolpair.smb_address import is_smb, parse_smb

PROSODY_FILE = "poolpair.cfg.lua"
FOLDER = Path("/etc/poolpair")
DOMAIN = re.compile(r"[\w-]+(\.[\w-]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the operator said."""

    config: Path
    pool: str | None
    partner_pool: str | None
    partner_hosts: tuple[str, ...]
    partner_config: Path | None
    share: str | None
    partner_share: str | None
    key_file: Path
    scratch: Path
    folder: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file to write, and as it may be shown."""

    path: Path
    purpose: str
    content: str
    shown: str
    is_secret: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What `adopt` found and would write."""

    findings: tuple[Finding, ...]
    files: tuple[File, ...]
    steps: tuple[str, ...]
    is_possible: bool
    """Nothing in the configuration keeps it from being one of a pair."""
    account: str
    """Prosody's account, which the service is to run as."""

    @property
    def has_failed(self) -> bool:
        """Something was found that no line cures."""
        return any(finding.level is Level.FAIL for finding in self.findings)


def propose(wishes: Wishes) -> Proposal:
    """Look at everything and write nothing. Raises APPLICATION, UNFIT, USAGE, KEY_FILE."""
    prosody = read_prosody(wishes.config)
    partner = read_prosody(wishes.partner_config) if wishes.partner_config else None
    domains = _partner_domains(wishes, prosody, partner)
    main = main_domain(prosody, domains)
    if not main and not domains:
        detail = f"{prosody.path} defines no VirtualHost, and no domain of a partner is known"
        raise PoolpairError(Code.UNFIT, detail, "a pool is a domain: define a VirtualHost with it")
    owners = owners_by_domains(prosody, *_names(wishes, main, domains), domains)
    theirs = _hosts_of(partner, prosody, domains) if partner else hosts_as_here(prosody, owners, main, domains)
    coming = coming_hosts(prosody, theirs)
    ring = _key_of_the_pair(wishes.key_file)
    said = [*look_at(prosody, owners, coming), *_compared(prosody, owners, partner, domains, theirs)]
    is_possible = not any(finding.level is Level.FAIL for finding in said)
    blocks = blocks_for(prosody, owners, theirs, ring)
    said += _without_key(wishes, ring, blocks, said)
    files = _files(wishes, prosody, owners, coming, blocks) if is_possible else ()
    return Proposal(
        findings=tuple(said) + tuple(look_around(prosody, owners, prepared=False)),
        files=files,
        steps=_steps(wishes, owners, files),
        is_possible=is_possible,
        account=prosody.user,
    )


def _key_of_the_pair(path: Path) -> KeyRing | None:
    """None if there is none yet. Raises KEY_FILE."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        pass  # it is said when the file is read
    return read_key_file(path)


def _names(wishes: Wishes, main: str, domains: tuple[str, ...]) -> tuple[str, str]:
    """What both pools are called: as said, else by their domains."""
    found = []
    for name, domain, option in (
        (wishes.pool, main, "--pool"),
        (wishes.partner_pool, next(iter(domains), ""), "--partner-pool"),
    ):
        if name is None and not domain:
            hint = f"name it with {option}; if it has a domain, say which with --partner-host or --partner-config"
            raise PoolpairError(Code.USAGE, "a pool without a domain has no name of its own", hint)
        found.append(pool_name(domain, option) if name is None else _named(name, option))
    pool, other = found
    if pool == other:
        hint = "name them with --pool and --partner-pool"
        raise PoolpairError(Code.USAGE, f"both pools would be called {pool!r}", hint)
    return pool, other


def _named(name: str, option: str) -> str:
    try:
        return parse_pool_name(name)
    except ValueError as error:
        raise PoolpairError(Code.USAGE, f"{option}: {error}") from None


def _partner_domains(wishes: Wishes, prosody: Prosody, partner: Prosody | None) -> tuple[str, ...]:
    """The partner's domains: as said, else those that only its own configuration serves."""
    if wishes.partner_hosts or partner is None:
        said = [name.strip().lower().rstrip(".") for name in wishes.partner_hosts]
        if wrong := [name for name in said if not DOMAIN.fullmatch(name)]:
            raise PoolpairError(Code.USAGE, f"--partner-host: {wrong[0]!r} is no domain", "say it as in b.example")
        return tuple(dict.fromkeys(said))
    mine = [host for host in prosody.hosts if not host.component and not is_keeper(host)]
    own = {host.name for host in mine if host.is_enabled}
    found = [host for host in partner.hosts if not host.component and not is_keeper(host)]
    if not found:
        return ()
    # One that is adopted already defines our hosts too, all of them disabled; then those that we serve are ours.
    awake = [host for host in found if host.is_enabled] or (found if own or not mine else [])
    theirs = [host.name for host in awake if host.name not in own]
    if not theirs:
        detail = f"which hosts of {partner.path} are the partner's is not plain"
        hint = "name its domain with --partner-host; a domain that both serve cannot be paired"
        raise PoolpairError(Code.USAGE, detail, hint)
    return tuple(theirs)


def _hosts_of(partner: Prosody, prosody: Prosody, domains: tuple[str, ...]) -> tuple[Host, ...]:
    """The partner's hosts as its own configuration has them; a Component below nobody's domain is whose server runs it."""
    theirs = frozenset(domains)
    tops = theirs | domains_of(prosody)

    def belongs(host: Host) -> bool:
        lone = host.component and not any(host.name.endswith("." + domain) for domain in tops)
        return is_theirs(host, theirs, tops) or bool(lone and host.is_enabled and prosody.host(host.name) is None)

    return tuple(host for host in partner.hosts if belongs(host))


def _compared(
    prosody: Prosody, owners: Owners, partner: Prosody | None, domains: tuple[str, ...], theirs: tuple[Host, ...]
) -> list[Finding]:
    if partner is None:
        guessed = [host.name for host in theirs if prosody.host(host.name) is None]
        words = f"{', '.join(guessed)}: taken to be as here"
        return [know("partner", words, "give a copy of its configuration with --partner-config")] if guessed else []
    found = []
    for host in owners.hosts_of(prosody, owners.pool):
        same = partner.host(host.name)
        if same is not None and same.is_enabled:
            hint = "a pool is a domain of its own: let one site serve it alone, and make the other its partner for it"
            found.append(fail("partner", f"{host.name} is a host of both servers", hint))
    unknown = [domain for domain in domains if partner.host(domain) is None]
    found += [fail("partner", f"{name} is no host of {partner.path}", "correct --partner-host") for name in unknown]
    kinds = {host.sql.driver for host in theirs} | {host.sql.driver for host in owners.owned(prosody)}
    if len(kinds) > 1:
        words = f"one server keeps its rows in {' and the other in '.join(sorted(kinds))}"
        found.append(fail("partner", words, "both pools of a pair must be on PostgreSQL, or both on SQLite"))
    for host in theirs:
        known = prosody.host(host.name)
        if known is not None and known.modules != host.modules:
            differ = ", ".join(sorted(known.modules ^ host.modules))
            found.append(know("partner", f"{host.name} has not the same modules at both sites: {differ}"))
        if (
            known is not None
            and host.upload_secret
            and known.upload_secret
            and known.upload_secret != host.upload_secret
        ):
            found.append(
                change("partner", f"{host.name} has not the same {SECRET} at both sites", "take the partner's")
            )
    return found


def _without_key(wishes: Wishes, ring: KeyRing | None, blocks: tuple[Block, ...], said: list[Finding]) -> list[Finding]:
    wanted = any(finding.subject == "uploads" and finding.level is Level.CHANGE for finding in said)
    has_one = any(setting.name == SECRET for block in blocks for setting in block.settings)
    if ring is not None or not wanted or has_one:
        return []
    hint = "`poolpair key new` makes it at one site; bring it to the other, and adopt again"
    return [know("uploads", f"{wishes.key_file} is not there: of it both sites would make {SECRET}", hint)]


def _files(
    wishes: Wishes, prosody: Prosody, owners: Owners, coming: tuple[Host, ...], blocks: tuple[Block, ...]
) -> tuple[File, ...]:
    folder = wishes.folder or FOLDER
    places = Places(
        share=_address(wishes.share or f"/srv/poolpair/{owners.pool}"),
        partner_share=_address(wishes.partner_share or f"/mnt/poolpair/{owners.partner}"),
        credentials=folder / "share.credentials",
        key_file=wishes.key_file,
        scratch=wishes.scratch,
        password_file=folder / f"{owners.pool}.pgpass",
    )
    homes = homes_of(owners, {host.name: owners.partner for host in coming})
    hosts = owners.owned(prosody) + coming
    sql = hosts[0].sql
    files_are_kept = any(FILE_SHARE in host.modules for host in hosts)
    toml = pool_file(prosody, owners, homes, places, sql=sql, files=files_are_kept)
    files = [_plain(folder / f"{owners.pool}.toml", "the pool file", toml)]
    if sql.driver == SERVER and sql.password:
        line, shown = password_line(sql), password_line(sql, "...")
        purpose = "PostgreSQL's password, mode 0600"
        files.append(File(path=places.password_file, purpose=purpose, content=line, shown=shown, is_secret=True))
    if blocks:
        where = "to be included at the end of Prosody's configuration"
        head = f"-- {where}; made by: poolpair adopt prosody\n"
        secret = any(setting.is_secret for block in blocks for setting in block.settings)
        files.append(
            File(
                path=folder / PROSODY_FILE,
                purpose=where + (", mode 0600" if secret else ""),
                content=head + render(blocks, hide=False),
                shown=render(blocks, hide=True),
                is_secret=secret,
            )
        )
    return tuple(files)


def _address(said: str) -> str:
    """A share as the pool file names it. Raises USAGE."""
    try:
        return str(parse_smb(said)) if is_smb(said) else str(Path(said).absolute())
    except ValueError as error:
        raise PoolpairError(Code.USAGE, str(error)) from None


def _plain(path: Path, purpose: str, content: str) -> File:
    return File(path=path, purpose=purpose, content=content, shown=content, is_secret=False)


def _steps(wishes: Wishes, owners: Owners, files: tuple[File, ...]) -> tuple[str, ...]:
    if not files:
        return ()
    toml = shlex.quote(str(files[0].path))
    added = [file.path for file in files if file.path.name == PROSODY_FILE]
    steps = [f'Include "{path}"  as the last line of {wishes.config}; then restart Prosody' for path in added]
    steps += [f"the same at {owners.partner}", f"poolpair -c {toml} init", f"poolpair -c {toml} check"]
    return (*steps, f"poolpair -c {toml} run, under the supervisor, as Prosody's account")
