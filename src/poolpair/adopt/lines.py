"""The lines that make a Prosody one of a pair: written as one file that its configuration includes."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from poolpair.adopt.findings import FILE_SHARE
from poolpair.adopt.owners import KEEPER, Owners
from poolpair.adopt.prosody import SQL, Host, Options, Prosody
from poolpair.errors import Code, PoolpairError
from poolpair.format.keys import KeyRing

SECRET = f"{FILE_SHARE}_secret"
HIDDEN = "..."
OF_ITS_SITE = {
    "defined", "component_module", "load_global_modules", "enabled", "sql", "ssl", "certificate", "certificates", "data_path",
    "admin_socket", "log", "pidfile", SECRET,
}  # fmt: skip
"""Options of a partner's host that are not taken over: set here, or the partner machine's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One option to set, and why."""

    name: str
    value: object
    reason: str = ""

    @property
    def is_secret(self) -> bool:
        """Whether its value is shown to nobody."""
        return _is_secret(self.name, self.value)


def _is_secret(name: str, value: object) -> bool:
    if isinstance(value, dict):
        return any(_is_secret(str(key), each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return any(_is_secret(name, each) for each in value)
    return isinstance(value, str) and any(word in name.lower() for word in ("secret", "password", "token", "_key"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A host with the options to set for it."""

    called: str
    settings: tuple[Setting, ...]


def blocks_for(prosody: Prosody, owners: Owners, theirs: tuple[Host, ...], ring: KeyRing | None) -> tuple[Block, ...]:
    """What is to be added to this Prosody. `theirs`: the partner's hosts, as its own configuration or a guess says."""
    own = owners.hosts_of(prosody, owners.pool)
    blocks = [*_keeper(prosody, owners)]
    blocks += [_block(host, _changes(host, ring)) for host in own]
    for host in theirs:
        known = prosody.host(host.name)
        if known is None:
            blocks.append(_block(host, [*_changes(host, ring, is_new=True), *_taken_over(host)]))
        else:
            blocks.append(_block(known, _changes(known, ring, like=host)))
    return tuple(block for block in blocks if block.settings)


def _block(host: Host, settings: Iterator[Setting] | list[Setting]) -> Block:
    return Block(called=called(host), settings=tuple(settings))


def _keeper(prosody: Prosody, owners: Owners) -> Iterator[Block]:
    keepers = [host for host in prosody.hosts if not host.component and host.name not in owners.of and host.is_enabled]
    server = {*prosody.server.modules_enabled} - {*prosody.server.modules_disabled}
    lacks_shell = "admin_shell" not in server and not any("admin_shell" in host.modules for host in keepers)
    writing = [host for host in keepers if any(driver in SQL for _, driver in host.stores())]
    chosen = writing or keepers[:1]
    for name in [host.name for host in chosen] or [KEEPER]:
        settings = []
        if not keepers:
            settings.append(
                Setting(name="enabled", value=True, reason="Prosody starts only with one enabled VirtualHost")
            )
        if writing or not keepers:
            settings.append(Setting(name="storage", value="memory", reason="serves nobody, so it writes nothing"))
        if lacks_shell:
            own = list(prosody_modules(prosody, name))
            reason = "by it the service activates and deactivates hosts"
            settings.append(Setting(name="modules_enabled", value=[*own, "admin_shell"], reason=reason))
        yield Block(called=f"VirtualHost {lua(name)}", settings=tuple(settings))


def prosody_modules(prosody: Prosody, name: str) -> tuple[str, ...]:
    """The modules that a host names itself."""
    host = prosody.host(name)
    return host.own.modules_enabled if host else ()


def _changes(host: Host, ring: KeyRing | None, *, like: Host | None = None, is_new: bool = False) -> Iterator[Setting]:
    if is_new or host.own.enabled is not False:
        yield Setting(name="enabled", value=False, reason="the service activates it where it is served")
    if FILE_SHARE not in host.modules:
        return
    theirs = like.upload_secret if like else ""
    if theirs and theirs != host.upload_secret:
        yield Setting(name=SECRET, value=theirs, reason="the same at both sites; the partner's")
    elif host.own.http_file_share_secret:
        return
    elif host.upload_secret:
        yield Setting(
            name=SECRET, value=host.upload_secret, reason="the same at both sites, so said for this host alone"
        )
    elif ring is not None:
        yield Setting(
            name=SECRET, value=upload_secret(ring, host.name), reason="the same at both sites; made of the pair's key"
        )


def _options_of(host: Host) -> dict[str, object]:
    """What a host says itself, but for what is its own site's."""
    options = host.own.model_dump(exclude_none=True, exclude_defaults=True)
    return {name: value for name, value in options.items() if name not in OF_ITS_SITE and name.isidentifier()}


def coming_hosts(prosody: Prosody, theirs: tuple[Host, ...]) -> tuple[Host, ...]:
    """The partner's hosts that are not defined here yet, as they will be."""
    return tuple(
        Host(
            name=host.name,
            own=Options.model_validate({**_options_of(host), "component_module": host.own.component_module}),
            server=prosody.server,
        )
        for host in theirs
        if prosody.host(host.name) is None
    )


def _taken_over(host: Host) -> Iterator[Setting]:
    if host.own.http_file_share_secret:
        yield Setting(name=SECRET, value=host.own.http_file_share_secret, reason="the same at both sites")
    for name, value in _options_of(host).items():
        yield Setting(name=name, value=value)


def upload_secret(ring: KeyRing, host: str) -> str:
    """A secret that both sites make of the key that only they share."""
    return hmac.new(ring.sealing.secret, f"prosody uploads of {host}".encode(), sha256).hexdigest()


def hosts_as_here(prosody: Prosody, owners: Owners, main: str, domains: tuple[str, ...]) -> tuple[Host, ...]:
    """The partner's hosts: those that are defined here already, else each domain with the components of this pool's main domain."""
    mine = prosody.host(main)
    if mine is None:
        if any(prosody.host(domain) is None for domain in domains):
            hint = "give a copy of the partner's configuration with --partner-config"
            raise PoolpairError(
                Code.USAGE, "which hosts the partner has cannot be told from a server without any", hint
            )
        return owners.hosts_of(prosody, owners.partner)
    parts = [
        host for host in owners.hosts_of(prosody, owners.pool) if host.component and host.name.endswith("." + main)
    ]
    found = list(owners.hosts_of(prosody, owners.partner))
    known = {host.name for host in found}
    for domain in domains:
        for host in (mine, *parts) if domain not in known else ():
            name = host.name.removesuffix(main) + domain
            bare = host.own.model_copy(update={"http_file_share_secret": None})
            found.append(
                Host(name=name, own=bare, server=host.server.model_copy(update={"http_file_share_secret": None}))
            )
    return tuple(found)


def lua(value: object) -> str:
    """A value as Lua reads it."""
    if value is None or isinstance(value, bool):
        return {None: "nil", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "{ " + "; ".join(lua(each) for each in value) + " }" if value else "{}"
    if isinstance(value, dict):
        inner = "; ".join(f"[{lua(key)}] = {lua(each)}" for key, each in value.items())
        return "{ " + inner + " }" if inner else "{}"
    return '"' + "".join(_escaped(letter) for letter in str(value)) + '"'


def _escaped(letter: str) -> str:
    if letter in {'"', "\\"}:
        return "\\" + letter
    return f"\\{ord(letter):03d}" if letter < " " or letter == "\x7f" else letter


def called(host: Host) -> str:
    """As a host's lines begin."""
    return f"Component {lua(host.name)} {lua(host.component)}" if host.component else f"VirtualHost {lua(host.name)}"


def render(blocks: tuple[Block, ...], *, hide: bool) -> str:
    """The file. `hide`: without secrets, for people to see."""
    out = []
    for block in blocks:
        out.append(block.called)
        for setting in block.settings:
            value = lua(HIDDEN if hide and setting.is_secret else setting.value)
            why = f"  -- {setting.reason}" if setting.reason else ""
            out.append(f"    {setting.name} = {value}{why}")
    return "\n".join(out) + "\n"
