"""A rubric that is being reworded: what differs from the saved one, and which judgements that makes stale."""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.util.errors import SuiteError

if TYPE_CHECKING:
    from evalkit.data.evals import Evals
    from evalkit.data.suite import Criterion, Rubric

_WORD: Final = re.compile(r"\s+|\w+|[^\w\s]")
_AKIN: Final = 0.5
Piece = tuple[str, str]
"""A stretch of text, and whether it is the "same", "added" or "removed"."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A rubric in the making.

    Attributes
    ----------
    saved
        As it was.
    rubric
        As it is worded now.
    chosen
        The criterion that is being edited.
    """

    saved: Rubric
    rubric: Rubric
    chosen: str

    def edited(
        self, name: str, *, description: str | None = None, anchors: dict[str, str] | None = None
    ) -> Draft:
        """Return the draft with a criterion reworded; an anchor without words is none.

        Raises
        ------
        SuiteError
            An anchor stands for a score that is not on the scale.
        """
        rubric = self.rubric.model_copy(deep=True)
        criterion = rubric.criterion(name)
        try:
            if description is not None:
                criterion.description = description.strip()
            if anchors is not None:
                merged = {**{str(score): text for score, text in criterion.anchors.items()}, **anchors}
                criterion.anchors = {score: text.strip() for score, text in merged.items() if text.strip()}
        except ValueError as error:
            raise SuiteError(f"{name}: {_first_line(error)}") from None
        return replace(self, rubric=rubric)

    def undone(self, name: str) -> Draft:
        """Return the draft with a criterion as it was saved."""
        before = self.saved.criterion(name)
        texts = {str(score): text for score, text in before.anchors.items()}
        gone = {str(score): "" for score in self.rubric.criterion(name).anchors}
        return self.edited(name, description=before.description, anchors={**gone, **texts})

    @property
    def changed(self) -> tuple[str, ...]:
        """The criteria that are worded otherwise than saved, by their content hash."""
        return tuple(
            one.name for one in self.rubric.criteria if one.hash != self.saved.criterion(one.name).hash
        )

    def differences(self, name: str) -> list[tuple[str, list[Piece]]]:
        """Return what differs in a criterion: (description or score, the text in pieces)."""
        before, after = self.saved.criterion(name), self.rubric.criterion(name)
        made = [("description", before.description, after.description)]
        scores = sorted({*map(str, before.anchors), *map(str, after.anchors)}, key=float)
        texts = [{str(score): text for score, text in one.anchors.items()} for one in (before, after)]
        made += [(score, texts[0].get(score, ""), texts[1].get(score, "")) for score in scores]
        return [(part, word_diff(old, new)) for part, old, new in made if old != new]


def word_diff(before: str, after: str) -> list[Piece]:
    """Return two texts as one, word by word: what is the same, what was added, what was removed.

    Where less than half is the same, all is removed and all added: single words in common make no sentence.

    Examples
    --------
    >>> word_diff("a big loss", "a loss")
    [('a ', 'same'), ('big ', 'removed'), ('loss', 'same')]
    """
    old, new = _WORD.findall(before), _WORD.findall(after)
    made: list[Piece] = []
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    rewritten = [("replace", 0, len(old), 0, len(new))]
    for kind, a, b, c, d in matcher.get_opcodes() if matcher.ratio() >= _AKIN else rewritten:
        if kind == "equal":
            made.append(("".join(old[a:b]), "same"))
            continue
        made += [
            (text, what)
            for text, what in (("".join(old[a:b]), "removed"), ("".join(new[c:d]), "added"))
            if text
        ]
    return made


def version_of(rubric: Rubric) -> str:
    """Return 12 hex digits of how all criteria are worded."""
    return hashlib.sha256("".join(one.hash for one in rubric.criteria).encode()).hexdigest()[:12]


def find_stale(evals: Evals, wordings: pl.DataFrame, grader: str) -> pl.DataFrame:
    """Return how many judgements of a grader were given by other words than those of `wordings`.

    Parameters
    ----------
    evals
        The collection.
    wordings
        What `evalkit.judging.requests.wordings` returns for the rubric as it is worded now.
    grader
        Whose judgements.

    Returns
    -------
    polars.DataFrame
        `criterion`, `stale` (scores by other words), `trials` (that have one and none by these words), `current`.
    """
    keys = ["run", "case", "criterion"]
    mine = evals.scores.filter(pl.col("grader") == grader, pl.col("grader_kind").ne_missing("human"))
    told = mine.select(
        *(pl.col(key).cast(pl.String) for key in keys), "epoch", said=pl.col("rubric_hash").cast(pl.String)
    )
    joined = told.join(wordings, on=keys, how="inner").with_columns(
        fits=pl.col("said") == pl.col("rubric_hash")
    )
    trial = ["run", "case", "epoch"]
    by_trial = joined.group_by(*trial, "criterion").agg(
        stale=(~pl.col("fits")).sum(), current=pl.col("fits").sum()
    )
    return (
        by_trial.group_by("criterion")
        .agg(
            pl.col("stale").sum(),
            trials=((pl.col("stale") > 0) & (pl.col("current") == 0)).sum(),
            current=pl.col("current").sum(),
        )
        .sort("criterion")
    )


def describe(criterion: Criterion) -> dict[str, Any]:
    """Return a criterion's words as plain data, its scores in order."""
    low, high = criterion.scale
    points = range(int(low), int(high) + 1) if high - low <= 10 and low == int(low) else ()
    texts = {str(score): text for score, text in criterion.anchors.items()}
    scores = sorted({*map(str, points), *texts}, key=float)
    return {
        "description": criterion.description,
        "anchors": [[score, texts.get(score, "")] for score in scores],
    }


def _first_line(error: ValueError) -> str:
    """Return what a check of the suite says, without pydantic's frame around it."""
    told = getattr(error, "errors", None)
    return str(told()[0]["msg"]) if callable(told) else str(error).splitlines()[0]
