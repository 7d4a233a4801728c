"""Print hostile text to the terminal: control characters are made visible."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import typer

from evalkit.util.format import MINUS, number
from evalkit.util.hostile_text import visible
from evalkit.util.words import NOT_GIVEN, did_you_mean, for_shell, plural

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    import polars as pl

    from evalkit.data.evals import Evals


_GAP: Final = "  "
# Columns of text are not cut below this, however narrow the terminal.
_NARROWEST: Final = 8
_PROBLEMS_SHOWN: Final = 5
_MARKDOWN: Final = str.maketrans({sign: f"\\{sign}" for sign in r"\`*_{}[]<>#|~"})


def emit(text: str) -> None:
    """Print to standard output; ignore a closed pipe (`| head`)."""
    try:
        typer.echo(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # The rest of the buffer has no reader, at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell(text: object, *, indent: str = "") -> None:
    """Print one line on standard error."""
    typer.echo(indent + one_line(for_shell(text)), err=True)


def print_error(error: object) -> None:
    """Print an error in one line, with options in place of Python arguments."""
    message = error.for_shell() if hasattr(error, "for_shell") else error
    tell(f"evalkit: {message}")


def print_usage_error(error: Any) -> None:
    """Print an error of typer in one line, and the command for help."""
    text = error.format_message().removeprefix("Invalid value: ").replace("Value error, ", "").rstrip(".")
    context = error.ctx
    if context is not None and not context.args and text == context.get_help().rstrip("."):
        error.show()
        return
    cause = error.__cause__
    # Only newer versions of typer give the value; click gives no parts at all.
    before, _, choices = text.partition(" one of ")
    value = (
        cause.errors()[0]["input"]
        if hasattr(cause, "errors")
        else before.removesuffix("' is not").rpartition("'")[2]
    )
    text = re.sub(
        r"Input should be (a valid )?(.+?)(, unable .*)?$",
        lambda match: f"{value!r} is {'no' if match[1] else 'not'} {match[2]}",
        text,
    )
    path = "evalkit" if context is None else context.command_path
    if suggestion := did_you_mean(str(value), re.findall(r"'([^']*)'", choices)):
        text += f".{suggestion}"
    elif context is not None and getattr(error, "option_name", "") in _root_options(context):
        text += f" after {path!r}. Put it before the command"
    tell(f"evalkit: {text}{'' if text.endswith('?') else '.'} See {path} --help.")


def _root_options(context: Any) -> list[str]:
    return [name for parameter in context.find_root().command.params for name in parameter.opts]


def one_line(text: object) -> str:
    """Return text on one line."""
    return visible(" ".join(str(text).split()))


def shell_line(*words: object) -> str:
    """Return a command to paste, every word quoted for a shell.

    >>> shell_line("evalkit", "my folder", "$(me)")
    "evalkit 'my folder' '$(me)'"
    """
    return shlex.join(one_line(word) for word in words)


def tell_about(evals: Evals, *, notes: bool = False) -> None:
    """Print notes (all, or their number) and the first problems."""
    # Synthetic data is always announced.
    shown = [note for note in evals.notes if notes or len(evals.notes) == 1 or note.kind == "synthetic"]
    for note in shown:
        tell(f"Note: {note_line(note)}")
    if not notes and any(note.kind == "guess" for note in evals.notes):
        tell("Columns are guessed. To check and keep the guess: evalkit suggest PATH > evalkit.yaml")
    if more := len(evals.notes) - len(shown):
        tell(f"{plural(more, 'more note' if shown else 'note')}. Show them with --notes.")
    if count := evals.problems.height:
        tell(f"{plural(count, 'record')} could not be read as written:")
        for row in evals.problems.head(_PROBLEMS_SHOWN).iter_rows(named=True):
            tell(problem_line(row), indent=_GAP)
        if count > _PROBLEMS_SHOWN:
            tell(f"and {count - _PROBLEMS_SHOWN:,} more", indent=_GAP)


def note_line(note: Any) -> str:
    """Return a note with options in place of Python arguments."""
    return str(replace(note, text=for_shell(note.text))) if hasattr(note, "kind") else str(note)


def problem_line(row: dict[str, Any]) -> str:
    """Return the place and the reason of a row of `problems`."""
    place = row["source"] if row["line"] is None else f"{row['source']}:{row['line']}"
    return f"{place}: {row['reason']}"


def text_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[bool], width: int | None = None
) -> str:
    """Return an aligned table. Text that does not fit the width is cut with "…", numbers never.

    A table that cannot fit becomes one list per row.
    """
    from rich.cells import cell_len

    table = [[one_line(cell) for cell in row] for row in [heads, *rows]]
    widths = [max(cell_len(row[index]) for row in table) for index in range(len(heads))]
    available = (width or 10_000) - len(_GAP) * (len(heads) - 1)
    while sum(widths) > available:
        wide = [index for index in range(len(heads)) if left[index] and widths[index] > _NARROWEST]
        if not wide:
            return "\n\n".join(_row_as_list(table[0], row) for row in table[1:])
        widths[max(wide, key=lambda index: widths[index])] -= 1
    lines = [_GAP.join(_fit(*cell) for cell in zip(row, widths, left, strict=True)).rstrip() for row in table]
    return "\n".join([lines[0], _GAP.join("-" * width for width in widths), *lines[1:]])


def _row_as_list(heads: Sequence[str], row: Sequence[str]) -> str:
    width = max(map(len, heads))
    return "\n".join(
        f"{_fit(head, width, True)}{_GAP}{cell}" for head, cell in zip(heads, row, strict=True) if cell
    )


def _fit(text: str, width: int, left: bool) -> str:
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) > width:
        return f"{set_cell_size(text, width - 1)}…"
    space = " " * (width - cell_len(text))
    return text + space if left else space + text


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[bool]) -> str:
    """Return a Markdown table; every cell is text."""
    marks = ["---" if is_left else "---:" for is_left in left]
    cells = [[markdown_text(cell) for cell in row] for row in [heads, *rows]]
    return "\n".join(f"| {' | '.join(row)} |" for row in [cells[0], marks, *cells[1:]])


def markdown_text(text: object) -> str:
    """Escape one line of text for Markdown."""
    return one_line(text).translate(_MARKDOWN)


def any_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: Collection[str], markdown: bool = False
) -> str:
    """Return a table for the terminal, or as Markdown; the columns named in `left` hold text."""
    is_left = [head in left for head in heads]
    if markdown:
        return markdown_table(heads, rows, left=is_left)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return text_table(heads, rows, left=is_left, width=width)


def page(headline: str, parts: Iterable[str], remarks: Iterable[object], *, markdown: bool) -> str:
    """Return a headline, tables and remarks as text or Markdown."""
    text: Any = markdown_text if markdown else one_line
    first = text(for_shell(headline))
    lines = "\n".join(f"{'- ' if markdown else ''}{text(for_shell(remark))}" for remark in remarks)
    return "\n\n".join(part for part in (f"**{first}**" if markdown else first, *parts, lines) if part)


def as_json(value: object) -> str:
    r"""Return JSON with every unprintable character escaped.

    >>> print(as_json(["é", "\x1b[31m", "\u202e"]))
    [
      "é",
      "\u001b[31m",
      "\u202e"
    ]
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def as_csv(frame: pl.DataFrame) -> str:
    """Return a frame as CSV, control characters made visible."""
    import polars as pl

    text = [name for name, kind in frame.schema.items() if kind in (pl.String, pl.Categorical, pl.Enum)]
    shown = frame.with_columns(
        pl.col(name).cast(pl.String).map_elements(one_line, return_dtype=pl.String) for name in text
    )
    return shown.write_csv().removesuffix("\n")


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show a spinner and the elapsed time on a terminal."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, highlight=False, markup=False)
    if not sys.stderr.isatty():
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(one_line(what), total=None)
        yield


def name_cell(value: Any) -> str:
    """Return a name, or "not given" for a missing one."""
    return NOT_GIVEN if value in (None, "") else str(value)


def number_cell(value: float | None, digits: int = 2) -> str:
    """Return a number, or nothing for a missing one."""
    return "" if value is None else number(value, digits).replace(MINUS, "-")
