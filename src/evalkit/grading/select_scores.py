"""Select the scores that count, by grader and rubric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.frames import some_of
from evalkit.data.schema import GRADER_KINDS, IS_HUMAN
from evalkit.data.scoring import Scoring
from evalkit.grading.pass_rule import DEFAULT_RULE
from evalkit.util.errors import ColumnError, SelectorError
from evalkit.util.words import Option, Sentence, as_names, plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalkit.data.evals import Evals

_PROVENANCE: Final = ("grader", "grader_kind", "rubric_hash", "sample")
# Graders or rubrics that an error names.
_NAMED: Final = 6


def choose_scoring(data: Any, **given: Any) -> Scoring:
    """Return the scoring: from the arguments, else the Evals, else the default."""
    scoring = getattr(data, "scoring", None) or Scoring()
    scoring = scoring.replace_given(**given)
    return scoring if scoring.rule is not None else scoring.replace_given(rule=DEFAULT_RULE)


def choose_scores(
    scores: Any,
    *,
    grader: str | Sequence[str] | None,
    rubric: str | Sequence[str] | None,
    constants: Mapping[str, Any] | None = None,
    people_alone: bool | None = None,
) -> Any:
    """Return the score rows of a grader and a rubric.

    Without a grader: those of judges and code; the people's, averaged, where only people scored. `constants` maps columns
    with one value in all rows to it; None: found in the frame. `people_alone`: only people scored; None: by the
    constants. Raises SelectorError if several graders or rubrics scored one criterion and none is chosen, or the chosen
    one has no scores.
    """
    import narwhals as nw

    frame = nw.from_native(scores)
    columns = frame.collect_schema().names()
    constants = _constant_columns(frame) if constants is None else constants
    if people_alone is None:
        people_alone = constants.get("grader_kind") == "human"
    if grader is None and people_alone:
        grader = "human"
    elif grader is None:
        if "grader_kind" in columns and constants.get("grader_kind", "human") == "human":
            is_human = nw.col("grader_kind").cast(nw.String) == "human"
            frame = frame.filter(~is_human | nw.col("grader_kind").is_null())
        if "grader" in columns and "grader" not in constants:
            _refuse_several(frame, "grader", ["criterion"])
    if grader not in (None, "any"):
        kind = grader in GRADER_KINDS
        frame = _with_values(frame, "grader_kind" if kind else "grader", grader)
        if kind and "grader" in columns and grader != "human":
            _refuse_several(frame, "grader", ["criterion"])
    if "rubric_hash" in columns:
        if rubric is None and "rubric_hash" not in constants:
            _refuse_several(frame, "rubric_hash", ["case", "criterion"])
        elif rubric not in (None, "any"):
            frame = _with_values(frame, "rubric_hash", rubric)
    return frame


def counted_scores(evals: Evals) -> pl.DataFrame:
    """Return the rows of `judged` that count without a grader: of people in suites that only people scored."""
    suites = evals.runs.select("run", pl.col("suite").fill_null(""))
    judged = evals.judged.join(suites, on="run", how="left", maintain_order="left")
    return judged.filter(IS_HUMAN.all().over("suite") == IS_HUMAN)


def has_people_alone(judged: pl.DataFrame) -> bool:
    """Whether only people gave the scores."""
    return bool(judged.height) and bool(judged.select(IS_HUMAN.all()).item())


def scores_for(scoring: Scoring, scores: Any) -> Any:
    """Return the score rows of a scoring, in the kind of frame given."""
    return choose_scores(scores, grader=scoring.grader, rubric=scoring.rubric).to_native()


def _with_values(frame: Any, column: str, values: str | Sequence[str]) -> Any:
    import narwhals as nw

    columns = frame.collect_schema().names()
    if column not in columns:
        raise ColumnError.missing(column, table="scores", have=columns)
    values = as_names(values)
    known = sorted(str(row[0]) for row in distinct(frame, [column]) if row[0] is not None)
    for value in values:
        if value not in known:
            if (
                column == "grader"
                and "grader_kind" in columns
                and ("human",) in distinct(frame, ["grader_kind"])
            ):
                known.append("human")
            raise SelectorError.unknown(value, kind=column.replace("_", " "), have=known)
    return frame.filter(nw.col(column).cast(nw.String).is_in(values))


def _refuse_several(frame: Any, column: str, by: list[str]) -> None:
    import narwhals as nw

    groups: dict[tuple[Any, ...], list[str]] = {}
    for *group, value in distinct(frame, [*by, column]):
        groups.setdefault(tuple(group), []).append("" if value is None else str(value))
    place, names = max(groups.items(), key=lambda item: len(item[1]), default=((), []))
    if len(names) < 2:
        return
    sizes = frame.group_by(column).agg(nw.len().alias("rows"))
    counts = {
        str(name or ""): count
        for name, count in (sizes.collect() if isinstance(sizes, nw.LazyFrame) else sizes).rows()
    }
    argument, action = ("grader", "average") if column == "grader" else ("rubric", "mix")

    def option(value: str) -> Option:
        return Option(argument, value, shell=Option(column, value).shell)

    where = ", ".join(f"{name} {value!r}" for name, value in zip(by, place, strict=True))
    choices = [
        Sentence("{option} ({n})", option=option(name), n=plural(counts[name], "score")) for name in names
    ]
    shown = choices[:_NAMED]
    fix = f"Choose one: {', '.join(f'{{c{index}}}' for index in range(len(shown)))}"
    fix += f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    raise SelectorError(
        f"Several {argument}s scored the {where}.",
        argument=argument,
        fix=Sentence(
            f"{fix}. Or pass {{every}} to {action} them.",
            every=option("any"),
            **{f"c{index}": choice for index, choice in enumerate(shown)},
        ),
    )


def distinct(frame: Any, columns: list[str]) -> list[tuple[Any, ...]]:
    """Return the distinct values of columns of a narwhals frame, in order."""
    import narwhals as nw

    rows = frame.select(columns).unique()
    if isinstance(rows, nw.LazyFrame):
        rows = rows.collect()
    return sorted(rows.rows(), key=str)


def _constant_columns(frame: Any) -> dict[str, Any]:
    import narwhals as nw

    columns = [c for c in _PROVENANCE if c in frame.collect_schema().names()]
    if not columns:
        return {}
    counts = frame.select(nw.col(c).n_unique().alias(c) for c in columns)
    first = frame.select(columns).head(1)
    if isinstance(counts, nw.LazyFrame):
        counts, first = counts.collect(), first.collect()
    return {c: first[c][0] for c in columns if first.shape[0] and counts[c][0] == 1}


def constants_of(evals: Evals) -> dict[str, Any]:
    """Return the columns with one value, ten times faster than from the scores."""
    scores = some_of(evals.scores, *_PROVENANCE)
    constants = {}
    for column in _PROVENANCE if scores.height else ():
        codes, nulls = scores[column].to_physical(), scores[column].null_count()
        if nulls == scores.height or (not nulls and codes.min() == codes.max()):
            constants[column] = scores[column][0]
    return constants
