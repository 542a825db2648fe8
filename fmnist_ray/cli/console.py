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

from fmnist_ray.cli.logs import json_logs, redact, start_json_logs
from fmnist_ray.errors import FmnistRayError, IncompleteError

_LOG_INTERVAL_S = 10
"""Seconds between two lines of progress in a log."""


class Output:
    """Where a command's results go. With `json_mode`, stdout carries one JSON object and all else goes to stderr; with
    FMNIST_RAY_LOG=json, all else is a log of JSON objects."""

    def __init__(self, *, json_mode: bool) -> None:
        self.json_mode = json_mode
        self._stdout = sys.stdout
        self._people = Console(stderr=json_mode, highlight=False, soft_wrap=True)
        self._log = start_json_logs() if json_logs() else None

    def note(self, text: str) -> None:
        """A line for people."""
        if self._log:
            self._log.info(text.strip())
        else:
            self._people.print(redact(text), markup=False)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table for people."""
        if self._log:
            self._log.info(title, extra={"rows": [dict(zip(columns, row, strict=True)) for row in rows]})
            return
        table = Table(*columns, title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(*(redact(str(cell)) for cell in row))
        self._people.print(table)

    def facts(self, title: str, facts: Mapping[str, object]) -> None:
        """Names and values for people. A value is never cut: a path is there to be copied."""
        if self._log:
            self._log.info(title, extra={"facts": dict(facts)})
            return
        width = max(len(name) for name in facts)
        self._people.print(title, style="italic", markup=False)
        for name, value in facts.items():
            self._people.print(redact(f"{name:<{width}}  {value}"), markup=False)

    def result(self, value: Mapping[str, Any]) -> None:
        """The command's one JSON object; nothing in text mode."""
        if self.json_mode:
            print(redact(json.dumps(value, default=str)), file=self._stdout, flush=True)

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
                    self._tell_progress(finished, planned, what)

            yield on_progress

    def error(self, error: FmnistRayError, *, verbose: bool = False) -> None:
        """What ended the command, as a sentence; with `verbose`, after its traceback."""
        facts = {"kind": type(error).__name__, "exit_code": error.exit_code}
        if self._log:
            self._log.error(str(error), exc_info=error if verbose else None, extra=facts)
        else:
            trace = "".join(traceback.format_exception(error)) if verbose else ""
            print(redact(f"{trace}error: {error}"), file=sys.stderr)
        self.result({"error": str(error), **facts})

    def _tell_progress(self, finished: int, planned: int, what: str) -> None:
        if self._log:
            self._log.info("progress", extra={"finished": finished, "planned": planned, "what": what})
        else:
            print(f"{finished:,} of {planned:,} {what}", file=sys.stderr, flush=True)


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
        _fail(output, error, verbose=verbose)


def _fail(output: Output, error: FmnistRayError, *, verbose: bool = False) -> NoReturn:
    output.error(error, verbose=verbose)
    raise typer.Exit(error.exit_code) from None
