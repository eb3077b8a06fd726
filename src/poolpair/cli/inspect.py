"""`inspect PACKAGE`: what a package says of itself. Header in the clear; with the key the manifest; never the content of a row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from poolpair import documents
from poolpair.cli.context import chosen_config, is_config_chosen, talk
from poolpair.errors import Code, PoolpairError
from poolpair.format.container import Section, read_directory
from poolpair.format.header import HEADER, MAX_HEADER_BYTES, PackageHeader, refuse_newer
from poolpair.format.keys import KeyRing
from poolpair.format.layout import PackageName, lync_module, package_name, parse_package_name
from poolpair.format.package import PackageReader
from poolpair.keyfile import read_key_file
from poolpair.model import Manifest, Position


def inspect(
    package: Annotated[Path, typer.Argument(help="A package file, in a share or in Quarantine.")],
    key: Annotated[Path | None, typer.Option("--key", help="A key file, if not that of the pool file.")] = None,
) -> None:
    """Show a package's header, and with the key of the pair (-c FILE or --key) what its sealed manifest says."""
    ring = _ring(key)
    try:
        with package.open("rb") as source:
            header = _header(source)
            for line in (f"file         {package.name}, {package.stat().st_size:,} bytes", *_header_lines(header)):
                typer.echo(line)
            if ring is None:
                talk.print("the rest is sealed: give the pool file with -c, or a key file with --key")
                return
            reader = PackageReader(
                source,
                ring,
                reader_pool=header.target,
                origin=header.origin,
                channel=header.channel,
                name=_name(package, header),
            )
            for line in _manifest_lines(reader.manifest):
                typer.echo(line)
            reader.check()
            typer.echo("seal         every member opened and is what the manifest says")
    except OSError as error:
        raise PoolpairError(Code.USAGE, f"{package}: {error.strerror}") from error


def _ring(key: Path | None) -> KeyRing | None:
    if key is not None:
        return read_key_file(key)
    return read_key_file(chosen_config().partner.key_file) if is_config_chosen() else None


def _header(source: BinaryIO) -> PackageHeader:
    entries = read_directory(source)
    if not entries or entries[0].name != HEADER or entries[0].size > MAX_HEADER_BYTES:
        raise PoolpairError(Code.DAMAGED, "the file has no header of a package")
    text = Section(source, entries[0]).read()
    refuse_newer(text, "the package")
    return documents.decode(PackageHeader, text)


def _name(package: Path, header: PackageHeader) -> PackageName:
    """The package's own name, also behind the stamp that Quarantine puts before it."""
    own = package.name[package.name.find("backup-") :] if "backup-" in package.name else package.name
    try:
        name = parse_package_name(own) or parse_package_name(package_name(header.position))
    except ValueError:
        name = None
    if name is None:
        raise PoolpairError(Code.DAMAGED, "the package's header names no position")
    if own != name.name:
        talk.print(f"the file's name is not that of a package; by its header it would be {name.name}", markup=False)
    return name


def _header_lines(header: PackageHeader) -> Iterator[str]:
    yield f"pair         {header.pair_id}, sealed with key {header.key_id}, format {header.format}"
    yield f"channel      {header.channel} ({lync_module(header.channel)}), from {header.origin} to {header.target}"
    yield f"position     {_position(header.position)}"


def _position(position: Position | None) -> str:
    if position is None:
        return "nothing: it is the first"
    return f"{position.sequence} of stream {position.stream[:8]}, package {position.package_id[:8]}"


def _manifest_lines(manifest: Manifest) -> Iterator[str]:
    yield f"follows      {_position(manifest.follows)}"
    asks = ", with digests to compare" if manifest.digests else ""
    hands = f", hands over {', '.join(manifest.hands)}" if manifest.hands else ""
    brings = f", brings what was written for {manifest.recovered.home}" if manifest.recovered else ""
    yield f"kind         {manifest.kind}{asks}{hands}{brings}"
    if manifest.buckets:
        yield f"buckets      {sum(len(each.buckets) for each in manifest.buckets)} sent whole"
    yield f"cut          {manifest.cut_utc} by store {manifest.store_id[:8]}"
    yield f"homes        {', '.join(manifest.served)}; settings {manifest.settings[:12]}"
    yield f"carries      {manifest.groups:,} groups, {manifest.rows:,} rows, {manifest.files:,} files of {manifest.file_bytes:,} bytes"
    for table in manifest.tables:
        yield f"table        {table.name}: grouped by {', '.join(table.key)}; {len(table.columns)} columns"
    for member in manifest.members:
        yield f"member       {member.name}, {member.raw_bytes:,} bytes inside"
