"""Where it listens: loopback, unless the pool file says that others may ask; under TLS where a certificate is named."""

from __future__ import annotations

import asyncio
import socket
import ssl
import stat
from collections.abc import Callable

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from poolpair.api.app import make_app
from poolpair.api.desk import Desk
from poolpair.config import Api
from poolpair.errors import Code, PoolpairError

CONNECTIONS_MAX = 64
REQUEST_MAX_BYTES = 16384
IDLE_S = 5
REQUEST_S = 10.0
"""Within this time a connection has sent its first request, or one that it has begun, with its body, or is closed."""


class PromptProtocol(H11Protocol):
    """HTTP, and whoever connects says what he wants: connections are counted, and one that says nothing would take the place of another."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the class above has it
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._begin_to_wait()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a request that has begun, be it the first or a later one."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body:
            self._wait_no_more()
        elif self._deadline is None:
            self._begin_to_wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._wait_no_more()
        super().connection_lost(exc)

    def _begin_to_wait(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_S, self._end)

    def _wait_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def answer(desk: Desk, api: Api, tell: Callable[[str], None]) -> None:
    """Answer until SIGTERM or SIGINT. Raises API_ADDRESS if the address cannot be had, API_FILES if the certificate cannot be used."""
    check_certificate(api)
    with listening(api) as listener:
        host, port = listener.getsockname()[:2]
        server = uvicorn.Server(
            uvicorn.Config(
                make_app(desk, local=api.is_local),
                log_level="error",
                access_log=False,
                server_header=False,
                date_header=False,
                lifespan="on",
                http=PromptProtocol,
                ws="none",
                proxy_headers=False,
                limit_concurrency=CONNECTIONS_MAX,
                timeout_keep_alive=IDLE_S,
                timeout_graceful_shutdown=IDLE_S,
                h11_max_incomplete_event_size=REQUEST_MAX_BYTES,
                ssl_certfile=api.certificate,
                ssl_keyfile=api.certificate_key,
            )
        )
        scheme = "https" if api.certificate else "http"
        tell(f"answers on {scheme}://{f'[{host}]' if ':' in host else host}:{port}; stop with SIGTERM")
        server.run(sockets=[listener])


def listening(api: Api) -> socket.socket:
    """The socket, bound and listening."""
    family = socket.AF_INET6 if ":" in api.host else socket.AF_INET
    try:
        return socket.create_server((api.host, api.port), family=family)
    except OSError as error:
        raise PoolpairError(Code.API_ADDRESS, f"cannot listen on {api.listen}: {error.strerror}") from error


def check_certificate(api: Api) -> None:
    """That it can be used, and that its key is private. Raises API_FILES."""
    if api.certificate is None or api.certificate_key is None:
        return
    try:
        mode = stat.S_IMODE(api.certificate_key.stat().st_mode)
        if mode & 0o077:
            detail = f"{api.certificate_key} is not private: mode {mode:04o}, not 0600"
            raise PoolpairError(Code.API_FILES, detail)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(api.certificate, api.certificate_key)
    except ssl.SSLError as error:
        detail = f"{api.certificate} and {api.certificate_key} are no certificate and its key: {error.reason}"
        raise PoolpairError(Code.API_FILES, detail) from error
    except OSError as error:
        raise PoolpairError(Code.API_FILES, f"{error.filename or api.certificate}: {error.strerror}") from error
