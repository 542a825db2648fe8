"""Learning curves: how a bundle's network came to be, epoch by epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fmnist_ray.reports.charts import LineChart, line_chart, round_ticks

CURVES = ("loss", "validation_loss", "validation_accuracy")
"""What is kept of every epoch."""


def learning_history(networks: Sequence[Sequence[Mapping[str, Any]]], kept_epochs: Sequence[int]) -> bytes:
    """The bundle's `history.json`: the curves of each network of an ensemble, and the epoch whose weights were kept,
    from the metrics of its epochs."""
    entries = [
        {"kept_epoch": kept, **{name: [round(epoch[name], 6) for epoch in epochs] for name in CURVES}}
        for epochs, kept in zip(networks, kept_epochs, strict=True)
    ]
    return json.dumps({"networks": entries}).encode() + b"\n"


def learning_content(history: bytes | None) -> dict[str, Any] | None:
    """The curves as a report has them, the mean over an ensemble's networks; None for a bundle that holds none."""
    if history is None:
        return None
    networks = json.loads(history)["networks"]
    num_epochs = min(len(network["loss"]) for network in networks)
    return {
        "num_networks": len(networks),
        "num_epochs": num_epochs,
        "kept_epoch": networks[0]["kept_epoch"] if len(networks) == 1 else None,
        **{
            name: [_mean(network[name][epoch] for network in networks) for epoch in range(num_epochs)]
            for name in CURVES
        },
    }


def learning_charts(content: Mapping[str, Any]) -> dict[str, LineChart]:
    """Loss (validation in front, training behind it) and validation accuracy by epoch; a dot at the kept epoch."""
    epochs = list(range(1, content["num_epochs"] + 1))
    kept = content["kept_epoch"]
    last = content["num_epochs"]
    x_ticks = [*(tick for tick in round_ticks(last) if tick < 0.93 * last), last]
    losses = [content["validation_loss"], content["loss"]]
    accuracy = content["validation_accuracy"]
    low = math.floor(10 * min(accuracy[len(accuracy) // 10 :])) / 10
    return {
        "loss": line_chart(
            [(epochs, values) for values in losses],
            dots=[(kept, content["validation_loss"][kept - 1])] if kept else [],
            x_ticks=x_ticks,
            y_ticks=round_ticks(max(max(values[len(values) // 10 :]) for values in losses)),
        ),
        "accuracy": line_chart(
            [(epochs, accuracy)],
            dots=[(kept, accuracy[kept - 1])] if kept else [],
            x_ticks=x_ticks,
            y_ticks=[low, (1 + low) / 2, 1],
        ),
    }


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return math.fsum(known) / len(known)
