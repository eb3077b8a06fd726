"""docs/FORMAT.md says what the code does."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from poolpair import keyfile
from poolpair.errors import Code
from poolpair.format import container, cookie, frames, header, keys, layout, package, sealing
from poolpair.model import FORMAT_VERSION, Channel, Member
from tests.unit.format.format_samples import RING
from tests.unit.format.format_samples import cookie as sample_cookie
from tests.unit.format.format_samples import package as sample_package

TEXT = (Path(__file__).parents[3] / "docs" / "FORMAT.md").read_text()
FLAT = re.sub(r"\s+", " ", TEXT)
UNITS = ((1024 * 1024, "MiB"), (1024, "KiB"))


def size(count: int) -> str:
    """A number of bytes as the page writes it."""
    unit, name = next((each for each in UNITS if count % each[0] == 0), (1, "bytes"))
    return f"{count // unit} {name}"


@pytest.mark.parametrize(
    "sentence",
    [
        f"# Format {FORMAT_VERSION}:",
        f"cut into pieces of {size(frames.FRAME_BYTES)}",
        f"{frames.LENGTH_BYTES} bytes length of what follows, {frames.TAG_BYTES} bytes to {size(frames.MAX_FRAME_BYTES)}",
        f"{frames.TAG_BYTES} bytes tag",
        f"a window of at most {size(sealing.MAX_WINDOW_BYTES)}",
        f"the header, a document of at most {size(header.MAX_HEADER_BYTES)}",
        f"a document of at most {size(package.MAX_MANIFEST_BYTES)} raw",
        f"in that order; at most {package.MAX_MEMBERS:,}.",
        f"The directory is at most {size(container.MAX_DIRECTORY_BYTES)}",
        f"`pool.json` is indented JSON of at most {size(layout.MAX_IDENTITY_BYTES)}",
        f"secrets of {keys.SECRET_BYTES} random bytes",
        f"key of a file, {keys.KEY_BYTES} bytes",
        f'info: `fields("{keys.LABEL}", pair_id, origin, target, channel, kind)`',
        f'info: `fields("{keys.LABEL}", pair_id, "key id")`',
        f"The key file is JSON of at most {size(keyfile.MAX_KEY_FILE_BYTES)}",
        f"JSON on one line of at most {size(cookie.MAX_HEADER_LINE_BYTES)}",
        f"File: at most {size(cookie.MAX_COOKIE_BYTES)}. Raw: at most {size(cookie.MAX_RAW_COOKIE_BYTES)}",
        f"sequence is 1 to 10^{len(str(layout.MAX_SEQUENCE)) - 1} ",
        f"the one stored member `{cookie.MEMBER}`",
        f"The cookie is named `{layout.COOKIE_NAME}`",
    ],
)
def test_a_quoted_constant_is_that_of_the_code(sentence: str) -> None:
    """Sizes, limits and labels of the page are those that run."""
    assert sentence in FLAT


def test_the_tree_is_that_of_the_code() -> None:
    """Every folder and file name of the code stands on the page."""
    tree = TEXT.split("```")[1]
    names = [layout.POOL_JSON, layout.TASK_ASSIGNMENT, f"{layout.TEMP}/", f"{layout.QUARANTINE}/"]
    for place in layout.PLACES:
        names += [f"{place.data_dir}/", f"{place.cookie_dir}/"]
    names.append(layout.identity_file(Channel.CMS))
    to_replica, from_replica = layout.replica_folders("SERVER")
    names += [f"{to_replica}/{layout.REPLICA_NAME}", f"{from_replica}/{layout.REPORT_NAME}"]
    assert sorted(line.split()[0] for line in tree.strip().splitlines()) == sorted(names)


def test_the_headers_are_those_of_the_code() -> None:
    """The page lists the fields of both clear headers and of a member, in order."""
    in_package = ", ".join(f"`{field.name}`" for field in fields(header.PackageHeader))
    assert f"Header: {in_package}." in FLAT
    line = container.unwrap_single("cookie", cookie.seal_cookie(sample_cookie(), RING, target="lyon"))
    assert ", ".join(json.loads(line.partition(b"\n")[0])) in FLAT
    assert ": " + ", ".join(f"`{field.name}`" for field in fields(Member)) in FLAT


def test_the_codes_are_those_of_the_catalogue() -> None:
    """Every refusal is quoted with its number."""
    for code in (Code.DAMAGED, Code.LIMIT, Code.NEWER_FORMAT, Code.FOREIGN_PACKAGE, Code.MISNAMED):
        assert f"{code.name} ({code.value})" in FLAT


def test_the_zip_fields_are_those_of_the_code() -> None:
    """The constants of the ZIP are quoted as written."""
    assert sample_package()[:14] == b"PK\3\4" + bytes((45, 0, 0, 0, 0, 0, 0, 0, 33, 0))
    for quoted in (container._UNIX_ZIP64, container._UNIX_ZIP10):
        assert f"made by 0x{quoted:04X}" in FLAT
    assert f"0x{container._PRIVATE_FILE:08X}" in FLAT
