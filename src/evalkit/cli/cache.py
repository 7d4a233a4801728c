"""`evalkit cache show` and `purge`: the answers of models that were paid for, kept on this machine."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evalkit.cli.terminal import as_json, emit, one_line, terminal_width, text_table
from evalkit.util.errors import FormatError
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evalkit.llm.answer_cache import Cache

app = typer.Typer(
    name="cache",
    help="The answers of models that are kept here.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def show(
    form: Annotated[Literal["text", "json"], typer.Option("--format", help="How to print it.")] = "text",
) -> None:
    """Print where they are, how many, how large, how old.

    EVALKIT_CACHE_DIR names another place.
    """
    with _opened() as cache:
        if cache is None:
            return
        rows = cache.models()
        if form == "json":
            emit(
                as_json({"path": str(cache.path), "answers": len(cache), "bytes": cache.size, "models": rows})
            )
            return
        emit(one_line(f"{cache.path}: {plural(len(cache), 'answer')}, {cache.size / 1e6:.1f} MB"))
        cells = [
            [
                row["model"],
                f"{row['answers']:,}",
                f"{row['bytes'] / 1e6:.1f} MB",
                _day(row["oldest"]),
                _day(row["newest"]),
            ]
            for row in rows
        ]
        if cells:
            heads, left = ["model", "answers", "size", "oldest", "newest"], [True, False, False, True, True]
            emit(text_table(heads, cells, left=left, width=terminal_width()))


@app.command()
def purge(
    older_than: Annotated[
        float | None,
        typer.Option("--older-than", metavar="DAYS", min=0, help="Only what is older.", show_default=False),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="Only answers of this model.", show_default=False),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
) -> None:
    """Forget answers: what is needed again is paid again.

    It asks first.
    """
    if everything == (older_than is not None or model is not None):
        raise FormatError("Say which answers to forget: --older-than DAYS, --model NAME or both; or --all.")
    with _opened() as cache:
        if cache is None:
            return
        count = cache.count(model=model, older_than_days=older_than)
        if not count:
            have = (
                ""
                if model is None
                else f" There are answers of: {', '.join(row['model'] for row in cache.models())}."
            )
            emit(one_line(f"No answer fits; nothing was forgotten.{have}"))
            return
        if not (
            yes
            or _is_sure(
                f"Forget {count:,} of {plural(len(cache), 'answer')}? They are paid for again when they are needed"
            )
        ):
            emit("Nothing was forgotten; --yes does it unasked.")
            return
        gone = cache.purge(model=model, older_than_days=older_than)
        emit(
            one_line(
                f"{plural(gone, 'answer was', plural='answers were')} forgotten; {cache.path} has {len(cache):,}, {cache.size / 1e6:.1f} MB."
            )
        )


@contextmanager
def _opened() -> Iterator[Cache | None]:
    """Give the cache; None, and a sentence, where there is none: looking at it makes none."""
    from evalkit.llm.answer_cache import FILE, Cache
    from evalkit.util.cache_folder import cache_dir

    path = cache_dir() / FILE
    if not path.exists():
        emit(one_line(f"No answers are kept yet: {path} is not there."))
        yield None
        return
    with Cache(path) as cache:
        yield cache


def _is_sure(question: str) -> bool:
    try:
        return typer.confirm(question)
    except typer.Abort:  # nobody is there to answer
        emit("")
        return False


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
