"""Options of several commands, in groups: a command takes a group as one parameter."""

from __future__ import annotations

import inspect
from contextvars import ContextVar
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar, get_type_hints

import typer

from evalkit.cli.terminal import emit, problem_line, tell_about, working
from evalkit.util.errors import FormatError, SelectorError
from evalkit.util.words import did_you_mean, join_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule

_Value = TypeVar("_Value")

use_cache: Final[ContextVar[bool]] = ContextVar("use_cache", default=True)
"""Whether unchanged files may come from the load cache."""


def text_option(name: str, metavar: str, help_text: str, *more_names: str) -> Any:
    """Return an option without a displayed default."""
    return typer.Option(name, *more_names, metavar=metavar, help=help_text, show_default=False)


# typer evaluates these annotations: their imports must exist at run time.
Form = Annotated[Literal["text", "json", "md"], typer.Option("--format", help="Output format.")]
DataForm = Annotated[Literal["text", "json"], typer.Option("--format", help="Output format.")]
Level = Annotated[float, typer.Option("--level", help="Confidence level of the intervals.")]
By = Annotated[list[str] | None, text_option("--by", "COLUMN", "Split by columns, separated by commas.")]
Margins = Annotated[
    list[str] | None,
    text_option("--margin", "METRIC=LOSS", "Largest acceptable loss: pass_rate=0.05, mean_score=0.25."),
]
MaxCost = Annotated[float | None, text_option("--max-cost", "DOLLARS", "Stop before this is spent.")]
MaxTokens = Annotated[
    int, typer.Option("--max-tokens", help="Most tokens of a response, reasoning included.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the cost estimate and exit.")]
Folder = Annotated[
    str, typer.Argument(metavar="DIR", help="A folder, created if missing.", show_default=False)
]
SIDE_HELP: Final = "A run, agent version or model, or model=NAME,agent_version=NAME."


@dataclass(frozen=True, kw_only=True)
class Data:
    """The evaluations to read."""

    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Folders, files or globs with evaluations.", show_default=False),
    ]
    mapping: Annotated[
        str | None, text_option("--mapping", "FILE", "YAML file that maps columns to fields.")
    ] = None
    notes: Annotated[bool, typer.Option("--notes", help="Print every note about how the data was read.")] = (
        False
    )

    lenient: Annotated[
        bool, typer.Option("--lenient", help="Load what can be read, also where most of a file is lost.")
    ] = False
    pair_by_id: Annotated[
        bool, typer.Option("--pair-by-id", help="Pair cases of one ID even where their inputs differ.")
    ] = False

    normalize_cases: Annotated[
        bool, typer.Option("--normalize-cases", help="Pair cases whose IDs look alike, such as 7 and 007.")
    ] = False

    def read(self, *, needs_records: bool = True) -> Evals:
        """Load the evaluations; raise FormatError without a trial or a score."""
        from evalkit.readers.load import load

        with working(f"Reading {', '.join(self.paths)}"):
            evals = load(*self.paths, mapping=self.mapping, cache=use_cache.get(), strict=not self.lenient)
        if needs_records and evals.scores.is_empty() and evals.trials.is_empty():
            raise FormatError(f"No trials and no scores in {join_words(self.paths, limit=3)}.{_first(evals)}")
        tell_about(evals, notes=self.notes)
        evals = evals.normalize_cases() if self.normalize_cases else evals
        return evals.pair_by_id() if self.pair_by_id else evals


def _first(evals: Evals) -> str:
    count = evals.problems.height
    if not count:
        return ""
    more = f" of {count:,}" if count > 1 else ""
    return f" First problem{more}: {problem_line(evals.problems.row(0, named=True)).rstrip('.')}."


@dataclass(frozen=True, kw_only=True)
class ScoringOptions:
    """The pass rule and the scores that count."""

    mean: Annotated[
        str,
        text_option(
            "--mean", "SCORE", 'Minimum mean over the criteria: a score, a share of the scale, or "none".'
        ),
    ] = "75%"
    floor: Annotated[
        str, text_option("--floor", "SCORE", 'Minimum score of every criterion: a score, a share, or "none".')
    ] = "50%"
    gate: Annotated[
        list[str] | None, text_option("--gate", "NAME=SCORE", "Threshold of one criterion, such as 4 or 80%.")
    ] = None
    weight: Annotated[
        list[str] | None, text_option("--weight", "NAME=WEIGHT", "Weight of one criterion in the mean.")
    ] = None
    scale: Annotated[str | None, text_option("--scale", "LOW,HIGH", "Scale of mean and floor.")] = None
    grader: Annotated[
        list[str] | None, text_option("--grader", "NAME", 'Grader whose scores count, or "human".')
    ] = None
    rubric: Annotated[
        list[str] | None, text_option("--rubric-hash", "HASH", "Rubric version whose scores count.")
    ] = None

    @property
    def rule(self) -> PassRule:
        """The pass rule."""
        from evalkit.grading.pass_rule import PassRule

        return PassRule(
            mean=_read_threshold(self.mean, "--mean"),
            floor=_read_threshold(self.floor, "--floor"),
            gates=thresholds(self.gate, "--gate") or None,
            weights=numbers(self.weight, "--weight") or None,
            scale=_read_scale(self.scale),
        )

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of a verb."""
        return {"rule": self.rule, "grader": one_or_list(self.grader), "rubric": one_or_list(self.rubric)}


@dataclass(frozen=True, kw_only=True)
class Sides:
    """The two sides of a comparison, each of them optional."""

    baseline: Annotated[str | None, text_option("--baseline", "NAME", SIDE_HELP)] = None
    candidate: Annotated[str | None, text_option("--candidate", "NAME", "The version to check.")] = None

    def arguments(self, evals: Evals) -> dict[str, Any]:
        """Return the keyword arguments of a verb."""
        names = {"baseline": self.baseline, "candidate": self.candidate}
        return {key: None if name is None else find_side(evals, name) for key, name in names.items()}


@dataclass(frozen=True, kw_only=True)
class Matching:
    """Properties that two sides must share."""

    judge: Annotated[
        Literal["same", "any"],
        typer.Option("--judge", help="Refuse versions judged by different judges, or compare them anyway."),
    ] = "same"
    criteria: Annotated[
        Literal["same", "shared"],
        typer.Option("--criteria", help="Refuse versions with different criteria, or use the shared ones."),
    ] = "same"

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of a verb."""
        return {"judge": self.judge, "criteria": self.criteria}


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """A model, its endpoint and how it is sampled."""

    provider: Annotated[
        str, typer.Option("--provider", metavar="NAME", help="groq, openai, local, or an endpoint's address.")
    ] = "groq"
    base_url: Annotated[str | None, text_option("--base-url", "URL", "Another address of the provider.")] = (
        None
    )
    effort: Annotated[
        str | None, text_option("--effort", "LEVEL", "Reasoning effort: low, medium or high.")
    ] = None

    @property
    def settings(self) -> dict[str, Any]:
        """The options as keyword arguments, the provider found by name or address."""
        from evalkit.llm.providers import provider

        settings = dict(vars(self))
        return settings | {"provider": provider(self.provider, base_url=settings.pop("base_url"))}


def command(
    app: typer.Typer, name: str | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command. A dataclass parameter becomes one option per field."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(function, include_extras=True)
        groups: dict[str, Any] = {key: hint for key, hint in hints.items() if is_dataclass(hint)}
        parameters: list[inspect.Parameter] = []
        for key, parameter in inspect.signature(function).parameters.items():
            parameters += (
                _options_of(groups[key]) if key in groups else [_option(key, parameter.default, hints[key])]
            )

        @wraps(function)
        def run(**values: Any) -> None:
            for key, group in groups.items():
                values[key] = group(**{field.name: values.pop(field.name) for field in fields(group)})
            function(**values)

        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del run.__wrapped__
        app.command(name)(run)
        return function

    return register


def _options_of(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    missing = inspect.Parameter.empty
    return [
        _option(field.name, getattr(group, field.name, missing), hints[field.name]) for field in fields(group)
    ]


def _option(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def warn_of_price(price: float | None, max_cost: float | None) -> None:
    """Print a note if the estimated price is above the budget."""
    if max_cost is not None and price is not None and price > max_cost:
        emit(f"That is more than --max-cost {max_cost:g}. The run may stop before it is complete.")


def split_columns(by: Sequence[str] | None) -> list[str]:
    """Return the columns of `--by a,b --by c`."""
    return [name.strip() for names in by or () for name in names.split(",") if name.strip()]


def numbers(pairs: Sequence[str] | None, option: str) -> dict[str, float]:
    """Parse `NAME=4` pairs; the name may contain "="."""
    return _read_pairs(pairs, option, float, "NAME=NUMBER, for example 'Batch Api=4'")


def thresholds(pairs: Sequence[str] | None, option: str) -> dict[str, float | str]:
    """Parse `NAME=4` and `NAME=80%` pairs; the name may contain "="."""
    example = "NAME=SCORE, for example 'Batch Api=4' or 'Batch Api=80%'"
    return _read_pairs(pairs, option, _as_threshold, example)


def _read_pairs(
    pairs: Sequence[str] | None, option: str, read: Callable[[str], _Value], example: str
) -> dict[str, _Value]:
    values = {}
    for pair in pairs or ():
        name, _, text = pair.rpartition("=")
        try:
            values[name.strip()] = read(text)
        except ValueError:
            name = ""
        if not name.strip():
            raise typer.BadParameter(f"Invalid {option} {pair!r}. Expected {example}.")
    return values


def _as_threshold(text: str) -> float | str:
    """Return a score as a number, a share of the scale as text."""
    return text.strip() if text.strip().endswith("%") else float(text)


def _read_threshold(text: str, option: str) -> float | str | None:
    try:
        return None if text.strip() == "none" else _as_threshold(text)
    except ValueError:
        raise typer.BadParameter(
            f"Invalid value for {option!r}: {text!r}. Expected a score, a share such as 75%, or none."
        ) from None


def find_side(evals: Evals, name: str) -> str | dict[str, str]:
    """Return a side: a name, or `model=NAME,agent_version=NAME` as columns. A known name wins.

    Raises SelectorError for an unknown column.
    """
    from evalkit.compare.pairs import RUN_COLUMNS

    parts = [part.partition("=") for part in name.split(",")]
    known = any(name in set(evals.runs[c].cast(str).drop_nulls()) for c in ("run", "agent_version", "model"))
    if known or not all(sign for _, sign, _ in parts):
        return name
    columns = {column.strip(): value.strip() for column, _, value in parts}
    unknown = [column for column in columns if column not in RUN_COLUMNS]
    if not unknown:
        return columns
    if did_you_mean(unknown[0], RUN_COLUMNS) or len(unknown) < len(columns):
        raise SelectorError(
            f"Unknown column {unknown[0]!r} in side {name!r}.",
            argument="column",
            value=unknown[0],
            choices=RUN_COLUMNS,
        )
    return name


def one_or_list(names: Sequence[str] | None) -> Any:
    """Return None for nothing, the name for one, the list for several."""
    if not names:
        return None
    return names[0] if len(names) == 1 else list(names)


def _read_scale(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"Invalid --scale {text!r}. Expected two numbers, for example 1,5."
        ) from None
    return low, high
