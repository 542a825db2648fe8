"""Epochs on their way to the process that asked for a training, as they end.

They come from Ray's controller of the training, which runs on that process's machine, through a file there. A queue
would be one more actor, and each process of Ray's wakes a hundred times a second on the cores that train.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ray.train import UserCallback

from fmnist_ray.distributed.session import own_folder
from fmnist_ray.networks.job import Report
from fmnist_ray.networks.training import EpochMetrics

_LOOK_S = 0.2
"""Seconds between two looks into the file."""
_LAST_REPORTS_S = 60
"""How long a training that has ended waits for the last of its reports."""


class EpochWriter(UserCallback):
    """Adds the first worker's metrics of each reported epoch to a file; runs inside Ray's controller."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        """Called by Ray when all workers have reported and the checkpoint is stored; a training does not end because
        an epoch can't be shown."""
        try:
            with self._path.open("a") as file:
                file.write(json.dumps(metrics[0]) + "\n")
        except OSError as error:
            logging.getLogger(__name__).warning("An epoch can't be shown: %s", error)


@contextlib.contextmanager
def passing_on(report: Report) -> Iterator[EpochWriter]:
    """Give every epoch that is written to `report`, in a thread of this process and in their order."""
    with own_folder() as folder:
        path = Path(folder) / "epochs.jsonl"
        path.touch()
        ended = threading.Event()
        reader = threading.Thread(target=_follow, args=(path, report, ended), daemon=True)
        reader.start()
        try:
            yield EpochWriter(path)
        finally:
            ended.set()
            reader.join(_LAST_REPORTS_S)


def _follow(path: Path, report: Report, ended: threading.Event) -> None:
    last_look = False
    with path.open() as lines:
        while not last_look:
            last_look = ended.wait(_LOOK_S)
            for line in iter(lines.readline, ""):
                report(EpochMetrics(**json.loads(line)))
