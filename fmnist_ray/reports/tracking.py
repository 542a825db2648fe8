"""Following a training while it runs: its figures, epoch by epoch, for TensorBoard, MLflow, or Weights & Biases."""

from __future__ import annotations

import contextlib
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fmnist_ray.errors import SettingError
from fmnist_ray.store import Store, open_store

TRACKERS = ("tensorboard", "mlflow", "wandb", "none")
PROJECT = "fmnist-ray"
"""MLflow's experiment and W&B's project. Where their servers are, and who one is there, their own variables say."""

Track = Callable[[Mapping[str, float], int], None]
"""Takes the figures of one epoch by name, and the number of the epoch."""


@contextlib.contextmanager
def open_tracker(tracker: str, *, name: str, settings: Mapping[str, Any], store: Store) -> Iterator[Track]:
    """A place for the figures of the run `name` with these settings, until the end of the context.

    TensorBoard's files go into `store`, below `tensorboard/<name>/`: one more each time an interrupted run goes on.
    Raises `SettingError` for a tracker that does not exist or is not installed.
    """
    opened = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb, "none": _nowhere}
    if tracker not in opened:
        raise SettingError(f"There is no tracker {tracker!r}; allowed are {', '.join(TRACKERS)}.")
    with contextlib.ExitStack() as stack:
        try:
            track = stack.enter_context(opened[tracker](name, settings, store))
        except ImportError as error:
            raise SettingError(
                f"{tracker} is not installed ({error}): uv sync --extra {tracker}, or choose another tracker."
            ) from error
        yield track


@contextlib.contextmanager
def _tensorboard(name: str, settings: Mapping[str, Any], store: Store) -> Iterator[Track]:
    """One event file, written anew after each epoch: a store has no append, and the file stays small."""
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.summary import scalar, text

    unique = uuid.uuid4().hex[:8]
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(EventsWriter(f"{folder}/events", f".{unique}")) as writer,
    ):
        lines = "\n".join(f"    {key}: {value}" for key, value in settings.items())
        writer.write_event(Event(wall_time=time.time(), summary=text("settings", lines)))

        def track(figures: Mapping[str, float], epoch: int) -> None:
            for tag, value in figures.items():
                writer.write_event(Event(wall_time=time.time(), step=epoch, summary=scalar(tag, value)))
            writer.flush()
            written = open_store(folder)
            for info in written.list():
                store.put(f"tensorboard/{name}/{info.key}", written.get(info.key))

        yield track


@contextlib.contextmanager
def _mlflow(name: str, settings: Mapping[str, Any], store: Store) -> Iterator[Track]:
    import mlflow

    mlflow.set_experiment(PROJECT)
    with mlflow.start_run(run_name=name):
        mlflow.log_params(dict(settings))

        def track(figures: Mapping[str, float], epoch: int) -> None:
            mlflow.log_metrics(dict(figures), step=epoch)

        yield track


@contextlib.contextmanager
def _wandb(name: str, settings: Mapping[str, Any], store: Store) -> Iterator[Track]:
    import wandb

    with wandb.init(project=PROJECT, id=name, resume="allow", config=dict(settings)) as run:
        yield lambda figures, epoch: run.log(dict(figures), step=epoch)


@contextlib.contextmanager
def _nowhere(name: str, settings: Mapping[str, Any], store: Store) -> Iterator[Track]:
    yield lambda figures, epoch: None
