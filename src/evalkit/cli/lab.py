"""`evalkit lab`."""

from __future__ import annotations

import os
import sys
from glob import has_magic
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from evalkit.cli import options as opt
from evalkit.util.errors import EvalkitError, PathError

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIRST_NOTEBOOK: Final = "00_start.ipynb"


def lab(
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="[PATH]",
            help="Evaluations to open, or a folder made by init. Default: the demo data.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="Port of JupyterLab.", show_default=False)
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
    jupyter: Annotated[
        list[str] | None,
        opt.text_option("--jupyter", "OPTION", "Passed to JupyterLab: --jupyter=--allow-root."),
    ] = None,
) -> None:
    """Open the notebooks in JupyterLab."""
    home, data = _find_notebooks(path)
    environment = dict(os.environ)
    if data is not None:
        environment["EVALKIT_PATH"] = str(data.resolve())
    first = "/" + _FIRST_NOTEBOOK if (home / "notebooks" / _FIRST_NOTEBOOK).is_file() else ""
    command = [
        *(sys.executable, "-m", "jupyterlab"),
        f"--ServerApp.root_dir={home.resolve()}",
        f"--LabApp.default_url=/lab/tree/notebooks{first}",
        *([] if port is None else [f"--ServerApp.port={port}"]),
        *(["--no-browser"] if no_browser else []),
        *(jupyter or ()),
    ]
    if find_spec("jupyterlab") is None:
        raise EvalkitError("JupyterLab is not installed. Run: pip install jupyterlab")
    _replace_process(command, environment)


def _find_notebooks(path: str | None) -> tuple[Path, Path | None]:
    """Return the folder that holds `notebooks`, and the evaluations to open in them."""
    if path is not None and not Path(path).exists() and not has_magic(path):
        raise PathError.missing(path)
    folder = Path(path or ".")
    if (folder / "notebooks").is_dir():
        return folder, None
    if Path("notebooks").is_dir():
        return Path(), folder
    raise PathError("No folder 'notebooks' here. Create it with: evalkit init .")


def _replace_process(command: Sequence[str], environment: dict[str, str]) -> None:
    """Run a program in place of this one: it handles Ctrl-C itself."""
    if os.name != "nt":
        os.execve(command[0], list(command), environment)  # noqa: S606  (no shell, our own arguments)
    import signal
    import subprocess

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise typer.Exit(subprocess.call(list(command), env=environment))  # noqa: S603
