"""The charts of an evaluation as SVG files of their own, for papers and slides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fmnist_ray.reports import charts, formats
from fmnist_ray.reports.learning import learning_charts
from fmnist_ray.reports.page import render

_CELL = 48
"""Pixels of a cell of the confusion matrix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figure:
    """A line chart with everything around it."""

    chart: charts.LineChart
    x_title: str
    y_title: str
    write_x: Callable[[float], str] = formats.share
    write_y: Callable[[float], str] = formats.share
    legend: Sequence[str] = ()
    """A name for each line."""


def evaluation_figures(content: dict[str, Any]) -> dict[str, bytes]:
    """SVG by name: risk and coverage, ROC, precision and recall, learning curves, reliability, confusion matrix."""
    figures = {
        "risk_coverage": _Figure(
            chart=risk_chart(content),
            x_title="share of rows accepted, surest first",
            y_title="share of these that is wrong",
            legend=[content["facts"]["bundle_uri"], content["facts"]["against_uri"]] if content["comparison"] else (),
        ),
        **_class_figures(content),
        **_learning_figures(content),
    }
    dots = charts.reliability(content["evaluation"]["reliability"])
    drawn = {name: render("figure.svg.j2", figure=figure) for name, figure in figures.items()}
    drawn["reliability"] = render("reliability.svg.j2", dots=dots, height=charts.SQUARE_HEIGHT)
    if content["evaluation"]["confusion_rates"]:
        labels = [entry["label"] for entry in content["classes"]]
        drawn["confusion"] = render("confusion.svg.j2", evaluation=content["evaluation"], labels=labels, cell=_CELL)
    return drawn


def risk_chart(content: dict[str, Any]) -> charts.LineChart:
    """Risk against coverage, of the bundle and of the one it is compared with."""
    curves = [content["risk_coverage"]["curve"]]
    if content["comparison"]:
        curves.append(content["comparison"]["against_risk_coverage"]["curve"])
    top = max(max(curve["y"][len(curve["y"]) // 20 :]) for curve in curves)
    return charts.line_chart(
        [(curve["x"], curve["y"]) for curve in curves],
        x_ticks=[0, 0.25, 0.5, 0.75, 1],
        y_ticks=charts.round_ticks(max(top, 0.01)),
    )


def _class_figures(content: dict[str, Any]) -> dict[str, _Figure]:
    known = [entry for entry in content["classes"] if entry["curves"]]
    if not known:
        return {}
    curves, legend = [entry["curves"] for entry in known], [entry["label"] for entry in known]
    return {
        "roc": _Figure(
            chart=charts.roc_chart(curves),
            x_title="share of other classes' rows taken for it, logarithmic scale",
            y_title="share of its rows found",
            legend=legend,
        ),
        "precision_recall": _Figure(
            chart=charts.precision_recall_chart(curves, curves),
            x_title="share of its rows found (recall)",
            y_title="share that is right (precision)",
            legend=legend,
        ),
    }


def _learning_figures(content: dict[str, Any]) -> dict[str, _Figure]:
    if content["learning"] is None:
        return {}
    drawn = learning_charts(content["learning"])
    return {
        "learning_loss": _Figure(
            chart=drawn["loss"],
            x_title="epoch",
            y_title="mean cross-entropy",
            write_x=formats.plain,
            write_y=formats.plain,
            legend=["validation", "training, with augmentation"],
        ),
        "learning_accuracy": _Figure(
            chart=drawn["accuracy"],
            x_title="epoch",
            y_title="share of validation images that is right",
            write_x=formats.plain,
        ),
    }
