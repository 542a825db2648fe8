"""The benchmark's results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

_COMMANDS = {
    "classify": "`fmnist-ray classify`",
    "plain": "plain Ray Data",
    "tuned": "plain Ray Data, tuned",
    "bf16": "`fmnist-ray classify --precision bf16`",
    "other": "`fmnist-ray classify`",
}


def speed_tables(results: dict[str, Any]) -> str:
    """The medians by size and pipeline, the steps of a worker, and its memory."""
    machine = results["machine"]
    loads = [
        run["load_before"]
        for size in results["sizes"]
        for pipeline in size["pipelines"].values()
        for run in pipeline["runs"]
    ]
    about = (
        f"{machine['cores']} cores of {machine['processor']}, {machine['memory_bytes'] / 2**30:.0f} GiB, "
        f"Python {machine['python']}, Ray {machine['ray']}, torch {machine['torch']}, OpenVINO {machine['openvino']}; "
        f"{results['date']}; medians of {results['repeats']}; load before a run {min(loads)} to {max(loads)}."
    )
    return "\n\n".join([about, _speeds(results), _steps(results), _memory(results)]) + "\n"


def _speeds(results: dict[str, Any]) -> str:
    rows = []
    for size in results["sizes"]:
        for name, figures in size["pipelines"].items():
            rows.append(
                [
                    f"{size['num_rows']:,}",
                    _COMMANDS[name],
                    _network(results, name),
                    f"{figures['median_s']:.1f}",
                    _number(figures["rows_per_s"]),
                    _number(figures.get("more_rows_per_s")),
                    _number(figures.get("workers_rows_per_s")),
                    _mebibytes(figures["peak_worker_bytes"]),
                    f"{size['ratios'][name]:.2f}" if name in size["ratios"] else "",
                    f"{size['same_labels']:.3%}" if name == "plain" else "",
                ]
            )
    names = ["rows", "pipeline", "network", "seconds", "rows/s", "more rows/s", "workers rows/s", "worker MiB"]
    return _table([*names, "ratio", "same labels"], rows)


def _steps(results: dict[str, Any]) -> str:
    """Of the largest size."""
    pipelines = {
        name: figures["ms_per_image"]
        for name, figures in results["sizes"][-1]["pipelines"].items()
        if "ms_per_image" in figures
    }
    names = list(pipelines["classify"])
    rows = [
        [_network(results, name), *(f"{steps[step]:.4f}" for step in names), f"{sum(steps.values()):.4f}"]
        for name, steps in pipelines.items()
    ]
    return _table(["ms per image", *names, "all"], rows)


def _memory(results: dict[str, Any]) -> str:
    rows = [[f"{entry['num_rows']:,}", _mebibytes(entry["peak_worker_bytes"])] for entry in results["memory"]]
    return _table(["rows", "peak of a worker, MiB"], rows)


def _network(results: dict[str, Any], name: str) -> str:
    network: str = results["other_network" if name == "other" else "network"]
    return network


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _mebibytes(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.0f}"


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
