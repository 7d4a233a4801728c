"""The options that several commands share, and how what was typed becomes arguments of the library."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from evalkit.cli.terminal import emit, problem_words, tell_about, working
from evalkit.util.errors import FormatError, SelectorError
from evalkit.util.words import did_you_mean, join_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule

use_cache: Final[ContextVar[bool]] = ContextVar("use_cache", default=True)
"""Whether files that were read before may come from the cache: what was said before the command's name."""

# The verdicts that a comparison may be made to fail on.
_FAILING: Final = ("regressed", "inconclusive", "regressed within margin")

# typer reads these names when it builds the commands, so nothing here may be imported for types alone.
Paths = Annotated[
    list[str],
    typer.Argument(metavar="PATH", help="Folders, files or globs with evaluations.", show_default=False),
]
MappingFile = Annotated[
    str | None,
    typer.Option(
        "--mapping", metavar="FILE", help="YAML that says which column is what.", show_default=False
    ),
]
By = Annotated[
    list[str] | None,
    typer.Option(
        "--by", metavar="COLUMN", help="Split by this column; several with commas.", show_default=False
    ),
]
Mean = Annotated[float, typer.Option("--mean", help="What the mean of the criteria must reach.")]
Floor = Annotated[float, typer.Option("--floor", help="What every single criterion must reach.")]
Gates = Annotated[
    list[str] | None,
    typer.Option(
        "--gate", metavar="NAME=SCORE", help="A criterion that must reach this score.", show_default=False
    ),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weight", metavar="NAME=WEIGHT", help="The weight of a criterion in the mean.", show_default=False
    ),
]
Scale = Annotated[
    str | None,
    typer.Option(
        "--scale", metavar="LOW,HIGH", help="The scale that mean and floor are on.", show_default=False
    ),
]
Graders = Annotated[
    list[str] | None,
    typer.Option(
        "--grader",
        metavar="NAME",
        help='Whose scores count: a grader\'s name, "human" ...',
        show_default=False,
    ),
]
Rubrics = Annotated[
    list[str] | None,
    typer.Option(
        "--rubric-hash", metavar="HASH", help="Which wording of the rubric counts.", show_default=False
    ),
]
Judged = Annotated[
    Literal["same", "any"],
    typer.Option("--judge", help="Refuse sides that were judged differently, or compare them anyway."),
]
Baseline = Annotated[
    str,
    typer.Option(
        "--baseline", metavar="NAME", help="A run, agent version or model; or model=NAME,agent_version=NAME."
    ),
]
Candidate = Annotated[str, typer.Option("--candidate", metavar="NAME", help="The other side, named alike.")]
MaybeBaseline = Annotated[
    str | None,
    typer.Option(
        "--baseline",
        metavar="NAME",
        help="A run, agent version or model; or model=NAME,agent_version=NAME.",
        show_default=False,
    ),
]
MaybeCandidate = Annotated[
    str | None,
    typer.Option("--candidate", metavar="NAME", help="The other side, named alike.", show_default=False),
]
Margins = Annotated[
    list[str] | None,
    typer.Option(
        "--margin",
        metavar="METRIC=LOSS",
        help="The largest loss that would not matter: pass_rate=0.05, mean_score=0.25.",
        show_default=False,
    ),
]
Level = Annotated[float, typer.Option("--level", help="Confidence of the intervals.")]
Missing = Annotated[
    Literal["exclude", "fail"],
    typer.Option("--missing", help="Leave unscored trials out of the rates, or count them as fails."),
]
Rerun = Annotated[
    str | None,
    typer.Option(
        "--rerun",
        metavar="NAME",
        help="Another run of the baseline's version: how many cases flip by themselves is then counted.",
        show_default=False,
    ),
]
Criteria = Annotated[
    Literal["same", "shared"],
    typer.Option(
        "--criteria",
        help="Refuse sides that were scored on different criteria, or compare them on those they share.",
    ),
]
Notes = Annotated[
    bool, typer.Option("--notes", help="Show every note about how the data was read, not their number.")
]
Form = Annotated[Literal["text", "json", "md"], typer.Option("--format", help="How to print it.")]

# Who is asked, and what that may cost: of an agent and of a judge.
ProviderName = Annotated[
    str,
    typer.Option("--provider", metavar="NAME", help="groq, openai, local, or the address of an endpoint."),
]
BaseUrl = Annotated[
    str | None,
    typer.Option("--base-url", metavar="URL", help="Another address for the provider.", show_default=False),
]
Effort = Annotated[
    str | None,
    typer.Option(
        "--effort",
        metavar="LEVEL",
        help="low, medium or high: how much the model reasons.",
        show_default=False,
    ),
]
MaxTokens = Annotated[int, typer.Option("--max-tokens", help="What an answer may take, reasoning included.")]
MaxCost = Annotated[
    float | None,
    typer.Option("--max-cost", metavar="DOLLARS", help="Stop before this is spent.", show_default=False),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the estimate and stop.")]


def read(paths: Sequence[str], mapping: str | None, *, notes: bool) -> Evals:
    """Load the evaluations, and say on the standard error what was taken for what."""
    evals = _load(paths, mapping)
    tell_about(evals, notes=notes)
    return evals


def read_scored(paths: Sequence[str], mapping: str | None, *, notes: bool) -> Evals:
    """Load the evaluations likewise; where there is nothing to look into, say why not.

    Raises
    ------
    FormatError
        There is neither a trial nor a score.
    """
    evals = _load(paths, mapping)
    if evals.scores.is_empty() and evals.trials.is_empty():
        where, count = join_words(paths, limit=3), evals.problems.height
        if not count:
            raise FormatError(f"There are no trials and no scores in {where}.")
        first = problem_words(evals.problems.row(0, named=True))
        more = f" (and {count - 1:,} more)" if count > 1 else ""
        raise FormatError(
            f"Nothing could be loaded from {where}; the first problem{more} is {first.rstrip('.')}."
        )
    tell_about(evals, notes=notes)
    return evals


def _load(paths: Sequence[str], mapping: str | None) -> Evals:
    from evalkit.readers.load import load

    with working(f"Reading {', '.join(paths)}"):
        return load(*paths, mapping=mapping, cache=use_cache.get())


def make_rule(
    mean: float, floor: float, gates: Sequence[str] | None, weights: Sequence[str] | None, scale: str | None
) -> PassRule:
    """Return the pass rule that was typed."""
    from evalkit.grading.pass_rule import PassRule

    return PassRule(
        mean=mean,
        floor=floor,
        gates=numbers(gates, "--gate") or None,
        weights=numbers(weights, "--weight") or None,
        scale=_scale(scale),
    )


def warn_of_price(price: float | None, max_cost: float | None) -> None:
    """Say that what is asked for may not all be done, where its price is above the limit."""
    if max_cost is not None and price is not None and price > max_cost:
        emit(f"That is more than --max-cost {max_cost:g}: it may stop before all of it is done.")


def columns(by: Sequence[str] | None) -> list[str]:
    """Return the columns in `--by a,b --by c`."""
    return [name.strip() for one in by or () for name in one.split(",") if name.strip()]


def numbers(pairs: Sequence[str] | None, option: str) -> dict[str, float]:
    """Return `NAME=4` as a name with a number; the name may hold "=" itself.

    Examples
    --------
    >>> numbers(["Batch Api=4"], "--gate")
    {'Batch Api': 4.0}
    """
    made = {}
    for pair in pairs or ():
        name, sign, value = pair.rpartition("=")
        try:
            made[name.strip()] = float(value)
        except ValueError:
            sign = ""
        if not sign or not name.strip():
            raise typer.BadParameter(f"{pair!r} is not NAME=NUMBER, as in {option} 'Batch Api=4'.")
    return made


def side(evals: Evals, name: str) -> str | dict[str, str]:
    """Return a side: a name, or `model=NAME,agent_version=NAME` as columns.

    A name that is there is that name, whatever signs are in it.

    Raises
    ------
    SelectorError
        It looks like columns, and one of them is nearly one of `runs`.
    """
    from evalkit.compare.pairs import RUN_COLUMNS

    parts = [part.partition("=") for part in name.split(",")]
    if not all(sign for _, sign, _ in parts) or _is_name(evals, name):
        return name
    chosen = {column.strip(): value.strip() for column, _, value in parts}
    wrong = [column for column in chosen if column not in RUN_COLUMNS]
    if not wrong:
        return chosen
    near = did_you_mean(wrong[0], RUN_COLUMNS)
    if near or len(wrong) < len(chosen):
        raise SelectorError(
            f"A side is chosen by {join_words(RUN_COLUMNS)}, not by {wrong[0]!r}.{near or ' It is none of them.'}"
        )
    return name


def _is_name(evals: Evals, name: str) -> bool:
    return any(name in set(evals.runs[c].cast(str).drop_nulls()) for c in ("run", "agent_version", "model"))


def verdicts(given: Sequence[str] | None) -> list[str]:
    """Return the verdicts that `--fail-on` names; a word that is none would let everything through."""
    unknown = [word for word in given or () if word not in _FAILING]
    if unknown:
        raise typer.BadParameter(
            f"--fail-on is {unknown[0]!r}; it may be {join_words(_FAILING)}.{did_you_mean(unknown[0], _FAILING)}"
        )
    return list(given or ())


def names(given: Sequence[str] | None) -> Any:
    """Return None for nothing, the name for one, the list for several."""
    if not given:
        return None
    return given[0] if len(given) == 1 else list(given)


def _scale(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"--scale is {text!r}; it may be two numbers, as in 1,5.") from None
    return low, high
