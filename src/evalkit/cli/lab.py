"""`evalkit init`, `lab`, `demo` and `convert`."""

from __future__ import annotations

import os
import sys
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli import project_folder as project
from evalkit.cli.terminal import emit, one_line, working
from evalkit.util.errors import EvalkitError, PathError
from evalkit.util.words import plural

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
        f"Wrote {plural(len(written), 'file')} into {one_line(folder)}"
        + (f"; {plural(len(kept), 'was', plural='were')} there already, and kept." if kept else ".")
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
    from evalkit.data.demo import write

    with working("Making the demo data"):
        path = write(folder)
    emit(f"Wrote made-up runs over the nine cases of the suite into {one_line(path)}")
    emit(f"Next: evalkit compare {one_line(path)} --baseline v2 --candidate v3")


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
