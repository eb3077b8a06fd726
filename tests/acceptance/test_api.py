"""The API beside two real services, and a real HAProxy that sends a client to whoever serves."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from poolpair.lab.pool import PROGRAM, Pool, make_pools, wait_for
from poolpair.lab.steps import wait_final

WAIT_S = 40.0
HAPROXY = """
global
  maxconn 50
defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
  option redispatch
frontend clients
  bind unix@{socket}
  default_backend users_of_a
backend users_of_a
  option httpchk
  http-check send meth GET uri /v1/serving/a
  http-check expect status 200
  default-server inter 200ms fall 1 rise 1
  server a 127.0.0.1:{apps[a]} check port {apis[a]}
  server b 127.0.0.1:{apps[b]} check port {apis[b]}
"""


@dataclass
class Ground:
    """Two pools with services and APIs."""

    pools: tuple[Pool, Pool]
    ports: dict[str, int]

    def get(self, pool: str, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        """Ask the API of a pool."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[pool], timeout=15)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


@contextmanager
def api(pool: Pool) -> Iterator[int]:
    """`poolpair api` on any free port."""
    with pool.toml.open("a") as file:
        file.write('\n[api]\nlisten = "127.0.0.1:0"\n')
    words = [*PROGRAM, "-c", str(pool.toml), "api", "--allow-root"]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        try:
            assert "answers on http://127.0.0.1:" in said
            yield int(said.split(":")[2].split(";")[0])
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def application(name: str) -> Iterator[int]:
    """What stands for the application of a pool: says its name."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1")
            self.end_headers()
            self.wfile.write(name.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """Both services after the first copy, with their APIs."""
    pools = make_pools(tmp_path, interval='"5s"', heartbeat_max='"500ms"')
    try:
        for pool in pools:
            pool.start()
        wait_final(*pools)
        with api(pools[0]) as a, api(pools[1]) as b:
            yield Ground(pools, {"a": a, "b": b})
    finally:
        for pool in pools:
            pool.kill()


def asked(path: Path) -> str:
    """Who answers a client of the load balancer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(15)
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b"")).decode()
    status = answer.split(" ", 2)[1]
    return answer.rpartition("\r\n\r\n")[2] if status == "200" else status


@pytest.mark.timeout(240)
def test_a_load_balancer_follows_the_users(ground: Ground, tmp_path: Path) -> None:
    """To a, to b after a failover; to nobody when b's service is dead."""
    a, b = ground.pools
    path = tmp_path / "clients.sock"
    with ExitStack() as stack:
        apps = {pool.name: stack.enter_context(application(pool.name)) for pool in ground.pools}
        file = tmp_path / "haproxy.cfg"
        file.write_text(HAPROXY.format(socket=path, apps=apps, apis=ground.ports))
        with subprocess.Popen(["haproxy", "-db", "-q", "-f", str(file)], stdin=subprocess.DEVNULL) as balancer:
            try:
                wait_for("the load balancer listening", path.exists, WAIT_S)
                wait_for("a client being sent to a", lambda: asked(path) == "a", WAIT_S)
                a.must("failover", "a", "--yes")
                wait_for("a client being sent to b", lambda: asked(path) == "b", WAIT_S)
                assert (ground.get("a", "/v1/serving/a")[0], ground.get("b", "/v1/serving/a")[0]) == (503, 200)
                b.kill()
                wait_for("a client being sent to nobody", lambda: asked(path) == "503", WAIT_S)
                assert "no service runs" in ground.get("b", "/v1/serving/a")[1]
                assert ground.get("b", "/livez") == (200, "alive\n")
                assert ground.get("b", "/readyz")[0] == 503
            finally:
                balancer.terminate()
                balancer.wait(20)


@pytest.mark.timeout(240)
def test_answers_are_the_truth_and_nothing_else_is_answered(ground: Ground) -> None:
    """An answer comes while somebody holds the database; the status is the command's; other names, methods and hosts are refused."""
    a, _ = ground.pools
    status, body = ground.get("a", "/v1/serving/a")
    assert (status, json.loads(body)) == (
        200,
        {"pool": "a", "here": "a", "serving": True, "served_by": "a", "epoch": 0, "why": ""},
    )
    assert ground.get("a", "/readyz")[0] == 200
    with a.sql() as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert ground.get("a", "/v1/serving/a")[0] == 200
        assert ground.get("a", "/v1/serving/b")[0] == 503
        connection.rollback()
    assert ground.get("a", "/v1/status")[0] == 401
    token = a.must("token", "show", "reader").out.split()[0]
    told, printed = json.loads(ground.get("a", "/v1/status", Authorization=f"Bearer {token}")[1]), a.status()
    assert told.keys() == printed.keys()
    assert (told["homes"], told["pool"], told["service_running"]) == (printed["homes"], "a", True)
    assert "pair.key" not in json.dumps(told)
    refused = {
        "/v1/serving/c": 404,
        "/v1/serving/A": 404,
        "/v1/serving/" + "a" * 5000: 404,
        "/v1/serving/a%2f..%2fb": 404,
        "/v1/serving/": 404,
        "/docs": 404,
        "/openapi.json": 404,
    }
    assert {path: ground.get("a", path)[0] for path in refused} == refused
    assert ground.get("a", "/v1/serving/a", "POST")[0] == 405
    assert ground.get("a", "/v1/serving/a", Host="evil.example")[0] == 421
    with socket.create_connection(("127.0.0.1", ground.ports["a"]), timeout=15) as endless:
        endless.sendall(b"GET /livez HTTP/1.1\r\nFiller: " + b"x" * 100_000)
        assert endless.recv(4096).startswith(b"HTTP/1.1 400 ")
    assert ground.get("a", "/v1/serving/a", "HEAD") == (200, "")


def test_an_address_that_is_taken_is_said(tmp_path: Path) -> None:
    """With its code and hint, before anything is answered."""
    a, _ = make_pools(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with a.toml.open("a") as file:
            file.write(f'\n[api]\nlisten = "127.0.0.1:{taken.getsockname()[1]}"\n')
        answer = a.run("api", "--allow-root")
    assert (answer.exit_status, "P107 cannot listen on 127.0.0.1" in answer.talk) == (64, True)
