"""The only place that prints: text for people, one JSON object for machines, errors as a sentence and an exit code."""

from __future__ import annotations

import contextlib
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from fmnist_ray.errors import FmnistRayError, IncompleteError

_LOG_INTERVAL_S = 10
"""Seconds between two lines of progress in a log."""


class Output:
    """Where a command's results go. With `json_mode`, stdout carries one JSON object and all else goes to stderr."""

    def __init__(self, *, json_mode: bool) -> None:
        self.json_mode = json_mode
        self._stdout = sys.stdout
        self._people = Console(stderr=json_mode, highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """A line for people."""
        self._people.print(text, markup=False)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table for people."""
        table = Table(*columns, title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(*(str(cell) for cell in row))
        self._people.print(table)

    def facts(self, title: str, facts: Mapping[str, object]) -> None:
        """Names and values for people. A value is never cut: a path is there to be copied."""
        width = max(len(name) for name in facts)
        self._people.print(title, style="italic", markup=False)
        for name, value in facts.items():
            self._people.print(f"{name:<{width}}  {value}", markup=False)

    def result(self, value: Mapping[str, Any]) -> None:
        """The command's one JSON object; nothing in text mode."""
        if self.json_mode:
            print(json.dumps(value, default=str), file=self._stdout, flush=True)

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """In JSON mode, send what libraries print to stderr: Ray tells of a worker's death on stdout."""
        with contextlib.redirect_stdout(sys.stderr) if self.json_mode else contextlib.nullcontext():
            yield

    @contextlib.contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """A bar on a terminal, a line now and then in a log; yields a function that is told the finished and
        the planned number."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        errors = Console(stderr=True)
        with Progress(*columns, console=errors, disable=not errors.is_terminal, transient=True) as bar:
            task = bar.add_task(what, total=None)
            told_s = time.monotonic()

            def on_progress(finished: int, planned: int) -> None:
                nonlocal told_s
                bar.update(task, completed=finished, total=planned)
                if not errors.is_terminal and time.monotonic() - told_s >= _LOG_INTERVAL_S:
                    told_s = time.monotonic()
                    print(f"{finished:,} of {planned:,} {what}", file=sys.stderr, flush=True)

            yield on_progress


@contextlib.contextmanager
def failures(output: Output, *, verbose: bool) -> Iterator[None]:
    """Turn the package's errors into a sentence on stderr, an error object in JSON mode, and the exit code. Ctrl-C is
    an incomplete run like any other: its command goes on where it was."""
    try:
        with output.guard():
            yield
    except KeyboardInterrupt:
        _fail(output, IncompleteError("Stopped before the end; what is done is kept, and the same command goes on."))
    except FmnistRayError as error:
        if verbose:
            traceback.print_exc()
        _fail(output, error)


def _fail(output: Output, error: FmnistRayError) -> NoReturn:
    print(f"error: {error}", file=sys.stderr)
    output.result({"error": str(error), "kind": type(error).__name__, "exit_code": error.exit_code})
    raise typer.Exit(error.exit_code) from None
