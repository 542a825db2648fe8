"""A chart of the trials of a search: validation accuracy by epoch, the best one in front."""

from __future__ import annotations

from collections.abc import Sequence

_WIDTH, _HEIGHT, _MARGIN = 640, 320, 48
_COLOURS = ("#b9c3cf", "#1f6feb")


def trials_chart(trials: Sequence[Sequence[float]]) -> bytes:
    """An SVG of one line per trial, best trial first in `trials`; accuracies are in 0..1."""
    values = [value for trial in trials for value in trial]
    epochs = max((len(trial) for trial in trials), default=0)
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    spread = max(high - low, 1e-3)

    def point(epoch: int, value: float) -> str:
        across = _MARGIN + (_WIDTH - 2 * _MARGIN) * (epoch / max(epochs - 1, 1))
        down = _MARGIN + (_HEIGHT - 2 * _MARGIN) * (1 - (value - low) / spread)
        return f"{across:.1f},{down:.1f}"

    lines = []
    for rank in reversed(range(len(trials))):
        colour = _COLOURS[rank == 0]
        points = " ".join(point(epoch, value) for epoch, value in enumerate(trials[rank]))
        end = points.rpartition(" ")[2].split(",")
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(end) == 2:
            lines.append(f'<circle cx="{end[0]}" cy="{end[1]}" r="3" fill="{colour}"/>')
    labels = [
        f'<text x="{_MARGIN}" y="{_MARGIN - 20}">Validation accuracy of {len(trials)} trials by epoch</text>',
        f'<text x="{_MARGIN - 6}" y="{_MARGIN + 4}" text-anchor="end">{high:.1%}</text>',
        f'<text x="{_MARGIN - 6}" y="{_HEIGHT - _MARGIN + 4}" text-anchor="end">{low:.1%}</text>',
        f'<text x="{_MARGIN}" y="{_HEIGHT - 16}">epoch 1</text>',
        f'<text x="{_WIDTH - _MARGIN}" y="{_HEIGHT - 16}" text-anchor="end">epoch {epochs}</text>',
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            'font-family="system-ui, sans-serif" font-size="13" fill="#444">',
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
            *lines,
            *labels,
            "</svg>\n",
        ]
    ).encode()
