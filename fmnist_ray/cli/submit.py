"""`submit`: any command as a job of a running cluster."""

from __future__ import annotations

import contextlib
import json
from typing import Annotated

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.console import Output, failures

EPILOG = (
    "Example: fmnist-ray submit classify catalogue --out results --json. Options of submit come before the command. "
    "The log of the job is shown as it grows, and the exit code is that of the command; Ctrl-C ends the showing, not "
    "the job. On the cluster of fmnist-ray cluster up, paths mean what they mean here; elsewhere name what nodes reach."
)
_LOG_FIELDS = {"time", "level", "message"}
"""Of a line of a job's own JSON log."""
CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}


def submit(
    context: typer.Context,
    command: Annotated[str, typer.Argument(help="A command of fmnist-ray, with its own options after it.")],
    job_id: Annotated[
        str | None,
        typer.Option("--id", help="Name of the job. A second submission follows the first unless it failed."),
    ] = None,
    working_dir: Annotated[
        str | None,
        typer.Option(
            help="A folder to copy there and to run in. Its files are for the command itself, not for workers."
        ),
    ] = None,
    ship_package: Annotated[bool, typer.Option("--ship-package", help="Copy this fmnist_ray there.")] = False,
    requirements: Annotated[
        str | None, typer.Option(help="A requirements file that nodes install with uv; of --working-dir, if given.")
    ] = None,
    env: Annotated[list[str] | None, typer.Option(help="NAME=VALUE for the job; the dashboard shows it.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the job to its end.")] = True,
    address: options.Address = None,
    verbose: options.Verbose = False,
) -> None:
    """Run a command on a cluster: submit it as a job, show its log, and exit as it did."""
    arguments = (command, *context.args)
    output = Output(json_mode="--json" in arguments)
    with failures(output, verbose=verbose):
        from fmnist_ray.distributed.jobs import JobRequest, Jobs
        from fmnist_ray.errors import IncompleteError

        request = JobRequest(
            arguments=arguments,
            job_id=job_id,
            working_dir=working_dir,
            ship_package=ship_package,
            requirements=requirements,
            environment=_environment(env or []),
        )
        jobs = Jobs(address)
        submitted = jobs.submit(request)
        output.note(f"Job {submitted}")
        if not wait:
            output.result({"job_id": submitted})
            return
        log = _Log(output)
        try:
            outcome = jobs.follow(submitted, log.add)
        except KeyboardInterrupt as error:
            raise IncompleteError(
                f"Job {submitted} goes on; the same command with --id {submitted} follows it."
            ) from error
        output.note(f"Job {submitted} {outcome.status}" + (f": {outcome.message}" if outcome.exit_code else ""))
        output.result(log.last_object or {"error": outcome.message, "exit_code": outcome.exit_code})
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)


class _Log:
    """The job's log as it comes: shown, except for the command's JSON object, which is the result."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self.last_object: dict[str, object] | None = None

    def add(self, lines: str) -> None:
        for line in lines.splitlines():
            if self._output.json_mode and line.startswith("{"):
                with contextlib.suppress(ValueError):
                    found = json.loads(line)
                    if _LOG_FIELDS - found.keys():
                        self.last_object = found
                        continue
            self._output.note(line)


def _environment(assignments: list[str]) -> dict[str, str]:
    from fmnist_ray.errors import SettingError

    pairs = [text.partition("=") for text in assignments]
    for name, equals, _ in pairs:
        if not (name and equals):
            raise SettingError(f"--env {name}: write NAME=VALUE.")
    return {name: value for name, _, value in pairs}
