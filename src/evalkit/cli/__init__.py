"""The command line: parse, call, print.

Every command prints what the verb of the library with its name returns. Exit codes: 0 done, 1 a condition of `gate`
failed or the verdict is one that `compare --fail-on` names, 2 an error told in one line, 3 `gate` could not decide, 130
stopped by the keyboard.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli import (
    agree,
    batch,
    cache,
    compare,
    convert,
    gate,
    judge,
    lab,
    options,
    plan,
    report,
    run,
    summary,
)
from evalkit.cli.terminal import complain, complain_of_usage, emit
from evalkit.util.errors import EvalkitError
from evalkit.util.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["app", "main"]

app = typer.Typer(
    name="evalkit",
    help="Look into evaluations of LLM agents: tables, comparisons, notebooks and one report to send.",
    epilog="Exit codes: 0 done, 1 gate failed or the verdict is one that compare --fail-on names, 2 an error told in one line, 3 gate could not decide.",
    no_args_is_help=True,
    add_completion=False,
    # Help and errors are plain text: nothing in them is markup, and no traceback is dressed up.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (
    *(lab.init, lab.lab, lab.demo),
    *(summary.summary, compare.compare, gate.gate, agree.agree, plan.plan, report.report),
    convert.convert,
    *(run.run, judge.judge, run.serve_local),
):
    app.command()(command)
app.add_typer(batch.app)
app.add_typer(cache.app)


def _show_version(asked: bool) -> None:
    if asked:
        emit(f"evalkit {VERSION}")
        raise typer.Exit


@app.callback()
def _start(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and stop."),
    ] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Read files again that were read before and have not changed.")
    ] = False,
) -> None:
    options.use_cache.set(not no_cache)
    # What a terminal cannot show becomes an escape instead of an error.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments
        What was typed after `evalkit`; None takes it from `sys.argv`.

    Returns
    -------
    int
        0 done, 1 a condition of `gate` failed or a verdict that `--fail-on` names, 2 an error that was told in one line on the
        standard error, 3 `gate` could not decide, 130 stopped by the keyboard.
    """
    try:
        code = app(None if arguments is None else list(arguments), prog_name="evalkit", standalone_mode=False)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 2
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except EvalkitError as error:
        complain(str(error))
        return 2
    except OSError as error:
        # A full disk, a folder that may not be written to: the system's words, and what it was about.
        where = f": {error.filename!r}" if error.filename else ""
        is_file = isinstance(error, FileExistsError)
        complain(
            f"{error.filename!r} is a file; name a folder."
            if is_file
            else f"{error.strerror or error}{where}."
        )
        return 2
    except Exception as error:
        # What typer finds wrong with what was typed. It has no public name for the class of all of these.
        if not hasattr(error, "format_message"):
            raise
        complain_of_usage(error)
        return 2
    return code if isinstance(code, int) else 0


def __dir__() -> list[str]:
    return __all__
