"""Epochs on their way to the process that asked for a training, as they end.

They come from Ray's controller of the training, which runs on that process's machine, through a socket in the file
system. A queue's actor would wake a hundred times a second, as every process of Ray does: four such actors cost a
training that keeps two cores busy 4 % of its speed (measured by stopping them in turns, two cores, 2026-11-22).
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Iterator
from multiprocessing.connection import Client, Listener
from typing import Any

from ray.train import UserCallback

from fmnist_ray.distributed.session import own_folder
from fmnist_ray.networks.job import Report
from fmnist_ray.networks.training import EpochMetrics

_END = b""
_FAMILY = "AF_UNIX"


class EpochSender(UserCallback):
    """Sends the first worker's metrics of each reported epoch to `address`; runs inside Ray's controller."""

    def __init__(self, address: str) -> None:
        self._address = address

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        """Called by Ray when all workers have reported and the checkpoint is stored. A training does not end because
        nobody listens to it."""
        try:
            _send(self._address, json.dumps(metrics[0]).encode())
        except OSError as error:
            logging.getLogger(__name__).warning("An epoch could not be shown: %s", error)


@contextlib.contextmanager
def passing_on(report: Report) -> Iterator[EpochSender]:
    """Give every epoch that the sender is told of to `report`, in a thread of this process, in their order; at the end
    all have been given."""
    with own_folder() as folder:
        address = f"{folder}/epochs"
        listener = Listener(address, _FAMILY)
        thread = threading.Thread(target=_listen, args=(listener, report), daemon=True)
        thread.start()
        try:
            yield EpochSender(address)
        finally:
            with contextlib.suppress(OSError):  # `report` has raised, and nobody listens any more
                _send(address, _END)
            thread.join()


def _send(address: str, message: bytes) -> None:
    with Client(address, _FAMILY) as connection:
        connection.send_bytes(message)


def _listen(listener: Listener, report: Report) -> None:
    with listener:
        while True:
            try:
                with listener.accept() as connection:
                    message = connection.recv_bytes()
            except EOFError:  # the controller was killed between two lines
                continue
            if message == _END:
                return
            report(EpochMetrics(**json.loads(message)))
