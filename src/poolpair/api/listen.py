"""Where it listens: loopback, unless the pool file says that others may ask."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from poolpair.api.answers import Answers
from poolpair.api.app import make_app
from poolpair.config import Api
from poolpair.errors import Code, PoolpairError

CONNECTIONS_MAX = 64
REQUEST_MAX_BYTES = 16384
IDLE_S = 5


def answer(answers: Answers, reports: Answers, api: Api, tell: Callable[[str], None]) -> None:
    """Answer until SIGTERM or SIGINT. Raises API_ADDRESS if the address cannot be had."""
    with listening(api) as listener:
        host, port = listener.getsockname()[:2]
        server = uvicorn.Server(
            uvicorn.Config(
                make_app(answers, reports, local=api.is_local),
                log_level="error",
                access_log=False,
                server_header=False,
                date_header=False,
                lifespan="off",
                ws="none",
                proxy_headers=False,
                limit_concurrency=CONNECTIONS_MAX,
                timeout_keep_alive=IDLE_S,
                timeout_graceful_shutdown=IDLE_S,
                h11_max_incomplete_event_size=REQUEST_MAX_BYTES,
            )
        )
        tell(f"answers on http://{f'[{host}]' if ':' in host else host}:{port}; stop with SIGTERM")
        server.run(sockets=[listener])


def listening(api: Api) -> socket.socket:
    """The socket, bound and listening."""
    family = socket.AF_INET6 if ":" in api.host else socket.AF_INET
    try:
        return socket.create_server((api.host, api.port), family=family)
    except OSError as error:
        raise PoolpairError(Code.API_ADDRESS, f"cannot listen on {api.listen}: {error.strerror}") from error
