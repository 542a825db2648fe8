"""Which rows of a catalogue are looked at, where all of them would be too many."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence

from fmnist_ray.catalogue.plan import InputFile, Shard

_ROWS_PER_PLACE = 5
_SEEK_BYTES = 64 << 20
"""Rows in the middle of a row group are reached by reading what is before them; larger ones are sampled at their
start."""


def sample_places(inputs: Sequence[InputFile], sample_rows: int) -> list[Shard]:
    """Ranges of a few rows each, evenly spread over all rows, with about `sample_rows` rows together."""
    groups = list(_groups(inputs))
    num_rows = sum(group.num_rows for group in groups)
    step = max(_ROWS_PER_PLACE, -(-num_rows * _ROWS_PER_PLACE // sample_rows))
    ends = list(itertools.accumulate(group.num_rows for group in groups))
    places: dict[tuple[int, int], int] = {}
    for first in range(0, num_rows, step):
        row, stop = first, min(first + _ROWS_PER_PLACE, num_rows)
        while row < stop:
            number = bisect.bisect_right(ends, row)
            group, taken = groups[number], min(stop, ends[number]) - row
            file = inputs[group.file]
            large = file.size_bytes * group.num_rows > _SEEK_BYTES * file.num_rows
            start = group.start if large else group.stop - (ends[number] - row)
            places[group.file, start] = start + taken
            row += taken
    return [Shard(id="", file=file, start=start, stop=stop) for (file, start), stop in places.items()]


def _groups(inputs: Sequence[InputFile]) -> Iterator[Shard]:
    """Every row group as a range of rows of its file."""
    for number, file in enumerate(inputs):
        ends = list(itertools.accumulate(file.row_groups))
        for rows, stop in zip(file.row_groups, ends, strict=True):
            yield Shard(id="", file=number, start=stop - rows, stop=stop)
