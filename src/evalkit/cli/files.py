"""`evalkit init`, `lab`, `demo` and `convert`."""

from __future__ import annotations

import os
import sys
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evalkit.cli import options as opt
from evalkit.cli import project
from evalkit.cli.output import emit, one_line, tell_about, working
from evalkit.errors import EvalkitError, FormatError, PathError, counted

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIRST = "00_start.ipynb"


def init(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", help="A new folder, or one to add to.", show_default=False)
    ],
) -> None:
    """Make a folder with the notebooks and the demo data."""
    written, kept = project.create(folder)
    emit(
        f"Wrote {counted(len(written), 'file')} into {one_line(folder)}"
        + (f"; {counted(len(kept), 'was', plural='were')} there already, and kept." if kept else ".")
    )
    emit(f"Next: evalkit lab {one_line(folder)}")


def lab(
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="[PATH]",
            help="Evaluations for the notebooks to open, or a folder made by init. Without it: the demo data.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="The port of JupyterLab.", show_default=False)
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
    jupyter: Annotated[
        list[str] | None,
        typer.Option(
            "--jupyter",
            metavar="OPTION",
            help="Handed to JupyterLab as it is: --jupyter=--allow-root.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Open the notebooks in JupyterLab."""
    home, data = _find_notebooks(path)
    environment = dict(os.environ)
    if data is not None:
        environment["EVALKIT_PATH"] = str(data.resolve())
    first = "/" + _FIRST if (home / "notebooks" / _FIRST).is_file() else ""
    command = [
        *(sys.executable, "-m", "jupyterlab"),
        f"--ServerApp.root_dir={home.resolve()}",
        f"--LabApp.default_url=/lab/tree/notebooks{first}",
        *([] if port is None else [f"--ServerApp.port={port}"]),
        *(["--no-browser"] if no_browser else []),
        *(jupyter or ()),
    ]
    from importlib.util import find_spec

    if find_spec("jupyterlab") is None:
        raise EvalkitError(
            "JupyterLab is not installed here; install it beside evalkit: pip install jupyterlab"
        )
    _become(command, environment)


def demo(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", help="Where to; made if it is not there.", show_default=False)
    ],
) -> None:
    """Write the made-up demo data, whose truth is known."""
    from evalkit.demo import write

    with working("Making the demo data"):
        path = write(folder)
    emit(f"Wrote made-up runs over the nine cases of the suite into {one_line(path)}")
    emit(f"Next: evalkit compare {one_line(path)} --baseline v2 --candidate v3")


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
            from evalkit import exports

            exports.every_eval_ever(evals, folder)
        else:
            from evalkit import native

            native.write(evals, folder)
    emit(f"Wrote {', '.join(_counted(evals))} into {one_line(folder)}")


def _stream(paths: Sequence[str], folder: Path, mapping: str | None, *, notes: bool) -> bool:
    """Write Parquet file by file, so that the files may be larger than the memory; False where that cannot be."""
    from evalkit.loaders import Mapping, streaming

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


def _find_notebooks(path: str | None) -> tuple[Path, Path | None]:
    """Return the folder whose `notebooks` to open, and the evaluations to open in them."""
    if path is not None and not Path(path).exists() and not has_magic(path):
        raise PathError.missing(path)
    given = Path(path or ".")
    if (given / "notebooks").is_dir():
        return given, None
    if Path("notebooks").is_dir():
        return Path(), given
    raise PathError("There is no folder 'notebooks' here; make one with: evalkit init .")


def _become(command: Sequence[str], environment: dict[str, str]) -> None:
    """Run a program in place of this one, so that Ctrl-C is its own business."""
    if os.name != "nt":
        os.execve(command[0], list(command), environment)  # noqa: S606  (no shell, our own arguments)
    import signal
    import subprocess

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise typer.Exit(subprocess.call(list(command), env=environment))  # noqa: S603
