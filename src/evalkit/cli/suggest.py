"""`evalkit suggest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.terminal import emit
from evalkit.util.errors import FormatError


def suggest(
    path: Annotated[
        str,
        typer.Argument(metavar="PATH", help="A table: CSV, JSON, JSON lines or Parquet.", show_default=False),
    ],
) -> None:
    """Suggest the mapping that reads a table, as YAML.

    Keep it: evalkit suggest PATH > evalkit.yaml. Prints the result of ek.suggest_mapping.
    """
    from evalkit.readers.suggest_mapping import suggest_mapping

    suggestion = suggest_mapping(Path(path))
    if suggestion.status == "refuses":
        raise FormatError(suggestion.refusal)
    emit(suggestion.to_yaml().rstrip())
