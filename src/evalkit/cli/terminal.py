"""What the terminal shows: plain tables, JSON, CSV, Markdown, one line for an error, a sign of life.

Names, transcripts and judges' words are hostile: whatever could move the cursor or hide text is made visible.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import threading
import time
import unicodedata
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import typer

from evalkit.cli.spelling import spell
from evalkit.util.hostile_text import visible
from evalkit.util.words import NOT_GIVEN, did_you_mean, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import polars as pl

    from evalkit.data.evals import Evals


_GAP: Final = "  "
# A column of text is not cut below this, however narrow the terminal.
_NARROWEST: Final = 8
_MOST_PROBLEMS: Final = 5
_SPINNER: Final = "|/-\\"
_MARKDOWN: Final = str.maketrans({sign: f"\\{sign}" for sign in r"\`*_{}[]<>#|~"})


def emit(text: str) -> None:
    """Print to the standard output; a reader that has gone away (`| head`) is no error."""
    try:
        typer.echo(text)
        sys.stdout.flush()
    except BrokenPipeError:
        import os

        # Whatever is still in the buffer has nowhere to go: not at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell(text: str, *, indent: str = "") -> None:
    """Print one line beside the result, on the standard error."""
    typer.echo(indent + one_line(text), err=True)


def complain(text: str) -> None:
    """Print an error in one line, on the standard error."""
    tell(f"evalkit: {spell(text)}")


def complain_of_usage(error: Any) -> None:
    """Print what typer finds wrong with what was typed: in one line, with the given value and where the help is."""
    text = error.format_message().removeprefix("Invalid value: ").replace("Value error, ", "").rstrip(".")
    context = error.ctx
    if context is not None and not context.args and text == context.get_help().rstrip("."):
        error.show()
        return
    cause = error.__cause__
    given = cause.errors()[0]["input"] if hasattr(cause, "errors") else ""
    text = re.sub(
        r"Input should be (a valid )?(.+?)(, unable .*)?$",
        lambda found: f"{given!r} is {'no' if found[1] else 'not'} {found[2]}",
        text,
    )
    path = "evalkit" if context is None else context.command_path
    if near := did_you_mean(str(given), re.findall(r"'([^']*)'", text.partition(" one of ")[2])):
        text += f".{near}"
    elif context is not None and getattr(error, "option_name", "") in _options(context.find_root()):
        text += f" after {path!r}: it goes before the command"
    complain(f"{text}{' See' if text.endswith('?') else '; see'} {path} --help.")


def _options(context: Any) -> list[str]:
    return [name for one in context.command.params for name in one.opts]


def one_line(text: object) -> str:
    r"""Return text that cannot leave its line or its place.

    Examples
    --------
    >>> one_line("two\nlines")
    'two lines'
    """
    return visible(" ".join(str(text).split()))


def tell_about(evals: Evals, *, notes: bool = False) -> None:
    """Say what was taken for what, all of it or in how many notes, and what could not be read."""
    # That data is made up is said whatever else is.
    shown = [note for note in evals.notes if notes or len(evals.notes) == 1 or "made up" in note]
    for note in shown:
        tell(f"Note: {spell(note)}")
    more = len(evals.notes) - len(shown)
    if more:
        tell(f"{plural(more, 'more note' if shown else 'note')} (shown by --notes)")
    count = evals.problems.height
    if count:
        tell(f"{plural(count, 'record')} could not be read as written:")
    for row in evals.problems.head(_MOST_PROBLEMS).iter_rows(named=True):
        tell(problem_words(row), indent=_GAP)
    if count > _MOST_PROBLEMS:
        tell(f"and {count - _MOST_PROBLEMS:,} more", indent=_GAP)


def problem_words(row: dict[str, Any]) -> str:
    """Return where a row of `problems` is from, and what is wrong there."""
    place = row["source"] if row["line"] is None else f"{row['source']}:{row['line']}"
    return f"{place}: {spell(row['reason'])}"


def text_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[bool], width: int | None = None
) -> str:
    """Return an aligned table; text that does not fit the width is cut with "…", numbers never.

    Where it cannot be made to fit, each row is a list of its own: its cells below each other, with their heads.

    Examples
    --------
    >>> print(text_table(["case", "n"], [["01", "3"], ["long", "12"]], left=[True, False]))
    case   n
    ----  --
    01     3
    long  12
    """
    table = [[one_line(cell) for cell in row] for row in [heads, *rows]]
    widths = [max(_width(row[at]) for row in table) for at in range(len(heads))]
    room = (width or 10_000) - len(_GAP) * (len(heads) - 1)
    while sum(widths) > room:
        wide = [at for at in range(len(heads)) if left[at] and widths[at] > _NARROWEST]
        if not wide:
            return "\n\n".join(_listed(table[0], row) for row in table[1:])
        widths[max(wide, key=lambda at: widths[at])] -= 1
    lines = [_GAP.join(_fit(*cell) for cell in zip(row, widths, left, strict=True)).rstrip() for row in table]
    return "\n".join([lines[0], _GAP.join("-" * one for one in widths), *lines[1:]])


def _listed(heads: Sequence[str], row: Sequence[str]) -> str:
    width = max(map(_width, heads))
    return "\n".join(
        f"{_fit(head, width, True)}{_GAP}{cell}" for head, cell in zip(heads, row, strict=True) if cell
    )


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[bool]) -> str:
    r"""Return a Markdown table in which every cell is text.

    Examples
    --------
    >>> print(markdown_table(["case"], [["a|b"]], left=[True]))
    | case |
    | --- |
    | a\|b |
    """
    lines = [heads, ["---" if one else "---:" for one in left], *rows]
    marked = [[cell if at == 1 else markdown_text(cell) for cell in row] for at, row in enumerate(lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in marked)


def markdown_text(text: object) -> str:
    """Return one line of text that Markdown shows as it is."""
    return one_line(text).translate(_MARKDOWN)


def any_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[bool], markdown: bool
) -> str:
    """Return a table for the terminal, or as Markdown."""
    if markdown:
        return markdown_table(heads, rows, left=left)
    return text_table(heads, rows, left=left, width=terminal_width())


def as_json(value: object) -> str:
    r"""Return JSON in which nothing can act on a terminal: what cannot be printed is escaped.

    Examples
    --------
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
    """Return a frame as CSV, control characters in its text made visible."""
    import polars as pl

    text = [name for name, kind in frame.schema.items() if kind in (pl.String, pl.Categorical, pl.Enum)]
    shown = frame.with_columns(
        pl.col(name).cast(pl.String).map_elements(one_line, return_dtype=pl.String) for name in text
    )
    return shown.write_csv().removesuffix("\n")


def terminal_width() -> int | None:
    """Return the columns of the terminal; None where the output goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show that something is going on, and for how long: on a terminal, from half a second on."""
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_spin, args=(one_line(what), done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _spin(what: str, done: threading.Event) -> None:
    start, shown = time.monotonic(), 0
    while not done.wait(0.1):
        spent = time.monotonic() - start
        if spent >= 0.5:
            line = f"{_SPINNER[shown % len(_SPINNER)]} {what}, {spent:.0f} s"
            typer.echo(f"\r\x1b[K{_cut(line, shutil.get_terminal_size().columns - 1)}", nl=False, err=True)
            shown += 1
    if shown:
        typer.echo("\r\x1b[K", nl=False, err=True)


def _width(text: str) -> int:
    """Return how many columns a terminal gives the text."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    while text and _width(text) > width - 1:
        text = text[:-1]
    return f"{text}…"


def _fit(text: str, width: int, left: bool) -> str:
    text = _cut(text, width)
    space = " " * (width - _width(text))
    return text + space if left else space + text


def plain_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as they are, ready for JSON."""
    return frame.to_dicts()


def _name(value: Any) -> str:
    return NOT_GIVEN if value in (None, "") else str(value)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _between(low: float | None, high: float | None, factor: int, digits: int) -> str:
    if low is None or high is None:
        return ""
    return f"{low * factor:.{digits}f} to {high * factor:.{digits}f}"


def _page(sentence: str, table: str, lines: Iterable[str], *, markdown: bool) -> str:
    """Return a sentence, a table and what there is to say, as lines of text or Markdown."""
    text: Any = markdown_text if markdown else one_line
    first = text(spell(sentence))
    said = "\n".join(f"{'- ' if markdown else ''}{text(spell(line))}" for line in lines)
    return "\n\n".join(part for part in (f"**{first}**" if markdown else first, table, said) if part)


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
