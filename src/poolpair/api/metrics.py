"""Figures for Prometheus: few series, each told by the status and nothing else. Ages and sizes in seconds and bytes.

Counters begin at zero with each start of the service. `ops/prometheus-rules.yml` holds the alerts, `ops/grafana.json` a dashboard.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fastapi import APIRouter, Depends, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from poolpair import __version__
from poolpair.api.access import Bearer
from poolpair.api.desk import Desk
from poolpair.errors import PoolpairError
from poolpair.pipeline.site import Site
from poolpair.pulse import read_pulse
from poolpair.readiness import is_silent
from poolpair.report import gather
from poolpair.status import PairStatus

LEVELS = {"healthy": 0, "attention": 1, "broken": 2}
KEPT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the series are made of."""

    status: PairStatus
    sent_bytes: dict[str, int]
    received_bytes: dict[str, int]
    scratch_free_bytes: int | None
    share_free_bytes: int | None
    key_age_s: float | None
    now_s: float


def figures_of(site: Site, key_file: Path) -> Figures:
    """Look. Raises what reading the store raises; what else cannot be told is left out."""
    current, _ = read_pulse(site, site.store.lease_holder())
    now_s = datetime.fromisoformat(site.clock.utc_iso()).timestamp()
    return Figures(
        status=gather(site),
        sent_bytes={str(channel): count for channel, count in (current.sent_bytes if current else {}).items()},
        received_bytes={str(channel): count for channel, count in (current.received_bytes if current else {}).items()},
        scratch_free_bytes=_free(lambda: shutil.disk_usage(site.scratch).free),
        share_free_bytes=_free(site.own.free_bytes),
        key_age_s=_key_age_s(key_file, now_s),
        now_s=now_s,
    )


def _free(look: Callable[[], int]) -> int | None:
    try:
        return look()
    except (OSError, PoolpairError):
        return None


def _key_age_s(key_file: Path, now_s: float) -> float | None:
    """Since the file of the pair's secrets was changed last; by its own time, which a copy may have anew."""
    try:
        return max(0.0, now_s - key_file.stat().st_mtime)
    except OSError:
        return None


class Series:
    """The series of one moment; `labels` name this pool and its partner."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._names = ("pool", "partner")
        self._values = (figures.status.pool, figures.status.partner)

    def collect(self) -> Iterator[Metric]:
        """Every series, as prometheus-client asks for them."""
        found = self._figures.status
        yield self._one(
            "poolpair_up", "1: the service of this pool runs, and does not hang.", float(found.service_works)
        )
        yield self._one("poolpair_status", "What `poolpair status` ends with: 0 healthy to 3 down.", found.exit_status)
        yield self._one("poolpair_partner_silent", "1: no fresh word from the partner.", float(is_silent(found)))
        if found.word_age_s is not None:
            yield self._one(
                "poolpair_partner_word_age_seconds", "Age of the partner's last word at most.", found.word_age_s
            )
        yield self._one("poolpair_ledger_open", "Ledger entries without a decision.", found.ledger_open)
        yield self._one(
            "poolpair_application_up", "1: the application runs, or nothing tells.", float(not found.application)
        )
        yield from self._of_channels(found)
        yield from self._of_homes(found)
        yield from self._of_places()
        info = GaugeMetricFamily("poolpair_info", "The release.", labels=(*self._names, "version"))
        info.add_metric((*self._values, __version__), 1.0)
        yield info

    def _of_channels(self, found: PairStatus) -> Iterator[Metric]:
        def gauge(name: str, words: str, values: Iterable[tuple[str, float]]) -> Metric:
            family = GaugeMetricFamily(f"poolpair_{name}", words, labels=(*self._names, "channel"))
            for channel, value in values:
                family.add_metric((*self._values, channel), value)
            return family

        channels = found.channels
        yield gauge(
            "lag_seconds",
            "Age of the oldest change that is not acknowledged.",
            ((each.channel, each.export.lag_s) for each in channels),
        )
        yield gauge(
            "log_groups",
            "Changed groups that are in no package.",
            ((c.channel, c.export.pending_groups) for c in channels),
        )
        yield gauge(
            "in_flight_bytes",
            "Of packages delivered and not acknowledged.",
            ((c.channel, c.export.in_flight_bytes) for c in channels),
        )
        known = ((each.channel, each.imports.reach_age_s) for each in channels)
        yield gauge(
            "reach_age_seconds",
            "Whatever the partner accepted so long ago is applied here.",
            ((channel, age_s) for channel, age_s in known if age_s is not None),
        )
        yield gauge(
            "parked_groups", "Groups that this store refused.", ((c.channel, c.imports.parked) for c in channels)
        )
        yield gauge(
            "held_packages", "Packages that wait for a decision.", ((c.channel, c.imports.held) for c in channels)
        )
        yield gauge(
            "quarantined_files",
            "Refused files in the own share.",
            ((c.channel, c.imports.quarantined) for c in channels),
        )
        for name, words, counts in (
            ("sent_bytes", "Of packages delivered since the service started.", self._figures.sent_bytes),
            ("received_bytes", "Of packages applied since the service started.", self._figures.received_bytes),
        ):
            family = CounterMetricFamily(f"poolpair_{name}", words, labels=(*self._names, "channel"))
            for channel, count in counts.items():
                family.add_metric((*self._values, channel), count)
            yield family

    def _of_homes(self, found: PairStatus) -> Iterator[Metric]:
        labels = (*self._names, "home")
        serving = GaugeMetricFamily(
            "poolpair_serving", "1: a service that works serves the users of a home here.", labels=labels
        )
        epoch = GaugeMetricFamily("poolpair_epoch", "The epoch of a home.", labels=labels)
        for home in found.homes:
            served = home.served_by == found.pool and home.takes_writes and found.service_works
            serving.add_metric((*self._values, home.home), float(served))
            epoch.add_metric((*self._values, home.home), home.epoch)
        ready = GaugeMetricFamily(
            "poolpair_takeover_level",
            "Could a home be taken over: 0 yes, 1 see to it, 2 no or not known.",
            labels=labels,
        )
        for each in found.takeovers:
            ready.add_metric((*self._values, each.home), LEVELS[each.level])
        yield from (serving, epoch, ready, *self._of_drills(found, labels))

    def _of_drills(self, found: PairStatus, labels: tuple[str, ...]) -> Iterator[Metric]:
        """Of the homes that can be rehearsed here: those that the partner serves now."""
        passed = GaugeMetricFamily(
            "poolpair_drill_passed_age_seconds",
            "How long ago the last drill of a home that passed began; +Inf if none ever did.",
            labels=labels,
        )
        failed = GaugeMetricFamily("poolpair_drill_failed", "1: the last drill of a home failed.", labels=labels)
        drills = {drill.home: drill for drill in found.drills}
        for home in (each.home for each in found.homes if each.served_by == found.partner):
            drill = drills.get(home)
            failed.add_metric((*self._values, home), float(drill is not None and bool(drill.failure)))
            passed.add_metric((*self._values, home), self._age_s(drill.passed) if drill else math.inf)
        yield from (passed, failed)

    def _age_s(self, utc: str) -> float:
        """How long ago that was; +Inf if it never was."""
        if not utc:
            return math.inf
        return max(0.0, self._figures.now_s - datetime.fromisoformat(utc).astimezone(UTC).timestamp())

    def _of_places(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("poolpair_free_bytes", "Room left.", labels=(*self._names, "place"))
        places = ("scratch", self._figures.scratch_free_bytes), ("share", self._figures.share_free_bytes)
        for place, free in places:
            if free is not None:
                family.add_metric((*self._values, place), free)
        yield family
        if self._figures.key_age_s is not None:
            yield self._one(
                "poolpair_key_age_seconds",
                "How long ago the file of the pair's secrets was changed.",
                self._figures.key_age_s,
            )

    def _one(self, name: str, words: str, value: float) -> Metric:
        family = GaugeMetricFamily(name, words, labels=self._names)
        family.add_metric(self._values, value)
        return family


def metric_routes(desk: Desk, reader: Callable[..., Awaitable[Bearer]]) -> APIRouter:
    """`/metrics`."""
    router = APIRouter(tags=["look"], dependencies=[Depends(reader)])

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Figures for Prometheus."""
        looks = desk.answering.looks
        figures = await desk.ask(
            looks, lambda: looks.kept("figures", KEPT_S, lambda site: figures_of(site, desk.key_file), Figures)
        )
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Series(figures))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
