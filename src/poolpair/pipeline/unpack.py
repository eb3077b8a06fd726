"""Unpack the rows member of a package into a scratch file."""

from __future__ import annotations

from pathlib import Path

from poolpair.errors import Code, PoolpairError
from poolpair.format.package import PackageReader
from poolpair.pipeline.kept import CHUNK_BYTES
from poolpair.pipeline.pack import ROWS_MEMBER
from poolpair.pipeline.site import Site


def extract_rows(site: Site, reader: PackageReader, rows: Path) -> None:
    """Read the member to its end, so that all of it is authenticated. Raises Refused, SCRATCH."""
    try:
        with rows.open("wb") as sink, reader.open(ROWS_MEMBER) as member:
            while chunk := member.read(CHUNK_BYTES):
                sink.write(chunk)
    except OSError as error:
        raise PoolpairError(Code.SCRATCH, f"cannot unpack to {site.scratch}: {error.strerror}") from error
