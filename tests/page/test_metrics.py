"""Figures, alerts and the dashboard: what is asked for exists, and each alert fires when it should."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from poolpair.api.metrics import Figures, Series
from poolpair.model import Channel
from poolpair.moves import DrillResult
from poolpair.outlook import Level, Takeover
from poolpair.status import ChannelStatus, HomeStatus, PairStatus
from tests.unit.test_status_text import EXPORT, IMPORT

ROOT = Path(__file__).parents[2]
OPS = ROOT / "ops"
AGED = replace(IMPORT, reach_age_s=1.5)
STATUS = PairStatus(
    pool="a",
    partner="b",
    at_utc="2026-01-02T00:00:00.000+00:00",
    service_running=True,
    front_end="fe",
    homes_served=("a",),
    word_age_s=0.5,
    channels=(ChannelStatus(channel=Channel.USERS, module="m", export=EXPORT, imports=AGED),),
    homes=(
        HomeStatus(home="a", served_by="a", epoch=2, takes_writes=True, plan="", recovering=False, stopped=None),
        HomeStatus(home="b", served_by="b", epoch=0, takes_writes=False, plan="", recovering=False, stopped=None),
    ),
    drills=(DrillResult(home="b", at_utc="2026-01-01T00:00:00.000+00:00", rto_s=1.0),),
    takeovers=(Takeover(home="a", served_by="a", by="b", level=Level.ATTENTION),),
)
FIGURES = Figures(
    status=STATUS,
    sent_bytes={"users": 1000},
    received_bytes={"users": 2000},
    scratch_free_bytes=10**9,
    share_free_bytes=10**9,
    key_age_s=60.0,
    now_s=1767312000.0,
)


def series(figures: Figures = FIGURES) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Every series by its name and labels."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Series(figures))
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def asked_for(text: str) -> set[str]:
    """The names of series in queries."""
    return set(re.findall(r"\bpoolpair_[a-z_]+", text))


def test_figures_are_what_the_status_says() -> None:
    """Names, labels and units; nothing is made up where nothing is known."""
    found = series()
    ours = (("partner", "b"), ("pool", "a"))
    assert found["poolpair_up"] == {ours: 1.0}
    assert found["poolpair_takeover_level"] == {(("home", "a"), *ours): 1.0}
    assert found["poolpair_epoch"] == {(("home", "a"), *ours): 2.0, (("home", "b"), *ours): 0.0}
    assert found["poolpair_sent_bytes_total"] == {(("channel", "users"), *ours): 1000.0}
    assert found["poolpair_drill_passed_age_seconds"] == {(("home", "b"), *ours): 86400.0}
    assert found["poolpair_reach_age_seconds"] == {(("channel", "users"), *ours): 1.5}
    assert found["poolpair_drill_failed"] == {(("home", "b"), *ours): 0.0}
    assert len(found) < 30


def test_a_drill_that_fails_or_never_was_is_seen() -> None:
    """A failed one leaves the age of the last that passed; without any that passed it is endless; of a home served here nothing."""
    passed, failed = (
        STATUS.drills[0],
        replace(STATUS.drills[0], at_utc="2026-01-02T00:00:00.000+00:00", failure="P313: no"),
    )
    ours = (("home", "b"), ("partner", "b"), ("pool", "a"))
    for drills, age_s, is_failed in (
        ((replace(failed, passed_utc=passed.passed),), 86400.0, 1.0),
        ((failed,), float("inf"), 1.0),
        ((), float("inf"), 0.0),
    ):
        found = series(replace(FIGURES, status=replace(STATUS, drills=drills)))
        assert found["poolpair_drill_passed_age_seconds"] == {ours: age_s}
        assert found["poolpair_drill_failed"] == {ours: is_failed}
    here = replace(STATUS, homes=tuple(replace(home, served_by="a") for home in STATUS.homes))
    assert "poolpair_drill_passed_age_seconds" not in series(replace(FIGURES, status=here))


def test_no_figure_stands_for_what_is_not_known() -> None:
    """A partner that was never heard has no age, a copy of unknown reach none."""
    channel = replace(STATUS.channels[0], imports=replace(AGED, reach_age_s=None))
    status = replace(STATUS, word_age_s=None, channels=(channel,))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Series(replace(FIGURES, status=status, key_age_s=None, share_free_bytes=None)))
    text = generate_latest(registry).decode()
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    for name in ("partner_word_age", "reach_age", "key_age", 'place="share"'):
        assert not [line for line in samples if name in line], name


def test_every_alert_fires_when_it_should() -> None:
    """Promtool reads the rules, and plays each on made-up series: quiet first, then firing, with its words."""
    for words in (["check", "rules", "prometheus-rules.yml"], ["test", "rules", "prometheus-rules-test.yml"]):
        done = subprocess.run(["promtool", *words], cwd=OPS, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    rules = (OPS / "prometheus-rules.yml").read_text()
    alerts = re.findall(r"alert: (\w+)", rules)
    tested = set(re.findall(r"alertname: (\w+)", (OPS / "prometheus-rules-test.yml").read_text()))
    assert set(alerts) == tested
    assert asked_for(" ".join(re.findall(r"expr: (.*)", rules))) <= set(series())


def test_every_query_of_the_dashboard_has_its_series() -> None:
    """No panel asks for a series that is not there, and every panel has a query."""
    board = json.loads((OPS / "grafana.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert all(panel["targets"] for panel in board["panels"])
    names = asked_for(" ".join(queries))
    assert names <= set(series())
    assert len(names) > 10


def test_every_alert_has_its_entry_in_the_runbook() -> None:
    """The link of each alert leads to a heading of docs/RUNBOOK.md."""
    headings = set(re.findall(r"^### (\w+)$", (ROOT / "docs" / "RUNBOOK.md").read_text(), re.MULTILINE))
    assert set(re.findall(r"alert: (\w+)", (OPS / "prometheus-rules.yml").read_text())) == headings
