"""The requests that a share needs, and what their answers say. Layouts: [MS-SMB2] 2.2.13 to 2.2.40, [MS-FSCC] 2.4 and 2.5."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from smbprotocol.create_contexts import (
    CreateContextName,
    SMB2CreateContextRequest,
    SMB2CreateQueryMaximalAccessRequest,
    SMB2CreateQueryMaximalAccessResponse,
)
from smbprotocol.file_info import FileAttributes, FileInformationClass, FileSystemInformationClass, InfoType
from smbprotocol.open import (
    CreateDisposition,
    CreateOptions,
    FilePipePrinterAccessMask,
    ImpersonationLevel,
    ShareAccess,
    SMB2CloseRequest,
    SMB2CreateRequest,
    SMB2CreateResponse,
    SMB2FlushRequest,
    SMB2QueryDirectoryRequest,
    SMB2QueryInfoRequest,
    SMB2ReadRequest,
    SMB2SetInfoRequest,
    SMB2WriteRequest,
)

from poolpair.errors import Code, PoolpairError

OPENED = b"\xff" * 16
"""The file that an earlier request of the same round trip opened."""
LIST_BYTES = 256 * 1024
"""A folder of 1,500 packages is listed at once."""
READ = FilePipePrinterAccessMask.FILE_READ_DATA | FilePipePrinterAccessMask.FILE_READ_ATTRIBUTES
WRITE = FilePipePrinterAccessMask.FILE_WRITE_DATA | FilePipePrinterAccessMask.FILE_READ_ATTRIBUTES
DELETE = FilePipePrinterAccessMask.DELETE | FilePipePrinterAccessMask.FILE_READ_ATTRIBUTES
LOOK = FilePipePrinterAccessMask.FILE_READ_ATTRIBUTES
ADD = 0x2
"""FILE_ADD_FILE of a folder; with it a folder can be flushed."""
WORK = READ | ADD | 0x40
"""With FILE_DELETE_CHILD: all that the owner of a folder does there."""
SHARED = ShareAccess.FILE_SHARE_READ | ShareAccess.FILE_SHARE_WRITE | ShareAccess.FILE_SHARE_DELETE
FILE = CreateOptions.FILE_NON_DIRECTORY_FILE | CreateOptions.FILE_OPEN_REPARSE_POINT
FOLDER = CreateOptions.FILE_DIRECTORY_FILE | CreateOptions.FILE_OPEN_REPARSE_POINT
NEW_FILE = (WRITE | DELETE, FILE)
"""Access and options for a file that is written and then renamed."""
GOES = CreateOptions.FILE_DELETE_ON_CLOSE
IS_FOLDER = FileAttributes.FILE_ATTRIBUTE_DIRECTORY
NOT_A_FILE = IS_FOLDER | FileAttributes.FILE_ATTRIBUTE_REPARSE_POINT
_CREATED = struct.Struct("<HBBIQQQQQQII16s")
_ENTRY = struct.Struct("<IIQQQQQQIIIIQ")
_SIZES = struct.Struct("<qqqII")
_STANDARD = struct.Struct("<qqIBBH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What is known of a file as it was opened. Times are the server's, in steps of 100 ns since 1601."""

    file_id: bytes
    size_bytes: int
    attributes: int
    written: int

    @property
    def is_file(self) -> bool:
        """Whether it is neither a folder nor a link."""
        return not self.attributes & NOT_A_FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One name in a folder."""

    name: str
    number: int
    """The server's number of the file: another one after it was replaced."""
    size_bytes: int
    attributes: int
    written: int
    changed: int

    @property
    def is_file(self) -> bool:
        """Whether it is neither a folder nor a link."""
        return not self.attributes & NOT_A_FILE


def create(
    path: str, access: int, options: int, disposition: int = CreateDisposition.FILE_OPEN, attributes: int = 0
) -> Any:  # noqa: ANN401 - the library has no common type of its messages
    """Open a file or folder below the share; links are opened themselves, and refused later."""
    made = SMB2CreateRequest()
    made["impersonation_level"] = ImpersonationLevel.Impersonation
    made["desired_access"] = access
    made["file_attributes"] = attributes
    made["share_access"] = SHARED
    made["create_disposition"] = disposition
    made["create_options"] = options
    made["buffer_path"] = path.encode("utf-16-le") if path else b"\0\0"
    return made


def enquire(path: str) -> Any:  # noqa: ANN401
    """Look at a folder, and have the server say all that this account may do there."""
    made = create(path, LOOK, FOLDER)
    asked = SMB2CreateContextRequest()
    asked["buffer_name"] = CreateContextName.SMB2_CREATE_QUERY_MAXIMAL_ACCESS_REQUEST
    asked["buffer_data"] = SMB2CreateQueryMaximalAccessRequest()
    made["buffer_contexts"] = SMB2CreateContextRequest.pack_multiple([asked])
    return made


def allowed(body: bytes) -> int | None:
    """What the answer to `enquire` says, as a mask of accesses; None if the server does not tell."""
    answer = SMB2CreateResponse()
    try:
        answer.unpack(body)
        contexts = [context.get_context_data() for context in answer["buffer"].get_value()]
    except Exception as error:  # of a body that makes no sense the library fails in any way
        raise PoolpairError(Code.SHARE_FAILED, "the file server sent an answer that makes no sense") from error
    for found in contexts:
        if isinstance(found, SMB2CreateQueryMaximalAccessResponse):
            return int(found["maximal_access"].get_value())
    return None


def close(file_id: bytes = OPENED) -> Any:  # noqa: ANN401
    """Close it."""
    return _of(SMB2CloseRequest(), file_id)


def flush(file_id: bytes = OPENED) -> Any:  # noqa: ANN401
    """Have it reach the disk."""
    return _of(SMB2FlushRequest(), file_id)


def read(offset: int, size: int, file_id: bytes = OPENED) -> Any:  # noqa: ANN401
    """Read a piece."""
    made = _of(SMB2ReadRequest(), file_id)
    made["padding"] = 0x50
    made["offset"] = offset
    made["length"] = size
    return made


def write(offset: int, data: bytes, file_id: bytes = OPENED) -> Any:  # noqa: ANN401
    """Write a piece."""
    made = _of(SMB2WriteRequest(), file_id)
    made["offset"] = offset
    made["buffer"] = data
    return made


def rename(path: str, *, replacing: bool, file_id: bytes = OPENED) -> Any:  # noqa: ANN401
    """Give it another name, over what stands there or not at all."""
    name = path.encode("utf-16-le")
    made = _of(SMB2SetInfoRequest(), file_id)
    made["info_type"] = InfoType.SMB2_0_INFO_FILE
    made["file_info_class"] = FileInformationClass.FILE_RENAME_INFORMATION
    made["buffer"] = struct.pack("<B7xQI", replacing, 0, len(name)) + name
    return made


def entries(file_id: bytes = OPENED) -> Any:  # noqa: ANN401
    """List the next names of a folder."""
    made = _of(SMB2QueryDirectoryRequest(), file_id)
    made["file_information_class"] = FileInformationClass.FILE_ID_FULL_DIRECTORY_INFORMATION
    made["output_buffer_length"] = LIST_BYTES
    made["buffer"] = "*".encode("utf-16-le")
    return made


def sizes() -> Any:  # noqa: ANN401
    """Ask how much space there is."""
    made = _of(SMB2QueryInfoRequest(), OPENED)
    made["info_type"] = InfoType.SMB2_0_INFO_FILESYSTEM
    made["file_info_class"] = FileSystemInformationClass.FILE_FS_FULL_SIZE_INFORMATION
    made["output_buffer_length"] = _SIZES.size
    return made


def names() -> Any:  # noqa: ANN401
    """Ask how many names the file has."""
    made = _of(SMB2QueryInfoRequest(), OPENED)
    made["info_type"] = InfoType.SMB2_0_INFO_FILE
    made["file_info_class"] = FileInformationClass.FILE_STANDARD_INFORMATION
    made["output_buffer_length"] = _STANDARD.size
    return made


def _of(made: Any, file_id: bytes) -> Any:  # noqa: ANN401
    made["file_id"] = file_id
    return made


def _unpacked(layout: struct.Struct, body: bytes, at: int = 0) -> tuple[Any, ...]:
    try:
        return layout.unpack_from(body, at)
    except struct.error:
        raise PoolpairError(Code.SHARE_FAILED, "the file server sent an answer that makes no sense") from None


def opened(body: bytes) -> Opened:
    """What the answer to `create` says. Raises SHARE_FAILED if that makes no sense."""
    _, _, _, _, _, _, written, _, _, size, attributes, _, file_id = _unpacked(_CREATED, body)
    return Opened(file_id=file_id, size_bytes=size, attributes=attributes, written=written)


def content(body: bytes) -> bytes:
    """What was read."""
    size = int.from_bytes(body[4:8], "little")
    return body[16 : 16 + size]


def written_bytes(body: bytes) -> int:
    """How much of a piece the answer to `write` says was written."""
    return int.from_bytes(body[4:8], "little")


def listed(body: bytes) -> Iterator[Entry]:
    """What was listed, but for the folder itself and the one above it. Raises SHARE_FAILED if that makes no sense."""
    data = body[8 : 8 + int.from_bytes(body[4:8], "little")]
    at = 0
    while at + _ENTRY.size <= len(data):
        following, _, _, _, written, changed, size, _, attributes, length, _, _, number = _ENTRY.unpack_from(data, at)
        name = data[at + _ENTRY.size : at + _ENTRY.size + length].decode("utf-16-le", "replace")
        if name not in {".", ".."}:
            yield Entry(
                name=name, number=number, size_bytes=size, attributes=attributes, written=written, changed=changed
            )
        if not following:
            return
        if following < _ENTRY.size:
            raise PoolpairError(Code.SHARE_FAILED, "the file server sent a list of a folder that makes no sense")
        at += following


def named(body: bytes) -> int:
    """What the answer to `names` says. Raises SHARE_FAILED if that makes no sense."""
    return int(_unpacked(_STANDARD, body, 8)[2])


def free_bytes(body: bytes) -> int:
    """What the answer to `sizes` says is left for this account. Raises SHARE_FAILED if that makes no sense."""
    _, left, _, sectors, sector_bytes = _unpacked(_SIZES, body, 8)
    return int(left * sectors * sector_bytes)
