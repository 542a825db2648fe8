"""How a network is trained. Everything that changes the result is in here, so its digest names a training run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fmnist_ray.config.augmentation import Augmentation
from fmnist_ray.config.checks import check_choice, check_range
from fmnist_ray.config.images import Preparation, Style
from fmnist_ray.errors import SettingError

OPTIMISERS = ("sgd", "adam", "adamw", "adadelta")
SCHEDULES = ("constant", "cosine", "one_cycle")
PRECISIONS = ("auto", "f32", "bf16")
STREAMS = ("auto", "always", "never")
SAMPLINGS = ("all", "over", "under")
SELECTIONS = ("last", "validation_loss", "validation_accuracy")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSource:
    """Where the images and their classes come from."""

    catalogue_uri: str | None = None
    """A labelled catalogue; None for Fashion-MNIST, which leaves the other fields without effect."""
    image_column: str = "image"
    """Encoded image bytes."""
    label_column: str = "label"
    """Class names, or numbers; every different one is a class."""
    group_column: str | None = None
    """Rows that are equal here, such as photos of one sender, are never split between training and held-out images."""
    size: int = 28
    """Height and width that images are prepared to, in pixels."""
    channels: int = 1
    """1 for grey, 3 for RGB."""
    style: Style = "plain"
    """What photos are made to look like, see `config.images.Preparation`."""
    stream: str = "auto"
    """One of `STREAMS`: whether images are read anew in each epoch; `auto` does it when they do not fit in memory."""

    def __post_init__(self) -> None:
        check_choice("source.stream", self.stream, STREAMS)

    @property
    def preparation(self) -> Preparation:
        """How its images become the network's input."""
        return Preparation(size=self.size, channels=self.channels, style=self.style)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """One training run."""

    architecture: str = "bn_cnn"
    """Name of the network in `networks/`."""
    architecture_args: dict[str, Any] = field(default_factory=dict)
    """Arguments of the network beyond its input and labels, such as `dropout`."""
    pretrained: bool = False
    """Start a torchvision architecture from its ImageNet weights."""
    epochs: int = 10
    """Passes over the training data."""
    batch_size: int = 128
    """Images per optimiser step, over all workers together."""
    optimiser: str = "adam"
    """One of `OPTIMISERS`."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    momentum: float = 0.9
    """Nesterov momentum; SGD only."""
    weight_decay: float = 0.0
    """Applied to matrices and kernels, never to biases and normalisation."""
    schedule: str = "constant"
    """One of `SCHEDULES`; moves the learning rate at every step."""
    warmup: float = 0.0
    """Share of all steps over which the learning rate rises to its peak."""
    cycles: int = 1
    """How often the schedule runs within the epochs, warm-up included (warm restarts, arXiv 1608.03983)."""
    label_smoothing: float = 0.0
    """Share of each target spread over all classes."""
    ema: float = 0.0
    """Decay per step of the running average of the weights, which is then what is evaluated and kept; 0 for none."""
    class_weights: bool = False
    """Weigh each class by the inverse of its frequency."""
    sampling: str = "all"
    """One of `SAMPLINGS`: every image once per epoch; rarer classes repeated until all are as frequent as the largest;
    or all cut down to the rarest, other images in each epoch."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """Random changes of training images."""
    teacher: str | None = None
    """A bundle whose network's answers are learned besides the labels (Hinton et al., arXiv 1503.02531). They are nine
    tenths of the loss, which `class_weights` and `label_smoothing` don't reach; `sampling` does."""
    teacher_digest: str | None = None
    """Of the teacher's bundle. None: of the bundle that has its name when training starts."""
    source: TrainingSource = field(default_factory=TrainingSource)
    """The data."""
    select: str = "last"
    """Which epoch is kept: one of `SELECTIONS`. Never the test data's choice."""
    patience: int = 0
    """Epochs without a better `select` after which training stops; 0 never stops early."""
    validation_share: float = 0.1
    """Share of the training data held out for validation and calibration, stratified by class."""
    precision: str = "auto"
    """One of `PRECISIONS`; `auto` is bf16 where the processor computes in it."""
    seed: int = 0
    """Of the split, the initial weights, the order of images, and their augmentation."""
    ensemble: int = 1
    """Networks that are trained on the same split, with weights, order and augmentation of their own."""
    member: int = 0
    """Which network of an ensemble this run trains."""

    def __post_init__(self) -> None:
        least = {"epochs": 1, "batch_size": 1, "cycles": 1, "patience": 0, "seed": 0, "ensemble": 1}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise SettingError(f"{name} is {getattr(self, name)}; it must be at least {low}.")
        check_choice("optimiser", self.optimiser, OPTIMISERS)
        check_choice("schedule", self.schedule, SCHEDULES)
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("sampling", self.sampling, SAMPLINGS)
        check_choice("select", self.select, SELECTIONS)
        check_range("learning_rate", self.learning_rate, 1e-8, 100.0)
        check_range("validation_share", self.validation_share, 0.01, 0.5)
        for name in ("momentum", "weight_decay", "warmup", "label_smoothing", "ema"):
            check_range(name, getattr(self, name), 0.0, 0.99999)
        if not (self.teacher is None or (isinstance(self.teacher, str) and self.teacher)):
            raise SettingError(f"teacher is {self.teacher!r}; it must name a bundle.")
        if self.epochs % self.cycles:
            raise SettingError(f"{self.epochs} epochs can't be divided into {self.cycles} cycles: choose a multiple.")
        if self.patience and self.select == "last":
            raise SettingError("patience stops on a validation metric: set select to one, or patience to 0.")

    @property
    def training_seed(self) -> int:
        """Of all that differs between the networks of an ensemble."""
        return self.seed + 7_919 * self.member

    def members(self) -> list[TrainSettings]:
        """One run for each network of the ensemble; the first is what training it alone would be."""
        return [dataclasses.replace(self, ensemble=1, member=number) for number in range(self.ensemble)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainSettings:
        """The inverse of `to_dict`; `SettingError` names a field that does not exist."""
        values = dict(values)
        try:
            augmentation = Augmentation(**values.pop("augmentation", {}))
            source = TrainingSource(**values.pop("source", {}))
            return cls(augmentation=augmentation, source=source, **values)
        except TypeError as error:
            known = [entry.name for entry in dataclasses.fields(cls)]
            raise SettingError(
                f"These training settings can't be read: {error}. Known are {', '.join(known)}."
            ) from error

    def override(self, assignments: Sequence[str]) -> TrainSettings:
        """These settings with changes such as `epochs=5` or `augmentation.flip=true`; values are JSON, or plain text.
        Raises `SettingError` for a name that does not exist and for a value of another type."""
        values = self.to_dict()
        for assignment in assignments:
            path, equals, text = assignment.partition("=")
            *parents, name = path.split(".")
            target, defaults = values, TrainSettings().to_dict()
            for parent in parents:
                target, defaults = target.get(parent, {}), defaults.get(parent, {})
            in_args = parents == ["architecture_args"]
            if not equals or (name not in target and not in_args):
                raise SettingError(
                    f"{assignment!r} sets nothing: write NAME=VALUE, with a name of {', '.join(values)}."
                )
            value = _parse(text)
            if not in_args and not _same_type(value, defaults[name]):
                raise SettingError(f"{path} can't be {text!r}: it is like {json.dumps(target[name])}.")
            target[name] = value
        return TrainSettings.from_dict(values)

    def digest(self) -> str:
        """Twelve hex digits that change with every setting but the number of cycles: more of them go on from fewer.
        Defaults are left out, so that a setting that is added later does not rename the runs before it."""
        cycle = dataclasses.replace(self, epochs=self.epochs // self.cycles, cycles=1)
        changed = _difference(cycle.to_dict(), TrainSettings().to_dict())
        return hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:12]


def _difference(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The entries that differ, also within nested settings."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict) and name in defaults:
            value = _difference(value, defaults[name])
            if not value:
                continue
        if name not in defaults or value != defaults[name]:
            found[name] = value
    return found


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _same_type(value: Any, example: Any) -> bool:
    """Whether `value` may stand where `example` does: an integer may be a float, but no boolean is a number."""
    if example is None:
        return value is None or isinstance(value, str)
    return type(value) is type(example) or (type(value) is int and type(example) is float)
