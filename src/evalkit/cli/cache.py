"""`evalkit cache show` and `purge`."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli import options as opt
from evalkit.cli.terminal import any_table, as_json, emit, one_line
from evalkit.util.errors import FormatError
from evalkit.util.format import bytes_size
from evalkit.util.words import join_words, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evalkit.llm.answer_cache import Cache

app = typer.Typer(
    name="cache", help="Inspect or purge cached responses.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def show(form: opt.DataForm = "text") -> None:
    """Show the cache's place, size and age.

    EVALKIT_CACHE_DIR sets another place.
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
        emit(one_line(f"{cache.path}: {plural(len(cache), 'response')}, {bytes_size(cache.size)}"))
        cells = [
            [
                *(row["model"], f"{row['answers']:,}", bytes_size(row["bytes"])),
                *(_day(row["oldest"]), _day(row["newest"])),
            ]
            for row in rows
        ]
        if cells:
            heads = ["model", "responses", "size", "oldest", "newest"]
            emit(any_table(heads, cells, left=("model", "oldest", "newest")))


@app.command()
def purge(
    older_than: Annotated[
        float | None,
        typer.Option(
            "--older-than", metavar="DAYS", min=0, help="Only responses older than this.", show_default=False
        ),
    ] = None,
    model: Annotated[str | None, opt.text_option("--model", "NAME", "Only responses of this model.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All responses.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete cached responses. Requesting them again costs again.

    Asks for confirmation.
    """
    if everything == (older_than is not None or model is not None):
        raise FormatError("Which responses? Pass --older-than DAYS, --model NAME or both, or --all.")
    with _opened() as cache:
        if cache is None:
            return
        count = cache.count(model=model, older_than_days=older_than)
        if not count:
            models = join_words(row["model"] for row in cache.models())
            emit(one_line(f"No response matches. Nothing was deleted. Cached models: {models}."))
            return
        question = f"Delete {count:,} of {plural(len(cache), 'response')}? Requesting them again costs again"
        if not yes and not _confirm(question):
            emit("Nothing was deleted. Pass --yes to skip the question.")
            return
        deleted = cache.purge(model=model, older_than_days=older_than)
        left = f"{cache.path} has {len(cache):,}, {bytes_size(cache.size)}"
        emit(one_line(f"Deleted {plural(deleted, 'response')}; {left}."))


@contextmanager
def _opened() -> Iterator[Cache | None]:
    """Yield the cache, or None with a message if there is none. Do not create one."""
    from evalkit.llm.answer_cache import FILE, Cache
    from evalkit.util.cache_folder import cache_folder

    path = cache_folder() / FILE
    if not path.exists():
        emit(one_line(f"No cached responses: {path} does not exist."))
        yield None
        return
    with Cache(path) as cache:
        yield cache


def _confirm(question: str) -> bool:
    try:
        return typer.confirm(question)
    except typer.Abort:  # no terminal
        emit("")
        return False


def _day(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d")
