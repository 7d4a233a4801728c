"""Check arguments against a function's annotations."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from functools import lru_cache
from math import isfinite
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from evalkit.util.errors import ArgumentError, FormatError, SelectorError
from evalkit.util.words import Option, Sentence, did_you_mean, either, plural

if TYPE_CHECKING:
    from collections.abc import Callable

# Type aliases of several signatures.
_ALIASES: Final = {
    "Metric": "Literal['pass_rate', 'mean_score']",
    "Population": "Literal['same', 'other']",
    "Labels": "Literal['random', 'selected']",
    "Order": "Literal['information', 'random']",
}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value is a finite number; booleans are not."""
    return not isinstance(value, bool) and isinstance(value, Real) and isfinite(value)


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether a value is a whole number; booleans are not."""
    return not isinstance(value, bool) and isinstance(value, Integral)


def _is_list_of(is_one: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: (
        not isinstance(value, str | bytes | Mapping)
        and hasattr(value, "__iter__")
        and all(map(is_one, value))
    )


def _is_dict_of(is_one: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, Mapping) and all(map(_is_text, value)) and all(map(is_one, value.values()))
    )


def _is_text_or_none(value: Any) -> bool:
    return value is None or _is_text(value)


_is_list: Final = _is_list_of(_is_text)


def _is_a(name: str) -> Callable[[Any], bool]:
    """Return a check for a class of evalkit, by name: this module may not import it."""
    return lambda value: any(
        one.__name__ == name and one.__module__.startswith("evalkit.") for one in type(value).__mro__
    )


def _is_side(value: Any) -> bool:
    return isinstance(value, Mapping | str)


_SIDE: Final = "the name of a run, version or model, or a dict of columns such as {'agent_version': 'v1'}"
_KINDS: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "None": (lambda value: value is None, "None"),
    "str": (_is_text, "text"),
    "Path": (lambda value: isinstance(value, Path), "a path"),
    "bool": (lambda value: isinstance(value, bool), "True or False"),
    "int": (is_whole, "a whole number"),
    "float": (is_number, "a number"),
    "PassRule": (_is_a("PassRule"), "a PassRule, for example ek.PassRule(mean=4, floor=3)"),
    "Selector": (_is_side, _SIDE),
    **dict.fromkeys(("Sequence[str]", "Iterable[str]"), (_is_list, "a list of texts")),
    "Iterable[TableName]": (
        lambda value: _is_text(value) or _is_list(value),
        "names of tables such as ('scores',)",
    ),
    "tuple[str, str]": (lambda value: _is_list(value) and len(value) == 2, "a pair of texts"),
    "Sequence[Selector]": (_is_list_of(_is_side), "a list of sides, each a name or a dict of columns"),
    "Mapping[str, float]": (
        _is_dict_of(is_number),
        "a dict of names with a number each, such as {'pass_rate': 0.05}",
    ),
    "Mapping[str, str | Sequence[str | None] | None]": (
        _is_dict_of(lambda value: _is_text_or_none(value) or _is_list_of(_is_text_or_none)(value)),
        "a dict of columns and their allowed values, such as {'severity': 'critical'}",
    ),
    "FailureClusters": (_is_a("FailureClusters"), "the result of ek.find_failures(evals)"),
    "Judge": (_is_a("Judge"), "a judge, for example ek.Judge(model=..., rubric=...)"),
    "Cache": (_is_a("Cache"), "a Cache"),
    "Suite": (_is_a("Suite"), "a Suite"),
}
# Ranges of numbers by argument name.
_CHANCE: Final[tuple[Callable[[Any], bool], str]] = (
    lambda value: 0 < value < 1,
    "a number between 0 and 1, such as 0.95",
)
_LIMITS: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    **dict.fromkeys(("level", "power", "alpha"), _CHANCE),
    "target": (lambda value: 0 <= value <= 1, "a share from 0 to 1"),
    **dict.fromkeys(
        ("seed", "case_cost", "max_cost", "max_transcripts"), (lambda value: value >= 0, "0 or more")
    ),
    **dict.fromkeys(
        ("epoch", "looks", "resamples", "clusters"), (lambda value: value >= 1, "a whole number from 1")
    ),
}
# An empty list of these selects nothing.
_SOMEBODY: Final = ("grader", "rubric", "candidates", "criteria")


def expect(
    verb: Callable[..., Any], given: Mapping[str, Any], *, loaded: bool = False, judged: bool = False
) -> None:
    """Check the arguments of a call against the annotations of the function.

    Pass the `locals()` of the function before any other name is assigned. With `loaded`, a scanned `Evals` is
    refused; with `judged`, one with trials and without any score. Raise `FormatError` for a value that is no `Evals`,
    `SelectorError` for one that is not judged yet, and `ArgumentError` for any other.

    >>> def verb(*, level: float = 0.95, metric: Metric = "pass_rate"): ...
    >>> expect(verb, {"level": 0.9, "metric": "pass_rat"})
    Traceback (most recent call last):
    evalkit.util.errors.ArgumentError: Invalid metric 'pass_rat'. Expected 'pass_rate' or 'mean_score'. Did you mean 'pass_rate'?
    """
    for name, annotation in verb.__annotations__.items():
        if name == "return" or name not in given:
            continue
        if annotation == "Evals":
            named = verb.__qualname__
            expect_evals(given[name], named[0].lower() + named[1:], loaded=loaded)
            continue
        _check(name, given[name], _parts(annotation))
    if judged:
        _expect_judged(given["evals"], verb.__qualname__)


def _expect_judged(evals: Any, verb: str) -> None:
    if evals.scores.lazy().select("run").head(1).collect().height:
        return
    trials = evals.attempts().height
    if trials:
        raise SelectorError(
            f"The evals are not judged yet: {plural(trials, 'trial')}, 0 scores. {verb} needs scores.",
            fix=JUDGE_THEM,
        )


JUDGE_THEM: Final = Sentence(
    "Score them with {judge}, or by hand with {label}.",
    judge=Option("judge", python="ek.Judge(...).run(evals)", shell="evalkit judge"),
    label=Option("label", python="ek.label(evals, rater='ann')", shell="ek.label in a notebook"),
)
"""What to do about evaluations without scores."""


def expect_evals(value: Any, verb: str, *, loaded: bool = False) -> None:
    """Raise `FormatError` unless `value` is an `Evals`, in memory if `loaded`."""
    if not _is_a("Evals")(value):
        what = "path" if isinstance(value, str | Path) else "frame"
        call = f"ek.{verb}" if verb in sys.modules["evalkit"].__all__ else verb
        raise FormatError(
            f"{verb} takes an Evals, not {type(value).__name__}. Load it first: {call}(ek.load({what}), ...)."
        )
    if loaded and value.is_scanned:
        raise FormatError(
            f"{verb} needs all texts in memory, and this Evals was scanned. "
            "Call evals.filter(case=...).collect() for a part, or evals.collect() for all."
        )


def _check(name: str, value: Any, parts: tuple[str, ...]) -> None:
    words = [word for part in parts for word in _choices(part)]
    kinds = [_KINDS[part] for part in parts if part in _KINDS]
    if len(kinds) + sum(part.startswith("Literal[") for part in parts) < len(parts):
        # Only the function itself can check these.
        return
    fits = (isinstance(value, str) and value in words) or any(is_one(value) for is_one, _ in kinds)
    holds, limit = _LIMITS.get(name, (None, ""))
    if fits and name in _SOMEBODY and not isinstance(value, str) and value is not None and not len(value):
        raise ArgumentError(
            Sentence("{option} is empty.", option=Option(name)),
            argument=name,
            value=value,
            expected="at least one name",
        )
    if fits and (holds is None or not is_number(value) or holds(value)):
        return
    allowed = [
        *map(repr, words),
        *dict.fromkeys(limit or text if text in _NUMBERS else text for _, text in kinds),
    ]
    raise ArgumentError(
        Sentence("Invalid {option} {value}.", option=Option(name), value=f"{value!r:.60}"),
        argument=name,
        value=value,
        expected=either(allowed),
        fix=_guess(name, value, words, parts),
    )


_NUMBERS: Final = ("a number", "a whole number")


def _guess(name: str, value: Any, words: list[str], parts: tuple[str, ...]) -> str:
    """Return the likeliest intended value, or ""."""
    if isinstance(value, str):
        try:
            number = float(value) if {"int", "float"} & {*parts} else None
        except ValueError:
            number = None
        return f"Did you mean {number:g}?" if number is not None else did_you_mean(value, words).strip()
    if is_number(value) and name == "margin":
        return f"Did you mean {{'pass_rate': {value!r}}}?"
    if is_number(value) and {"str", "Selector"} & {*parts}:
        return f"Did you mean {str(value)!r}?"
    return ""


def _choices(part: str) -> tuple[str, ...]:
    return ast.literal_eval(f"({part.removeprefix('Literal[')[:-1]},)") if part.startswith("Literal[") else ()


@lru_cache
def _parts(annotation: str) -> tuple[str, ...]:
    """Return the alternatives of an annotation, with type aliases expanded.

    >>> _parts("Metric | Mapping[str, int | None] | None")
    ("Literal['pass_rate', 'mean_score']", 'Mapping[str, int | None]', 'None')
    """

    def alternatives(node: ast.expr) -> list[str]:
        if isinstance(node, ast.BinOp):
            return alternatives(node.left) + alternatives(node.right)
        return [ast.unparse(node)]

    parts = alternatives(ast.parse(annotation, mode="eval").body)
    return tuple(_ALIASES.get(part, part) for part in parts)
