"""Options that every command has."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, everything else on stderr.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show the traceback of an error.")]
