"""Draft of a rubric: its changes, and its outdated scores."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from evalkit.data.schema import IS_HUMAN, TRIALS
from evalkit.util.errors import SuiteError
from evalkit.widgets.diff_align import word_diff

if TYPE_CHECKING:
    from evalkit.data.evals import Evals
    from evalkit.data.suite import Criterion, Rubric
    from evalkit.widgets.diff_align import Change


@dataclass(frozen=True, slots=True)
class Draft:
    """A rubric as saved, as worded now, and the edited criterion."""

    saved: Rubric
    rubric: Rubric
    chosen: str

    def edited(
        self, name: str, *, description: str | None = None, anchors: dict[str, str] | None = None
    ) -> Draft:
        """Return the draft with a criterion reworded; an empty anchor is removed."""
        rubric = self.rubric.model_copy(deep=True)
        criterion = rubric.criterion(name)
        try:
            if description is not None:
                criterion.description = description.strip()
            if anchors is not None:
                merged = {**anchors_of(criterion), **anchors}
                criterion.anchors = {score: text.strip() for score, text in merged.items() if text.strip()}
        except ValueError as error:
            errors = getattr(error, "errors", None)
            message = errors()[0]["msg"] if callable(errors) else str(error).splitlines()[0]
            raise SuiteError(f"{name}: {message}") from None
        return replace(self, rubric=rubric)

    def undone(self, name: str) -> Draft:
        """Return the draft with a criterion as it was saved."""
        saved = self.saved.criterion(name)
        removed = dict.fromkeys(anchors_of(self.rubric.criterion(name)), "")
        return self.edited(name, description=saved.description, anchors={**removed, **anchors_of(saved)})

    @property
    def changed(self) -> tuple[str, ...]:
        """The reworded criteria, by their content hash."""
        criteria = self.rubric.criteria
        return tuple(one.name for one in criteria if one.hash != self.saved.criterion(one.name).hash)

    def differences(self, name: str) -> list[tuple[str, list[Change]]]:
        """Return the changes of a criterion: ("description" or "score N", changes)."""
        before, after = self.saved.criterion(name), self.rubric.criterion(name)
        old, new = anchors_of(before), anchors_of(after)
        texts = [("description", before.description, after.description)]
        texts += [(f"score {at}", old.get(at, ""), new.get(at, "")) for at in sorted({*old, *new}, key=float)]
        return [(part, word_diff(first, second)) for part, first, second in texts if first != second]


def anchors_of(criterion: Criterion, *, complete: bool = False) -> dict[str, str]:
    """Return the anchors by score; with `complete`, all scores of a short scale."""
    texts = {str(score): text for score, text in criterion.anchors.items()}
    low, high = criterion.scale
    if complete and high - low <= 10 and low == int(low):
        texts = {**dict.fromkeys(map(str, range(int(low), int(high) + 1)), ""), **texts}
    return dict(sorted(texts.items(), key=lambda item: float(item[0])))


def version_of(rubric: Rubric) -> str:
    """Return 12 hex digits of the wording of all criteria."""
    return hashlib.sha256("".join(one.hash for one in rubric.criteria).encode()).hexdigest()[:12]


def find_stale(evals: Evals, wordings: pl.DataFrame, grader: str) -> pl.DataFrame:
    """Count the scores of a grader under another wording than `wordings`.

    Columns: `criterion`, `stale` (scores with another wording), `trials` (with such scores only), `current`.
    """
    key = ["run", "case", "criterion"]
    is_theirs = (pl.col("grader") == grader) & ~IS_HUMAN
    scores = evals.scores.filter(is_theirs).select(
        *(pl.col(name).cast(pl.String) for name in key), "epoch", used=pl.col("rubric_hash").cast(pl.String)
    )
    is_current = pl.col("used") == pl.col("rubric_hash")
    counts = {"stale": (~is_current).sum(), "current": is_current.sum()}
    by_trial = scores.join(wordings, on=key).group_by(*TRIALS.key, "criterion").agg(**counts)
    is_stale = (pl.col("stale") > 0) & (pl.col("current") == 0)
    totals = by_trial.group_by("criterion").agg(
        pl.col("stale").sum(), is_stale.sum().alias("trials"), pl.col("current").sum()
    )
    return totals.sort("criterion")
