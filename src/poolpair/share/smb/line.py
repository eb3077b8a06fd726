"""One connection to a share of a file server: made when it is needed, given up when it seems dead, made anew by the next call.

Every wait has a bound. The library's own waits have none that a stopped server or a cut line would end, so a timer shuts the socket
down under them; whatever is left of the connection is thrown away then. Nothing is sent but encrypted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import uuid4

from smbprotocol.connection import Connection, Dialects, Request
from smbprotocol.exceptions import SMBAuthenticationError, SMBResponseException
from smbprotocol.header import NtStatus
from smbprotocol.session import Session as Logon
from smbprotocol.tree import TreeConnect

from poolpair.errors import Code, PoolpairError
from poolpair.share.smb.connection import BoundedConnection, at_most, end
from poolpair.share.smb.login import Login
from poolpair.smb_address import SmbAddress

CONNECT_S = 10.0
"""Until a server has answered and the account is let in; a name that no name server knows may take longer to be said so."""
ANSWER_S = 20.0
"""Until one request is answered, or one chunk is through: 256 KiB in so long are 13 kB a second."""
CREDITS = 512
"""How much may be under way, in pieces of 64 KiB."""
REST_S = 5.0
"""After a wait that ended so, nobody waits again for a while: whoever asks next is told the same at once."""
_LOGON_EXPIRED = 0xC000035C
BROKEN = frozenset({NtStatus.STATUS_USER_SESSION_DELETED, NtStatus.STATUS_NETWORK_NAME_DELETED, _LOGON_EXPIRED})
"""Statuses after which nothing works any more on this connection."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said to one request: `data` is the body of its answer."""

    status: int
    data: bytes = b""


@dataclass(slots=True)
class _Joined:
    connection: Connection
    logon: Logon
    tree: TreeConnect


class _TooWeak(ValueError):
    """The server does not offer what is asked for."""


class Line:
    """The connection. Any number of threads may use it. `whose` stands in messages: "own" or "partner's"."""

    def __init__(self, address: SmbAddress, login: Callable[[], Login], whose: str) -> None:
        self.address = address
        self._login = login
        self._whose = whose
        self._joined: _Joined | None = None
        self._joining = threading.Lock()
        self._late: tuple[float, PoolpairError] | None = None
        """When a wait last ended without an answer, and what was said of it."""
        self.requests = 0
        """How often something was sent and waited for: round trips."""

    def words(self, folder: str) -> str:
        """A folder as messages name it."""
        return f"{folder or 'the top folder'} of the {self._whose} share {self.address}"

    @property
    def is_up(self) -> bool:
        """Whether it is connected, as far as is known."""
        joined = self._joined
        return joined is not None and bool(joined.connection.transport.connected)

    @property
    def connection(self) -> object:
        """Another one after each time that it was connected, None if it is not: files that were open in an earlier one are closed."""
        return self._joined

    @property
    def write_bytes(self) -> int:
        """How much the server takes at once. Raises as `ask`."""
        return int(self._join().connection.max_write_size)

    def ask(self, *messages: Any) -> list[Answer]:  # noqa: ANN401 - the library's messages have no type of their own
        """Send requests that are carried out one after the other, in one round trip; later ones mean the file that the first opens.

        Raises SHARE_DENIED if the account is not let in, SHARE_MISSING if there is no such share, SHARE_FAILED for whatever else keeps
        answers from coming.
        """
        self.requests += 1
        with self._using() as joined, at_most(ANSWER_S, joined.connection):
            sent = joined.connection.send_compound(
                list(messages), joined.logon.session_id, joined.tree.tree_connect_id, related=len(messages) > 1
            )
            return [_received(joined.connection, each) for each in sent]

    @contextmanager
    def stream(self) -> Iterator[Stream]:
        """For requests that are under way together. All of them go over one connection, and fail with it."""
        self.requests += 1
        with self._using() as joined:
            yield Stream(self, joined)

    @contextmanager
    def _using(self) -> Iterator[_Joined]:
        joined = self._join()
        try:
            yield joined
        except PoolpairError:
            raise
        except Exception as error:  # a server may answer anything, and the library then fails in any way
            self._drop(joined)
            raise self._unreachable(error) from error

    def _join(self) -> _Joined:
        with self._joining:
            if self._joined is None and self._late is not None and monotonic() - self._late[0] < REST_S:
                said = self._late[1]
                raise PoolpairError(said.code, said.detail, said.hint)
            if self._joined is not None and not self.is_up:
                end(self._joined.connection)  # it ended while nobody used it: nothing is lost by that
                self._joined = None
            if self._joined is None:
                self._joined = self._connect()
            return self._joined

    def _connect(self) -> _Joined:
        to, login = self.address, self._login()
        connection = BoundedConnection(uuid4(), to.server, to.port, require_signing=True)
        try:
            with at_most(CONNECT_S, connection):
                connection.connect(Dialects.SMB_3_1_1, timeout=CONNECT_S)
                if not connection.supports_encryption:
                    raise _TooWeak("no encryption")
                logon = Logon(connection, login.account, login.password or None, require_encryption=True)
                logon.connect()
                tree = TreeConnect(logon, f"\\\\{to.server}\\{to.share}")
                tree.connect()
                connection.echo(sid=logon.session_id, timeout=int(CONNECT_S), credit_request=CREDITS)
        except Exception as error:  # the same: whatever a server answers to who wants to be let in
            end(connection)
            raise self._not_joined(login, error) from error
        return _Joined(connection, logon, tree)

    def _drop(self, joined: _Joined) -> None:
        with self._joining:
            if self._joined is joined:
                self._joined = None
        end(joined.connection)

    def close(self) -> None:
        """Take leave. The next call connects again."""
        with self._joining:
            joined, self._joined = self._joined, None
        if joined is not None:
            end(joined.connection)

    def _not_joined(self, login: Login, error: Exception) -> PoolpairError:
        where, account = f"the {self._whose} share {self.address}", login.account or "this account's ticket"
        status = error.status if isinstance(error, SMBResponseException) else 0
        if status == NtStatus.STATUS_NOT_SUPPORTED or isinstance(error, _TooWeak):
            hint = "have the server offer SMB 3.1.1 with encryption"
            return PoolpairError(Code.SHARE_FAILED, f"{where}: the server does not offer what is needed", hint)
        if status == NtStatus.STATUS_BAD_NETWORK_NAME:
            hint = "correct `share` in the pool file, or make the share"
            return PoolpairError(Code.SHARE_MISSING, f"{where}: the server has no share of that name", hint)
        if status == NtStatus.STATUS_ACCESS_DENIED:
            return PoolpairError(Code.SHARE_DENIED, f"{where}: {account} may not enter it")
        if isinstance(error, SMBResponseException | SMBAuthenticationError):
            hint = "correct the credentials file, or the account at the file server"
            return PoolpairError(Code.SHARE_DENIED, f"{where}: {account} is not let in: {_brief(error)}", hint)
        return self._unreachable(error)

    def _unreachable(self, error: Exception) -> PoolpairError:
        where = f"the file server of the {self._whose} share {self.address}"
        hint = "look at the server and the line to it; it is tried again by itself"
        if getattr(error, "timed_out", False):
            late = PoolpairError(Code.SHARE_FAILED, f"{where} did not answer in time", hint)
            self._late = monotonic(), late
            return late
        return PoolpairError(Code.SHARE_FAILED, f"{where} cannot be reached: {_brief(error)}", hint)


class Stream:
    """Requests that need not wait for each other's answers."""

    def __init__(self, line: Line, joined: _Joined) -> None:
        self._line = line
        self._joined = joined

    def send(self, message: Any) -> Request:  # noqa: ANN401 - as above
        """Send one. Raises what the library raises; whoever opened the stream turns that into our words."""
        joined = self._joined
        with at_most(ANSWER_S, joined.connection):
            return joined.connection.send(message, joined.logon.session_id, joined.tree.tree_connect_id)

    def receive(self, request: Request) -> Answer:
        """Wait for an answer."""
        with at_most(ANSWER_S, self._joined.connection):
            return _received(self._joined.connection, request)


def _received(connection: Connection, request: Request) -> Answer:
    try:
        response = connection.receive(request, resolve_symlinks=False)
    except SMBResponseException as error:
        if error.status in BROKEN:
            raise
        return Answer(error.status, bytes(error.header["data"].get_value()))
    return Answer(NtStatus.STATUS_SUCCESS, bytes(response["data"].get_value()))


def _brief(error: Exception) -> str:
    """The error without the library's prefix and newlines."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # it looks into the server's answer for words, which may be anything
        text = ""
    return text.removeprefix("Received unexpected status from the server: ")[:200] or type(error).__name__


def first_bad(answers: Sequence[Answer]) -> int:
    """The status of the first request that was not carried out, 0 if all were."""
    return next((answer.status for answer in answers if answer.status != NtStatus.STATUS_SUCCESS), 0)
