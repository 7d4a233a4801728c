"""Which judgements count: by whom, by which rubric; and a refusal to mix them unasked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evalkit.data.evals import some_of
from evalkit.data.schema import GRADER_KINDS
from evalkit.util.errors import ColumnError, SelectorError
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalkit.data.evals import Evals

_JUDGED_BY: Final = ("grader", "grader_kind", "rubric_hash", "sample")
# How many graders or rubrics an error names.
_MOST: Final = 6


def choose_scores(
    scores: Any,
    *,
    grader: str | Sequence[str] | None,
    rubric: str | Sequence[str] | None,
    one: Mapping[str, Any] | None = None,
) -> Any:
    """Return the score rows that count; refuse to mix graders or rubrics unasked."""
    import narwhals as nw

    frame = nw.from_native(scores)
    have = frame.collect_schema().names()
    one = _constants(frame) if one is None else one
    column = "grader_kind" if grader in GRADER_KINDS else "grader"
    if grader is None:
        if "grader_kind" in have and one.get("grader_kind", "human") == "human":
            human = nw.col("grader_kind").cast(nw.String) == "human"
            frame = frame.filter(~human | nw.col("grader_kind").is_null())
        if "grader" in have and "grader" not in one:
            _refuse_several(frame, "grader", ["criterion"])
    elif grader != "any":
        frame = _only(frame, column, [grader] if isinstance(grader, str) else list(grader))
        if column == "grader_kind" and "grader" in have and grader != "human":
            _refuse_several(frame, "grader", ["criterion"])
    if "rubric_hash" in have:
        if rubric is None and "rubric_hash" not in one:
            _refuse_several(frame, "rubric_hash", ["case", "criterion"])
        elif rubric not in (None, "any"):
            frame = _only(frame, "rubric_hash", [rubric] if isinstance(rubric, str) else list(rubric))
    return frame


def _only(frame: Any, column: str, wanted: list[str]) -> Any:
    import narwhals as nw

    if column not in frame.collect_schema().names():
        raise ColumnError.missing(column, table="scores", have=frame.collect_schema().names())
    have = distinct(frame, [column])
    known = [str(row[0]) for row in have if row[0] is not None]
    for name in wanted:
        if name not in known:
            people = ["human"] if column == "grader" and "human" in _kinds(frame) else []
            raise SelectorError.unknown(name, kind=column.replace("_", " "), have=[*sorted(known), *people])
    return frame.filter(nw.col(column).cast(nw.String).is_in(wanted))


def _kinds(frame: Any) -> set[Any]:
    there = "grader_kind" in frame.collect_schema().names()
    return {row[0] for row in distinct(frame, ["grader_kind"])} if there else set()


def _refuse_several(frame: Any, column: str, by: list[str]) -> None:
    """Raise when some group has several values of `column`: name all of them, and how many scores each gave."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for *group, value in distinct(frame, [*by, column]):
        groups.setdefault(tuple(group), []).append("" if value is None else str(value))
    place, names = max(groups.items(), key=lambda one: len(one[1]), default=((), []))
    if len(names) < 2:
        return
    option, ways = ("grader", "average") if column == "grader" else ("rubric", "mix")
    where = ", ".join(f"{name} {word!r}" for name, word in zip(by, place, strict=True))
    counts = {str(name or ""): count for name, count in _sizes(frame, column)}
    choices = [f'{option}="{name}" ({plural(counts[name], "score")})' for name in names[:_MOST]]
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    raise SelectorError(
        f"The {where} was judged by several {option}s. Say which counts: {', '.join(choices)}{more}; "
        f'or {option}="any" to {ways} them.'
    )


def _sizes(frame: Any, column: str) -> list[tuple[Any, int]]:
    """Return how many rows each value of a column has."""
    import narwhals as nw

    sizes = frame.group_by(column).agg(nw.len().alias("rows"))
    return (sizes.collect() if isinstance(sizes, nw.LazyFrame) else sizes).rows()


def distinct(frame: Any, columns: list[str]) -> list[tuple[Any, ...]]:
    """Return the combinations of values that a narwhals frame has in some columns, in a fixed order."""
    import narwhals as nw

    small = frame.select(columns).unique()
    if isinstance(small, nw.LazyFrame):
        small = small.collect()
    return sorted(small.rows(), key=str)


def _constants(frame: Any) -> dict[str, Any]:
    """Return those of the columns that say who judged which hold one single value, with it: nothing to tell apart."""
    import narwhals as nw

    have = [c for c in _JUDGED_BY if c in frame.collect_schema().names()]
    if not have:
        return {}
    counts = frame.select(nw.col(c).n_unique().alias(c) for c in have)
    first = frame.select(have).head(1)
    if isinstance(counts, nw.LazyFrame):
        counts, first = counts.collect(), first.collect()
    if not first.shape[0]:
        return {}
    return {c: first[c][0] for c in have if counts[c][0] == 1}


def constants_of(evals: Evals) -> dict[str, Any]:
    """Return the same of all the scores of an Evals, from the codes of their columns: a tenth of the time."""
    scores = some_of(evals.scores, *_JUDGED_BY)
    if scores.is_empty():
        return {}
    one = {}
    for column in _JUDGED_BY:
        codes, nulls = scores[column].to_physical(), scores[column].null_count()
        if nulls == scores.height or (not nulls and codes.min() == codes.max()):
            one[column] = scores[column][0]
    return one
