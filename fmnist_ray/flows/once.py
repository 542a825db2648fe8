"""Each image of a shard once: rows with the same bytes share an answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.bundle.classifier import CellAnswers, Classifier
from fmnist_ray.images.prepare import Reject

_REMEMBERED_BYTES = 64 << 20
"""Of answers and model inputs that are kept for rows to come; of an input of 28 x 28, those of some 30,000 images."""

_Place = tuple[int, int]
"""Which batch, and which of its answers."""


class AnswerOnce:
    """Answers the batches of one shard, and remembers what it has answered, within bounds."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._batches: list[CellAnswers] = []
        self._places: dict[bytes, _Place] = {}
        self._num_bytes = 0
        self.num_repeated = 0
        """Cells that were not looked at, since their image was before."""

    def answer(self, cells: Sequence[object], digests: Sequence[bytes | None]) -> CellAnswers:
        """`Classifier.answer`, with each image decoded and classified once. `digests` are those of the cells; a cell
        without one is looked at by itself."""
        first_of: dict[bytes, int] = {}
        new = [
            position
            for position, digest in enumerate(digests)
            if digest is None or (digest not in self._places and first_of.setdefault(digest, position) == position)
        ]
        answers = self._classifier.answer([cells[position] for position in new])
        if len(new) < len(cells):
            self.num_repeated += len(cells) - len(new)
            whole = self._spread(answers, new, digests, first_of)
        else:
            whole = answers
        self._remember(answers, [digests[position] for position in new])
        return whole

    def _spread(
        self, answers: CellAnswers, new: Sequence[int], digests: Sequence[bytes | None], first_of: Mapping[bytes, int]
    ) -> CellAnswers:
        """Answers to all cells, from those to the `new` ones and to earlier batches."""
        number = len(self._batches)
        fresh: dict[int, _Place] = {new[place]: (number, row) for row, place in enumerate(answers.positions.tolist())}
        refused = {new[reject.position]: reject for reject in answers.rejects}
        places: dict[int, _Place] = {}
        rejects: list[Reject] = []
        for position, digest in enumerate(digests):
            first = position if digest is None else first_of.get(digest, position)
            if digest in self._places:
                places[position] = self._places[digest]
            elif first in fresh:
                places[position] = fresh[first]
            else:
                rejects.append(Reject(position, refused[first].reason, refused[first].detail))
        gathered = _gathered([*self._batches, answers], list(places.values())) if places else answers
        return dataclasses.replace(
            gathered,
            positions=np.array(list(places), np.int64),
            rejects=rejects,
            prepare_s=answers.prepare_s,
            score_s=answers.score_s,
            decide_s=answers.decide_s,
        )

    def _remember(self, answers: CellAnswers, digests: Sequence[bytes | None]) -> None:
        self._num_bytes += answers.pixels.nbytes + answers.features.nbytes + 3 * answers.logits.nbytes
        if self._num_bytes > _REMEMBERED_BYTES:
            return
        number = len(self._batches)
        self._batches.append(answers)
        for row, place in enumerate(answers.positions.tolist()):
            if (digest := digests[place]) is not None:
                self._places[digest] = number, row


def _gathered(batches: Sequence[CellAnswers], places: Sequence[_Place]) -> CellAnswers:
    """The answers at these places, in their order."""
    used = sorted({number for number, _ in places})
    sizes = [len(batches[number].positions) for number in used]
    start_of = dict(zip(used, np.cumsum([0, *sizes])[:-1].tolist(), strict=True))
    rows = np.array([start_of[number] + row for number, row in places], np.int64)
    gathered: CellAnswers = _arrays(lambda *arrays: np.concatenate(arrays)[rows], *(batches[number] for number in used))
    return gathered


def _arrays(function: Callable[..., NDArray[Any]], *values: Any) -> Any:
    """A dataclass like the first of `values`, with `function` of all their arrays in place of each of its own."""
    if isinstance(values[0], np.ndarray):
        return function(*values)
    if not dataclasses.is_dataclass(values[0]) or isinstance(values[0], type):
        return values[0]
    names = [field.name for field in dataclasses.fields(values[0])]
    changes = {name: _arrays(function, *(getattr(value, name) for value in values)) for name in names}
    return dataclasses.replace(values[0], **changes)
