"""The command line: parse, call, print.

Exit codes: 0 success; 1 a gate failed, or `compare --fail-on` names the verdict; 2 an error; 3 the gate is undecided;
130 Ctrl-C.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli import options as opt
from evalkit.cli.agree import agree
from evalkit.cli.batch import app as batch_app
from evalkit.cli.cache import app as cache_app
from evalkit.cli.compare import compare
from evalkit.cli.convert import convert
from evalkit.cli.demo import demo
from evalkit.cli.gate import gate
from evalkit.cli.init import init
from evalkit.cli.judge import judge
from evalkit.cli.lab import lab
from evalkit.cli.plan import plan
from evalkit.cli.report import report
from evalkit.cli.run import run
from evalkit.cli.serve_local import serve_local
from evalkit.cli.suggest import suggest
from evalkit.cli.summary import summary
from evalkit.cli.terminal import emit, print_error, print_usage_error
from evalkit.util.errors import EvalkitError
from evalkit.util.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["app", "main"]

app = typer.Typer(
    name="evalkit",
    help="Analyse evaluations of LLM agents: tables, comparisons, notebooks and a report to send.",
    epilog="Exit codes: 0 success, 1 gate failed or compare --fail-on matched, 2 error, 3 gate undecided.",
    no_args_is_help=True,
    add_completion=False,
    # Help and errors are plain text: names in them are never markup.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for function in (
    init,
    lab,
    demo,
    summary,
    compare,
    gate,
    agree,
    plan,
    report,
    suggest,
    convert,
    run,
    judge,
    serve_local,
):
    opt.command(app)(function)
app.add_typer(batch_app)
app.add_typer(cache_app)


def _show_version(is_set: bool) -> None:
    if is_set:
        emit(f"evalkit {VERSION}")
        raise typer.Exit


@app.callback()
def _start(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Ignore the cache and read all files again.")
    ] = False,
) -> None:
    opt.use_cache.set(not no_cache)
    # What a terminal cannot show becomes an escape instead of an error.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command (by default of `sys.argv`) and return its exit code."""
    try:
        code = app(None if arguments is None else list(arguments), prog_name="evalkit", standalone_mode=False)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 2
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except EvalkitError as error:
        print_error(error)
        return 2
    except OSError as error:
        print_error(_describe(error))
        return 2
    except Exception as error:
        # Typer's usage errors have no public base class.
        if not hasattr(error, "format_message"):
            raise
        print_usage_error(error)
        return 2
    return code if isinstance(code, int) else 0


def _describe(error: OSError) -> str:
    if isinstance(error, FileExistsError):
        return f"{error.filename!r} is a file. Pass a folder."
    place = f": {error.filename!r}" if error.filename else ""
    return f"{error.strerror or error}{place}."


def __dir__() -> list[str]:
    return __all__
