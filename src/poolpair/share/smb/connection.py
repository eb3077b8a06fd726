"""The library's connection, bounded: how long anybody waits on it, and how much of what a stranger says is believed."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from smbprotocol.connection import Connection

PACKET_MAX_BYTES = 0xFFFFFF
"""SMB's own limit of one message over TCP."""

# What it logs is said in our errors, which name the share.
logging.getLogger("smbprotocol").addHandler(logging.NullHandler())
logging.getLogger("smbprotocol").propagate = False


class BoundedConnection(Connection):  # type: ignore[misc] # the library has no types
    """The library's, but for how much it believes: it would make room for whatever length a stranger sends, up to 4 GiB."""

    @property
    def transport(self) -> Any:  # noqa: ANN401
        """The TCP connection, which the library sets."""
        return self.__dict__.get("bounded")

    @transport.setter
    def transport(self, made: Any) -> None:  # noqa: ANN401
        if made is not None:
            receive = made._recv  # noqa: SLF001 - there is no other place where the length is known and nothing is kept yet

            def bounded(length: int, timeout: float) -> Any:  # noqa: ANN401
                if length > PACKET_MAX_BYTES:
                    raise ValueError("what answers there is no file server")
                return receive(length, timeout)

            made._recv = bounded  # noqa: SLF001
        self.__dict__["bounded"] = made

    def verify_signature(self, header: Any, session_id: int, force: bool = False) -> None:  # noqa: ANN401
        """Only what came in the clear is asked about; after the logon nothing may."""
        logon = self.session_table.get(session_id)
        if logon is not None and logon.encrypt_data:
            raise ValueError("an answer came in the clear")
        super().verify_signature(header, session_id, force)


@contextmanager
def at_most(limit_s: float, connection: Connection) -> Iterator[None]:
    """Shut the connection's socket down after a while; whoever waits in the library wakes then, and its error says why."""
    late = False

    def cut() -> None:
        nonlocal late
        late = True
        _shut_down(connection)

    timer = threading.Timer(limit_s, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:  # whatever it is, it came of the cut
        if late:
            error.timed_out = True  # type: ignore[attr-defined]
        raise
    finally:
        timer.cancel()


def _shut_down(connection: Connection) -> None:
    """Not by the library's `disconnect`: that waits for whoever is sending."""
    opened = getattr(connection.transport, "_sock", None)
    if opened is not None:
        with suppress(OSError):
            opened.shutdown(socket.SHUT_RDWR)


def end(connection: Connection) -> None:
    """Throw a connection away, whoever still waits on it."""
    _shut_down(connection)
    with suppress(Exception):  # it is thrown away
        connection.disconnect(close=False)
