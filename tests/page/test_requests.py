"""The API as a program meets it: who may do what, problems in words, orders that come to what the commands' do, and the audit of all."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS
from schemathesis.core.result import Ok

from poolpair.lab.pool import PROGRAM, make_pools, wait_for
from tests.page.ground import Ground, ground
from tests.swept import DENSE

EXAMPLES = 300 if DENSE else 12
"""Requests that are made up for each operation; the count of all is printed."""
DRAWN = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
READS = (
    "parked",
    "held",
    "hooks",
    "quarantine",
    "moves",
    "history",
    "audit",
    "plans",
    "ledger",
    "deployment",
    "status",
    "openapi.json",
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """One pair for all tests of this file."""
    with ground(tmp_path_factory.mktemp("requests")) as made:
        yield made


@pytest.mark.timeout(300)
def test_whoever_looks_needs_a_token_and_whoever_orders_an_operators(pair: Ground) -> None:
    """Without one 401, with a reader's 403 for orders; each problem has its code and hint. Who serves is told to everybody."""
    for path in READS:
        status, found = pair.ask("GET", f"/v1/{path}", token="")
        assert (status, found["code"], found["type"]) == (401, "P122", "urn:poolpair:error:P122"), path
        assert pair.ask("GET", f"/v1/{path}", token="x" * 40)[0] == 401
        assert pair.ask("GET", f"/v1/{path}", token=pair.reader)[0] == 200, path
    status, found = pair.ask("POST", "/v1/pause", {"reason": "x"}, token=pair.reader)
    assert (status, found["code"], bool(found["hint"])) == (403, "P123", True)
    assert pair.ask("GET", "/v1/serving/a", token="")[0] == 200
    assert pair.ask("GET", "/metrics", token="")[0] == 401


@pytest.mark.timeout(300)
def test_connections_that_say_nothing_take_no_place(pair: Ground) -> None:
    """As many as are served at all, from whoever reaches the port: they are ended, and a balancer is answered again."""
    silent = [socket.create_connection(("127.0.0.1", pair.port)) for _ in range(70)]
    try:
        for number, connection in enumerate(silent):
            if number % 2:
                connection.sendall(b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nx")
        wait_for("an answer", lambda: pair.ask("GET", "/v1/serving/a", token="")[0] == 200, 60)
    finally:
        for connection in silent:
            connection.close()


@pytest.mark.timeout(300)
def test_a_connection_that_begins_a_second_request_takes_no_place(pair: Ground) -> None:
    """One whole request does not buy a connection the right to stay with half of another."""
    begun = [socket.create_connection(("127.0.0.1", pair.port)) for _ in range(64)]
    try:
        for connection in begun:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert connection.recv(1000)
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
        wait_for("an answer", lambda: pair.ask("GET", "/v1/serving/a", token="")[0] == 200, 60)
    finally:
        for connection in begun:
            connection.close()


@pytest.mark.timeout(300)
def test_a_browser_orders_only_from_our_own_pages(pair: Ground) -> None:
    """A cookie that a page elsewhere makes the browser send orders nothing; an altered or foreign cookie opens nothing."""

    def post(path: str, form: dict[str, str], **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", pair.port, timeout=60)
        sent = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        try:
            connection.request("POST", path, urlencode(form), sent)
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.getheader("set-cookie", "")
        finally:
            connection.close()

    assert post("/login", {"token": pair.operator}, Origin="https://evil.example")[0] == 403
    status, cookie = post("/login", {"token": pair.operator}, Origin=pair.url)
    assert status == 303
    assert {"HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))
    assert pair.operator not in cookie
    mine = cookie.split(";")[0]
    assert post("/order/sync", {}, Cookie=mine, Origin="https://evil.example")[0] == 403
    assert post("/order/sync", {}, Cookie=mine)[0] == 403
    assert post("/order/sync", {}, Cookie=f"{mine[:-1]}{'0' if mine[-1] != '0' else '1'}", Origin=pair.url)[0] == 401
    assert post("/order/sync", {}, Cookie=mine, Origin=pair.url)[0] == 303


@pytest.mark.timeout(300)
def test_a_token_taken_back_ends_an_open_page(pair: Ground) -> None:
    """Whoever still has the page open is told so, and hears no more."""
    token = pair.a.must("token", "new", "guest").out.strip()
    connection = http.client.HTTPConnection("127.0.0.1", pair.port, timeout=60)
    try:
        connection.request("GET", "/live", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        assert answer.readline() == b"event: news\n"
        (file,) = pair.a.folder.rglob("api.tokens")
        file.write_text("".join(line for line in file.read_text().splitlines(keepends=True) if token not in line))
        assert "event: lost" in answer.read().decode()
    finally:
        connection.close()


@pytest.mark.timeout(300)
def test_a_dangerous_order_repeats_the_name(pair: Ground) -> None:
    """Without it, or with another pool's, nothing is changed; what does not fit the state is a 409 with the command's own words."""
    for path, body in (
        ("/v1/pools/a/failover", {"confirm": "b"}),
        ("/v1/pools/b/failback", {"confirm": "a", "disaster": True}),
        ("/v1/ledger/decisions", {"confirm": "b", "choice": "ours"}),
        ("/v1/held/users", {"confirm": "b", "decision": "refuse"}),
        ("/v1/setback", {"confirm": "b", "side": "ours"}),
        ("/v1/fence/off", {"confirm": "b", "reason": "x"}),
    ):
        status, found = pair.ask("POST", path, body)
        assert (status, found["code"]) == (422, "P124"), path
        status, found = pair.ask("POST", path, {name: value for name, value in body.items() if name != "confirm"})
        assert (status, found["code"]) == (422, "P124"), path
    status, found = pair.ask("POST", "/v1/held/users", {"confirm": "a", "decision": "refuse"})
    assert (status, found["code"], found["detail"]) == (409, "P105", "nothing is held on users")
    status, found = pair.ask("POST", "/v1/pools/b/failover", {"confirm": "b", "disaster": False})
    assert status == 202
    assert found["accepted"] == "failover b: ask"
    wait_for("a serving the users of b", lambda: pair.a.status()["homes"][1]["served_by"] == "a", 60)
    assert pair.ask("POST", "/v1/pools/b/failback", {"confirm": "b"})[0] == 202
    wait_for("b serving its users", lambda: pair.a.status()["homes"][1]["served_by"] == "b", 60)


@pytest.mark.timeout(300)
def test_orders_come_to_what_the_commands_do(pair: Ground) -> None:
    """Pause, resume, verify and sync over HTTP are seen by the status of the command; the audit names who, from where, and the outcome."""
    assert pair.ask("POST", "/v1/pause", {"reason": "the line is needed", "channels": ["users"]})[1]["count"] == 1
    told = next(each for each in pair.a.status()["channels"] if each["channel"] == "users")
    assert "the line is needed" in told["export"]["fault"]["detail"]
    assert pair.ask("POST", "/v1/resume", {})[1]["done"] == "resumed users"
    assert pair.ask("POST", "/v1/verify", {})[0] == 202

    def verified() -> bool:
        found = [each["export"]["last_verify"] for each in pair.a.status()["channels"]]
        return all(each is not None and each["reason"] == "verify" and each["equal"] for each in found)

    wait_for("both channels verified", verified, 60)
    assert pair.ask("POST", "/v1/sync", {"channels": ["cms"]})[0] == 422
    audit = pair.ask("GET", "/v1/audit", token=pair.reader)[1]
    assert (audit[0]["what"], audit[0]["outcome"]) == ("sync cms", "refused: P124: this pair has no channel cms")
    paused = next(each for each in audit if each["what"] == "pause users: the line is needed")
    assert (paused["who"], paused["whence"], paused["outcome"]) == ("operator", "127.0.0.1", "done")
    assert pair.operator not in json.dumps(audit)


@pytest.mark.timeout(300)
def test_the_audit_has_what_was_refused_and_what_came_to_nothing(pair: Ground) -> None:
    """A reader's attempt, a name that was not repeated, and a failback of users who are at home; each says what it was."""

    def newest(what: str) -> list[tuple[str, str]]:
        found = pair.ask("GET", "/v1/audit", token=pair.reader)[1]
        return [(each["who"], each["outcome"]) for each in found if each["what"] == what]

    refused = "POST /v1/pools/a/failback"

    def attempted() -> bool:
        """One a minute is entered of whoever tries, and another test may have had this one."""
        assert pair.ask("POST", "/v1/pools/a/failback", {"confirm": "a"}, token=pair.reader)[0] == 403
        return any("P123" in words for _, words in newest(refused))

    assert pair.ask("POST", "/v1/pools/a/failback", {"confirm": "a", "accept_incomplete": True})[0] == 202
    assert newest("failback a --accept-incomplete") == [("operator", "nothing to do")]
    wait_for("a reader's attempt", attempted, 90)
    assert [who for who, _ in newest(refused) if who == "reader"] == ["reader"]


@pytest.mark.timeout(300)
def test_a_drill_is_ordered_and_its_result_is_in_the_status(pair: Ground) -> None:
    """It runs as the command does; a second one is refused meanwhile or runs after it."""
    assert pair.ask("POST", "/v1/pools/a/drill", {"confirm": "a"})[0] == 409
    assert pair.ask("POST", "/v1/pools/b/drill", {"confirm": "b"})[0] == 202
    wait_for("the drill's result", lambda: [each["failure"] for each in pair.a.status()["drills"]] == [""], 90)


@pytest.mark.timeout(300)
def test_bodies_have_limits(pair: Ground) -> None:
    """A body that is too large, has no length or is no JSON is refused in words."""
    assert pair.ask("POST", "/v1/pause", {"reason": "x" * 70_000})[0] == 400
    assert pair.ask("POST", "/v1/pause", {"reason": "x" * 201})[0] == 422
    assert pair.ask("POST", "/v1/pause", {"reason": "a\nb"})[0] == 422
    assert pair.ask("POST", "/v1/pause", ["x"])[0] == 422
    assert pair.ask("POST", "/v1/pause", {"reason": "x", "more": 1})[0] == 422
    assert pair.ask("POST", "/v1/pause", {"reason": "x"}, Transfer_Encoding="chunked")[0] == 400


@pytest.mark.timeout(7200 if DENSE else 300)
def test_made_up_requests_meet_no_surprise(pair: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    """Schemathesis makes up requests from the description: no answer is a 500, and each is one that the description promises."""
    schema = schemathesis.openapi.from_dict(pair.ask("GET", "/v1/openapi.json")[1])
    schema.config.update(base_url=pair.url)
    made_up: dict[str, int] = {}
    wanted = [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
    ]
    checks: Any = CHECKS.get_by_names(wanted)
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()

        def ask(case: Any) -> None:  # noqa: ANN401 - a case of an operation, of whatever kind
            made_up[case.operation.label] = made_up.get(case.operation.label, 0) + 1
            case.call_and_validate(checks=checks, headers={"Authorization": f"Bearer {pair.operator}"}, timeout=90)

        DRAWN(given(case=operation.as_strategy())(ask))()
    with capsys.disabled():
        print(  # noqa: T201 - the count is to be seen in every run
            f"\nschemathesis: {sum(made_up.values())} requests to {len(made_up)} operations"
        )
    assert sum(made_up.values()) > 150
    assert len(made_up) > 30
    assert pair.a.status()["service_running"]


@pytest.mark.timeout(300)
def test_beyond_loopback_only_tls_tells_more_than_who_serves(tmp_path: Path) -> None:
    """Under TLS everything is answered to whoever has a token; without it, on any other address, only who serves."""
    a, _ = make_pools(tmp_path)
    key, certificate = tmp_path / "api.key", tmp_path / "api.pem"
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=a", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *words, *names], check=True, capture_output=True)
    before = a.toml.read_text()
    api = f'certificate = "{certificate}"\ncertificate_key = "{key}"\n'
    a.toml.write_text(f'{before}\n[api]\nlisten = "127.0.0.1:0"\n{api}')
    key.chmod(0o644)
    refused = a.run("api", "--allow-root")
    assert (refused.exit_status, "P121" in refused.talk, "not private" in refused.talk) == (64, True, True)
    key.chmod(0o600)
    token = a.must("token", "show", "reader").out.split()[0]
    context = ssl.create_default_context(cafile=str(certificate))
    assert _answers(a.toml, "https", token, context) == (503, 200)
    a.toml.write_text(f'{before}\n[api]\nlisten = "0.0.0.0:0"\nallow_remote = true\n')
    assert _answers(a.toml, "http", token, None) == (503, 403)
    assert _answers(a.toml, "http", "", None) == (503, 403)


def _answers(toml: Path, scheme: str, token: str, context: ssl.SSLContext | None) -> tuple[int, int]:
    """What `/v1/serving/a` and `/v1/status` are answered with."""
    words = [*PROGRAM, "-c", str(toml), "api", "--allow-root"]
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        try:
            assert f"answers on {scheme}://" in said, said
            port = int(said.split(":")[2].split(";")[0])
            found: list[int] = []
            for path in ("/v1/serving/a", "/v1/status"):
                connection = (
                    http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=context)
                    if context
                    else http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                )
                connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
                found.append(connection.getresponse().status)
                connection.close()
            return found[0], found[1]
        finally:
            process.terminate()
            process.wait(30)
