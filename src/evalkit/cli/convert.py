"""The command `evalkit convert`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evalkit.cli import options as opt
from evalkit.cli.terminal import emit, one_line, tell_about, working
from evalkit.util.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Sequence


def convert(
    paths: opt.Paths,
    output: Annotated[str, typer.Option("--output", "-o", metavar="DIR", help="A new or an empty folder.")],
    to: Annotated[
        Literal["native", "parquet", "every-eval-ever"],
        typer.Option(
            "--to", help="JSON lines and a suite in YAML; one Parquet file a table; Every Eval Ever 0.3."
        ),
    ] = "native",
    mapping: opt.MappingFile = None,
    notes: opt.Notes = False,
) -> None:
    """Rewrite evaluations in evalkit's own formats."""
    folder = Path(output)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FormatError(
            f"{str(folder)!r} {'is not empty' if folder.is_dir() else 'is a file'}; name a new or an empty folder."
        )
    if to == "parquet" and _stream(paths, folder, mapping, notes=notes):
        return
    evals = opt.read(paths, mapping, notes=notes)
    with working(f"Writing {output}"):
        if to == "parquet":
            evals.save(folder)
        elif to == "every-eval-ever":
            from evalkit.data import export as exports

            exports.every_eval_ever(evals, folder)
        else:
            from evalkit.data import folder as native

            native.write(evals, folder)
    emit(f"Wrote {', '.join(_counted(evals))} into {one_line(folder)}")


def _stream(paths: Sequence[str], folder: Path, mapping: str | None, *, notes: bool) -> bool:
    """Write Parquet file by file, so that the files may be larger than the memory; False where that cannot be."""
    from evalkit.readers import convert as streaming
    from evalkit.readers.load import Mapping

    with working(f"Writing {folder}"):
        made = streaming.save(paths, folder, mapping=None if mapping is None else Mapping.read(mapping))
    if made is None:
        return False
    tell_about(made, notes=notes)
    emit(f"Wrote {', '.join(_counted(made))} into {one_line(folder)}")
    return True


def _counted(evals: object) -> list[str]:
    """Return the sizes that the repr of an Evals begins with."""
    return repr(evals).splitlines()[0].removeprefix("Evals: ").split(", ")
