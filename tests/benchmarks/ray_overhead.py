"""What Ray costs an epoch: the same training as a plain process and through Ray Train with one worker, side by side.

    uv run python tests/benchmarks/ray_overhead.py [--turns 150] [--turn-s 1] [--batch-size 64]

`bn_cnn` on 54,000 images, in the seed's batches of 64, or of 256. Both trainings are alive at once and take turns of
a second: while one runs, all processes of the other are stopped (SIGSTOP; for Ray that is its driver, its daemons and
all actors), so a host that changes its speed changes it for both. Counted are the steps that begin in a turn;
evaluation, checkpoints and reports between epochs fall into the turns as they come. The interval is of 95 %, by
resampling the pairs of turns. Run it on a machine that does nothing else. Results go to `results/ray_overhead.json`
beside this script, by batch size.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from fmnist_ray.errors import SettingError
from fmnist_ray.networks.batches import Batch, Batches
from fmnist_ray.networks.job import TrainingJob

RESULTS = Path(__file__).resolve().parent / "results" / "ray_overhead.json"
CASES = ("plain", "ray")
RECIPE = "keras-bn"
EPOCHS = 100
"""More than the turns take: the end is `STOP`."""
STOP = "stop"
WARM_STEPS = 100
SETTLE_S = 0.25
"""The start of a turn that doesn't count: processes wake up."""


class TimedBatches:
    """Batches that write down when each is asked for, as seconds of the machine's monotonic clock."""

    def __init__(self, batches: Batches, folder: Path, case: str) -> None:
        self._batches, self._folder, self._case = batches, folder, case
        self.batch_size, self.num_batches = batches.batch_size, batches.num_batches

    def epoch(self, epoch: int) -> Iterator[Batch]:
        with (self._folder / self._case).open("a", buffering=1) as log:
            for batch in self._batches.epoch(epoch):
                if (self._folder / STOP).exists():
                    raise SettingError("The benchmark has ended.")
                log.write(f"{time.monotonic():.6f}\n")
                yield batch


@dataclass(frozen=True, kw_only=True)
class TimedJob(TrainingJob):
    folder: Path
    case: str

    def start(self, world: Any, batches: Any = None) -> Any:
        run = TrainingJob.start(self, world, batches)
        run.batches = TimedBatches(run.batches, self.folder, self.case)
        return run


def main() -> None:
    arguments = _arguments()
    if arguments.case:
        _train(arguments.case, Path(arguments.folder), arguments.batch_size)
        return
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        trainings = {case: stack.enter_context(_training(case, folder, arguments.batch_size)) for case in CASES}
        turns: dict[str, list[tuple[float, float]]] = {case: [] for case in CASES}
        for number in range(arguments.turns):
            for case in CASES if number % 2 else CASES[::-1]:
                turns[case].append(_turn(trainings[case], arguments.turn_s))
        _report(folder, turns, arguments.batch_size)


def _report(folder: Path, turns: dict[str, list[tuple[float, float]]], batch_size: int) -> None:
    steps: dict[str, Any] = {}
    for case, spans in turns.items():
        moments = np.loadtxt(folder / case)
        steps[case] = np.array([((moments >= start) & (moments < end)).sum() / (end - start) for start, end in spans])
    count = len(steps["ray"])
    drawn = np.random.default_rng(0).integers(0, count, (10_000, count))
    drawn_overheads = _overhead(steps["plain"][drawn], steps["ray"][drawn])
    facts = {
        "cpus": os.cpu_count(),
        "recipe": RECIPE,
        "turns": count,
        "steps_per_s": {case: round(float(found.mean()), 2) for case, found in steps.items()},
        "overhead_percent": round(float(_overhead(steps["plain"], steps["ray"])), 2),
        "overhead_percent_interval": np.quantile(drawn_overheads, [0.025, 0.975]).round(2).tolist(),
        "by_turn": {case: found.round(1).tolist() for case, found in steps.items()},
    }
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps({**before, str(batch_size): facts}) + "\n")
    sys.stdout.write(json.dumps({key: value for key, value in facts.items() if key != "by_turn"}, indent=2) + "\n")


def _overhead(plain: Any, ray: Any) -> Any:
    """By how many percent a step takes longer with Ray, over turns in the last axis."""
    return 100 * (plain.mean(-1) / ray.mean(-1) - 1)


@contextlib.contextmanager
def _training(case: str, folder: Path, batch_size: int) -> Iterator[psutil.Process]:
    """The process of a training that is warm and stopped."""
    command = [sys.executable, __file__, "--case", case, "--folder", str(folder), "--batch-size", str(batch_size)]
    with (folder / f"{case}.err").open("w") as errors, subprocess.Popen(command, stderr=errors) as process:
        tree = psutil.Process(process.pid)
        try:
            log = folder / case
            while not log.exists() or len(log.read_text().splitlines()) < WARM_STEPS:
                if process.poll() is not None:
                    raise RuntimeError((folder / f"{case}.err").read_text()[-2000:])
                time.sleep(0.5)
            _each(tree, "suspend")
            yield tree
        finally:
            (folder / STOP).touch()
            _each(tree, "resume")
            process.wait(timeout=120)


def _turn(tree: psutil.Process, seconds: float) -> tuple[float, float]:
    _each(tree, "resume")
    time.sleep(SETTLE_S)
    start = time.monotonic()
    time.sleep(seconds)
    end = time.monotonic()
    _each(tree, "suspend")
    return start, end


def _each(tree: psutil.Process, action: str) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in [tree, *tree.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                getattr(process, action)()


def _train(case: str, folder: Path, batch_size: int) -> None:
    import dataclasses

    from fmnist_ray.flows.training_data import load_training_data
    from fmnist_ray.networks.job import train_here
    from fmnist_ray.networks.recipes import find_recipe

    settings = dataclasses.replace(find_recipe(RECIPE), epochs=EPOCHS, batch_size=batch_size)
    data = load_training_data(settings)
    job = TimedJob(
        settings=settings, num_labels=10, train=data.train, validation=data.validation, folder=folder, case=case
    )
    with contextlib.suppress(SettingError):
        if case == "plain":
            train_here(job, lambda metrics: None)
            return
        from fmnist_ray.distributed.session import connect
        from fmnist_ray.distributed.train import TrainingPlace, train_on_ray

        with connect():
            train_on_ray(job, TrainingPlace(storage_uri=str(folder / "run")), lambda metrics: None)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=150)
    parser.add_argument("--turn-s", type=float, default=1)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
