"""`evalkit convert`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evalkit.cli import options as opt
from evalkit.cli.terminal import emit, one_line, tell_about, working
from evalkit.util.atomic_files import is_free, replace_folder
from evalkit.util.errors import FormatError
from evalkit.util.words import plural

if TYPE_CHECKING:
    from evalkit.data.evals import Evals


def convert(
    data: opt.Data,
    output: Annotated[str, typer.Option("--output", "-o", metavar="DIR", help="A new or empty folder.")],
    to: Annotated[
        Literal["native", "parquet", "every-eval-ever"],
        typer.Option("--to", help="JSON lines with a YAML suite, Parquet per table, or Every Eval Ever 0.3."),
    ] = "native",
) -> None:
    """Rewrite evaluations in evalkit's own formats."""
    folder = Path(output)
    if not is_free(folder):
        state = "is not empty" if folder.is_dir() else "is a file"
        raise FormatError(f"{str(folder)!r} {state}. Pass a new or an empty folder.")
    evals = _stream(data, folder) if to == "parquet" else None
    if evals is None:
        evals = data.read(needs_records=False)
        with working(f"Writing {output}"):
            _write(evals, folder, to)
    import polars as pl

    frames = {"case": evals.cases, "run": evals.runs, "trial": evals.trials, "score": evals.scores}
    # Frames of a streamed conversion are lazy.
    counts = [plural(frame.lazy().select(pl.len()).collect().item(), noun) for noun, frame in frames.items()]
    emit(f"Wrote {', '.join(counts)} into {one_line(folder)}.")


def _write(evals: Evals, folder: Path, to: str) -> None:
    if to == "parquet":
        evals.save(folder)
        return
    with replace_folder(folder) as fresh:
        if to == "native":
            from evalkit.data.folder import write

            write(evals, fresh)
        else:
            from evalkit.data.export import every_eval_ever

            every_eval_ever(evals, fresh)


def _stream(data: opt.Data, folder: Path) -> Evals | None:
    """Write Parquet file by file, for files larger than memory; None if impossible."""
    from evalkit.readers.column_mapping import Mapping
    from evalkit.readers.convert import save

    mapping = None if data.mapping is None else Mapping.read(data.mapping)
    with working(f"Writing {folder}"):
        evals = save(data.paths, folder, mapping=mapping)
    if evals is not None:
        tell_about(evals, notes=data.notes)
    return evals
