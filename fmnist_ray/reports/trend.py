"""Night after night: what the drift page draws of each, as one small chart per share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fmnist_ray.reports import charts

SHARES = {
    "rejects_share": "Rejected",
    "unsure_share": "Unsure",
    "novel_share": "Like no class",
    "unusable_share": "Unusable photos",
    "contradicted_share": "Category contradicted",
}
"""What is drawn besides the classes, by its name in a night's figures."""
MAX_CLASSES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """One share over the nights; the second line of the chart is a dot at every night with an alarm."""

    title: str
    latest: float
    chart: charts.LineChart


def trends(nights: Sequence[Mapping[str, Any]]) -> list[Trend]:
    """The charts of two nights or more, oldest first, as the drift page has them. A share that no night knows has no
    chart, and a night that does not know it no point."""
    titles = [(title, [night[name] for night in nights]) for name, title in SHARES.items()]
    labels = [entry["label"] for entry in nights[-1]["classes"]]
    if len(labels) <= MAX_CLASSES:
        titles += [
            (label, [night["classes"][number]["share"] for night in nights]) for number, label in enumerate(labels)
        ]
    alarms = [night["state"] == "alarm" for night in nights]
    return [_trend(title, values, alarms) for title, values in titles if values[-1] is not None]


def _trend(title: str, values: Sequence[float | None], alarms: Sequence[bool]) -> Trend:
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    top = max(max(value for _, value in known), 0.01)
    marked = [(float(place), value) for place, value in known if alarms[place]]
    chart = charts.line_chart(
        [([place for place, _ in known], [value for _, value in known])],
        dots=marked,
        x_ticks=[0, len(values) - 1],
        y_ticks=charts.round_ticks(top, most=4),
        height=charts.SMALL_HEIGHT,
    )
    return Trend(title=title, latest=known[-1][1], chart=chart)
