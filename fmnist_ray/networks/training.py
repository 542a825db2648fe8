"""The training loop. Plain PyTorch: Ray Train, a test or a script runs it alike, in one process or in many.

Of `World.size` workers each takes its share of every batch, its loss counts by that share, and DDP averages their
gradients: the number of workers does not change what a step is, nor does it matter when it changes on the way. Random
numbers depend on seed, epoch and rank alone: a run that was interrupted goes on as if it had not been.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from fmnist_ray.config.train import TrainSettings
from fmnist_ray.errors import DivergedError, SettingError
from fmnist_ray.networks.augmentation import augment, mix
from fmnist_ray.networks.batches import Batch, Batches, epoch_seed
from fmnist_ray.networks.checkpoint import TrainState, optimiser_tensors, part, prefixed, restore_optimiser
from fmnist_ray.networks.data import Split
from fmnist_ray.networks.distillation import Teacher
from fmnist_ray.networks.inference import computes_in_bf16, predict
from fmnist_ray.networks.network import Network
from fmnist_ray.networks.optimisation import make_optimiser, rate_factor


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Which of how many workers this process is, and what it computes on."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochMetrics:
    """What one epoch gave."""

    epoch: int
    """Epochs finished, this one included."""
    num_epochs: int
    loss: float
    """Mean training loss, with augmentation and smoothing; with a teacher, mostly the distance from its answers, which
    is on another scale."""
    validation_loss: float
    """Mean cross-entropy on the validation split."""
    validation_accuracy: float
    images_per_s: float
    """Training images per second, over all workers, without evaluation."""
    left_s: float
    """Seconds that the remaining epochs would take at this epoch's pace."""


OnEpoch = Callable[[EpochMetrics, Callable[[], TrainState]], None]
"""Called by every worker after each epoch, with a function that gives the state to go on from."""


class TrainingRun:
    """A network in training: weights, their running average, optimiser, and what was reached so far."""

    def __init__(
        self,
        network: Network,
        *,
        batches: Batches,
        validation: Split,
        settings: TrainSettings,
        world: World,
        class_weights: Tensor | None = None,
        teacher: Network | None = None,
    ) -> None:
        """`validation` are all held-out images; each worker looks at its share of them. `teacher` is the
        network of the bundle that the settings name; it is moved to where this one computes."""
        self.settings = settings
        self.world = world
        self.network = network.to(world.device).to(memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.network) if settings.ema else self.network
        self.batches = batches
        self.validation = Split(
            pixels=validation.pixels[world.rank :: world.size].to(world.device),
            labels=validation.labels[world.rank :: world.size].to(world.device),
        )
        self.optimiser = make_optimiser(self.network, settings)
        self.stepped: nn.Module = self.network
        if world.size > 1:
            self.stepped = nn.parallel.DistributedDataParallel(self.network)
        weights = None if class_weights is None else class_weights.to(world.device)
        self.loss = nn.CrossEntropyLoss(weight=weights, label_smoothing=settings.label_smoothing)
        self.half = settings.precision == "bf16" or (settings.precision == "auto" and computes_in_bf16(world.device))
        self.teacher = Teacher(teacher, device=world.device, half=self.half) if teacher is not None else None
        self.history: list[dict[str, Any]] = []
        self.best: tuple[int, float] | None = None
        self.best_weights: dict[str, Tensor] = {}

    def run(self, on_epoch: OnEpoch) -> TrainState:
        """Train the epochs that are left; the final state. Raises `DivergedError` for a loss that is no number."""
        while len(self.history) < self.settings.epochs and not self._out_of_patience():
            started = time.perf_counter()
            loss = self._train_epoch(len(self.history))
            elapsed = time.perf_counter() - started
            self._record(loss, elapsed)
            metrics = EpochMetrics(**self.history[-1])
            on_epoch(metrics, self.state)
        return self.state()

    def state(self) -> TrainState:
        """The state after the last finished epoch."""
        tensors = {
            **prefixed(self.network.state_dict(), "network"),
            **(prefixed(self.averaged.state_dict(), "averaged") if self.settings.ema else {}),
            **prefixed(self.best_weights, "best"),
            **prefixed(optimiser_tensors(self.optimiser), "optimiser"),
        }
        return TrainState(
            tensors=tensors,
            record={
                "architecture": self.settings.architecture,
                "settings": self.settings.digest(),
                "history": self.history,
                "best": self.best,
            },
        )

    def restore(self, state: TrainState) -> None:
        """Go on from `state`. Raises `SettingError` when it belongs to another run."""
        if state.record["settings"] != self.settings.digest():
            raise SettingError(
                f"The checkpoint is of architecture {state.record['architecture']} and settings "
                f"{state.record['settings']}, this run is {self.settings.architecture}, {self.settings.digest()}: "
                "repeat the command it was made with, or train to another place."
            )
        if (done := len(state.record["history"])) > self.settings.epochs:
            raise SettingError(
                f"The checkpoint has {done} epochs, this run is to have {self.settings.epochs}: ask for as many or "
                "more, or train to another place."
            )
        self.network.load_state_dict(part(state.tensors, "network"))
        if self.settings.ema:
            self.averaged.load_state_dict(part(state.tensors, "averaged"))
        self.best_weights = part(state.tensors, "best")
        restore_optimiser(self.optimiser, part(state.tensors, "optimiser"))
        self.history = list(state.record["history"])
        self.best = tuple(state.record["best"]) if state.record["best"] else None

    def _train_epoch(self, epoch: int) -> float:
        """One pass; returns the mean loss."""
        seed = epoch_seed(self.settings, epoch)
        generator = Generator(self.world.device).manual_seed(seed + 1 + self.world.rank)
        torch.manual_seed(seed + 1 + self.world.rank)
        self.stepped.train()
        total = torch.zeros((), device=self.world.device)
        done = 0
        for batch in self.batches.epoch(epoch):
            total += self._step(epoch * self.batches.num_batches + done, batch, generator)
            done += 1
        loss = float(self._sum(total)) / done / self.world.size if done else math.nan
        if not math.isfinite(loss):
            raise DivergedError(
                f"The loss is {loss} in epoch {epoch + 1}: lower learning_rate ({self.settings.learning_rate}). "
                "The checkpoint of the epoch before is kept."
            )
        return loss

    def _step(self, step: int, batch: Batch, generator: Generator) -> Tensor:
        """One optimiser step; returns its loss."""
        num_steps = self.settings.epochs * self.batches.num_batches
        rate = self.settings.learning_rate * rate_factor(self.settings, step, num_steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        labels = batch.labels
        pixels = augment(batch.pixels, batch.mirrored, self.settings.augmentation, generator)
        pixels, partner, share = mix(pixels, self.settings.augmentation, generator)
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=self.half):
            logits, _ = self.stepped(pixels)
        logits = logits.float()
        loss: Tensor = self.loss(logits, labels)
        if share < 1:
            loss = share * loss + (1 - share) * self.loss(logits, labels[partner])
        if self.teacher is not None:
            loss = self.teacher.loss(pixels, logits, loss)
        loss = loss * (len(labels) * self.world.size / self.batches.batch_size)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimiser.step()
        if self.settings.ema:
            self._average(min(self.settings.ema, (1 + step) / (10 + step)))
        return loss.detach()

    @torch.no_grad()
    def _average(self, decay: float) -> None:
        pairs = zip(self.averaged.state_dict().values(), self.network.state_dict().values(), strict=True)
        floats = [(mean, new) for mean, new in pairs if mean.is_floating_point()]
        torch._foreach_lerp_([mean for mean, _ in floats], [new for _, new in floats], 1 - decay)

    def _record(self, loss: float, elapsed: float) -> None:
        validation_loss, accuracy = self._evaluate()
        done = len(self.history) + 1
        metrics = EpochMetrics(
            epoch=done,
            num_epochs=self.settings.epochs,
            loss=loss,
            validation_loss=validation_loss,
            validation_accuracy=accuracy,
            images_per_s=self.batches.num_batches * self.batches.batch_size / elapsed,
            left_s=elapsed * (self.settings.epochs - done),
        )
        self.history.append(dataclasses.asdict(metrics))
        if self.settings.select == "last":
            return
        score = accuracy if self.settings.select == "validation_accuracy" else -validation_loss
        if self.best is None or score > self.best[1]:
            self.best = (done, score)
            self.best_weights = {name: value.clone() for name, value in self.averaged.state_dict().items()}

    def _out_of_patience(self) -> bool:
        return bool(self.settings.patience and self.best and len(self.history) - self.best[0] >= self.settings.patience)

    def _evaluate(self) -> tuple[float, float]:
        """Mean cross-entropy and accuracy over the whole validation split, each image once."""
        if self.world.size > 1:
            for tensor in self.averaged.state_dict().values():
                torch.distributed.broadcast(tensor, src=0)
        logits, _ = predict(self.averaged, self.validation.pixels, precision_half=self.half)
        labels = self.validation.labels
        summed = nn.functional.cross_entropy(logits, labels, reduction="sum")
        hits = (logits.argmax(1) == labels).sum()
        totals = self._sum(torch.stack([summed, hits, hits.new_tensor(len(labels))]).float())
        loss, correct, count = totals.tolist()
        return loss / count, correct / count

    def _sum(self, value: Tensor) -> Tensor:
        """The sum over all workers."""
        if self.world.size > 1:
            torch.distributed.all_reduce(value)
        return value
