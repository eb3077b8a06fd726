"""Curves of the last 24 hours as inline SVG: no script, no style of its own; a text says the same for whoever sees no picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from poolpair.history import DAY_S, EVERY_S, Moment
from poolpair.units import show_age, show_bytes

WIDTH, HEIGHT = 288, 72
"""One unit for each five minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One series: `path` is the outline of what is filled."""

    name: str
    path: str
    worst: str
    """The largest value, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A picture and what it says."""

    title: str
    curves: tuple[Curve, ...]
    top: str
    """The value at the upper edge."""
    says: str
    empty: bool


def charts(moments: tuple[Moment, ...], now_s: float) -> tuple[Chart, Chart]:
    """Lag, and what went over the line both ways."""
    lag = _chart("Lag", moments, now_s, show_age, {"worst of each five minutes": _worst_lag})
    traffic = _chart(
        "Traffic",
        moments,
        now_s,
        lambda value: show_bytes(int(value)),
        {
            "sent in five minutes": lambda moment: sum(each.sent_bytes for each in moment.channels.values()),
            "received": lambda moment: sum(each.received_bytes for each in moment.channels.values()),
        },
    )
    return lag, traffic


def _worst_lag(moment: Moment) -> float:
    return max((each.lag_s for each in moment.channels.values()), default=0.0)


def _chart(
    title: str,
    moments: tuple[Moment, ...],
    now_s: float,
    show: Callable[[float], str],
    series: dict[str, Callable[[Moment], float]],
) -> Chart:
    values = {name: [(moment.at_s, of(moment)) for moment in moments] for name, of in series.items()}
    top = max((value for points in values.values() for _, value in points), default=0.0)
    curves = tuple(
        Curve(name=name, path=_path(points, now_s, top), worst=show(max((value for _, value in points), default=0.0)))
        for name, points in values.items()
    )
    says = ", ".join(f"{curve.name} at most {curve.worst}" for curve in curves)
    return Chart(title=title, curves=curves, top=show(top), says=says, empty=not moments)


def _path(points: list[tuple[int, float]], now_s: float, top: float) -> str:
    """Bars that touch each other; where nothing was noted there is a gap."""
    parts: list[str] = []
    scale = (HEIGHT - 4) / top if top else 0.0
    for at_s, value in points:
        left = WIDTH - (now_s - at_s) / EVERY_S
        height = max(value * scale, 1.0 if value else 0.5)
        if 0 <= now_s - at_s <= DAY_S:
            parts.append(f"M{left:.1f} {HEIGHT}v-{height:.1f}h1v{height:.1f}z")
    return "".join(parts)
