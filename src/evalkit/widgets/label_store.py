"""Order of labeling, and the file of human labels."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from evalkit.data import folder as native
from evalkit.data.evals import Evals
from evalkit.data.schema import IS_HUMAN, SCORES, TRIALS
from evalkit.grading.grade import grade_trials, nearness, scoring_to_view
from evalkit.grading.select_scores import choose_scoring, scores_for
from evalkit.util.atomic_files import atomic_write, delay_interrupt

if TYPE_CHECKING:
    from collections.abc import Sequence

Order = Literal["information", "random"]
"""`information`: what teaches most about the judge first. `random`: a random sample, which a correction needs."""

VERDICT: Final = "verdict"
"""The criterion of labels where nothing else is declared."""

Trial = tuple[str, str, int]
_DEFAULTS: Final = {"epoch": 1, "sample": 1}


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to label: a criterion of a trial."""

    run: str
    case: str
    epoch: int
    criterion: str

    @property
    def trial(self) -> Trial:
        """The key of its trial."""
        return self.run, self.case, self.epoch


def order_trials(evals: Evals, *, order: Order, seed: int) -> list[Trial]:
    """Return the scored trials in the order of labeling; at random, a shuffle.

    By information, trials come first if samples disagree or the mean is near the threshold. Strata (severity by
    verdict) alternate, those with the fewest labels first.
    """
    key, scoring = TRIALS.key, scoring_to_view(evals, choose_scoring(evals))
    graded: pl.DataFrame = grade_trials(evals, scoring).filter(pl.col("scored") > 0)
    if order == "random":
        return _keys(graded.sort(key).sample(fraction=1, shuffle=True, seed=seed))
    samples = scores_for(scoring, evals.scores).group_by(*key, "criterion")
    spread = samples.agg(pl.col("score").std().fill_null(0.0)).group_by(key).agg(spread=pl.col("score").max())
    human = evals.scores.filter(IS_HUMAN)
    labeled = human.select(key).unique().with_columns(labels=1)
    words = pl.col("severity", "verdict").cast(pl.String).fill_null("")
    # A quarter of the scale weighs as much as one point of 1 to 5.
    closeness = 1 / (1 + 4 * nearness(evals, scoring).fill_null(0.0))
    ranked = (
        graded.join(spread, on=key, how="left")
        .join(labeled, on=key, how="left")
        .with_columns(pl.col("labels").fill_null(0), stratum=pl.concat_str(words, separator="/"))
        .with_columns(information=(pl.col("spread").fill_null(0.0) + closeness).round(9))
        # A labeled trial teaches less than one without labels.
        .sort("labels", "information", *key, descending=[False, True, False, False, False])
        .with_columns(turn=pl.int_range(pl.len()).over("stratum") + pl.col("labels").sum().over("stratum"))
        .sort("labels", "turn", "stratum", "information", descending=[False, False, False, True])
    )
    return _keys(ranked)


def order_unjudged(evals: Evals, *, order: Order, seed: int) -> list[Trial]:
    """Return every trial, as in the tables or at random: nothing is known of a judge."""
    trials = evals.attempts().select(TRIALS.key)
    return _keys(trials.sample(fraction=1, shuffle=True, seed=seed) if order == "random" else trials)


def with_criteria(evals: Evals, names: Sequence[str]) -> Evals:
    """Return evaluations in which every suite has criteria: its own, else those of people's labels, else `names`.

    A new criterion is pass or fail; one with other labels has no scale.
    """
    suites = evals.runs.select(pl.col("suite").cast(pl.String).fill_null("")).unique()
    known = evals.criteria.select(pl.col("suite").cast(pl.String))
    labels = evals.scores.group_by(pl.col("criterion").cast(pl.String), maintain_order=True)
    labeled = labels.agg(fits=pl.col("score").drop_nulls().is_in([0.0, 1.0]).all())
    named = labeled if labeled.height else pl.DataFrame({"criterion": names, "fits": [True] * len(names)})
    facts = {"scale_min": 0.0, "scale_max": 1.0, "kind": "binary", "anchors": '{"0":"fail","1":"pass"}'}
    new = suites.join(known, on="suite", how="anti").join(named, how="cross")
    new = new.with_columns(pl.when("fits").then(pl.lit(value)).alias(name) for name, value in facts.items())
    new = new.drop("fits")
    return evals + Evals.from_tables(criteria=new) if new.height else evals


def declared_by_run(evals: Evals) -> dict[str, list[str]]:
    """Return the criteria of each run's suite."""
    suites = evals.runs.select("run", pl.col("suite").cast(pl.String).fill_null(""))
    named = evals.criteria.select(pl.col("suite", "criterion").cast(pl.String))
    joined = suites.join(named, on="suite", maintain_order="left_right")
    return dict(joined.group_by("run", maintain_order=True).agg("criterion").iter_rows())


def _keys(frame: pl.DataFrame) -> list[Trial]:
    return [(run, case, epoch) for run, case, epoch in frame.select(TRIALS.key).rows()]


@dataclass(slots=True)
class LabelFile:
    """A file of human scores as JSON lines, which `evalkit.load` reads.

    A repeated label replaces the earlier one. Invalid lines stay.
    """

    path: Path
    # By the key of a score.
    rows: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: str | Path) -> LabelFile:
        """Open a file; it need not exist."""
        file = cls(Path(path))
        if file.path.exists():
            for row in native.read_scores(file.path).scores.drop("source", "line").iter_rows(named=True):
                row = {name: value for name, value in row.items() if value is not None}
                if row.get("metadata", "").startswith("{"):
                    row["metadata"] = json.loads(row["metadata"])
                file.rows[_key(row)] = row
        return file

    def put(self, row: dict[str, Any]) -> None:
        """Write a label to disk; raise BusyError while another session writes."""
        key = _key(row)
        with delay_interrupt(), native.holding(self.path.parent, self.path.name):
            # Another session may have written since the file was opened.
            lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
            earlier = [index for index, line in enumerate(lines) if _key_of(line) == key]
            if earlier:
                for index in earlier:
                    lines[index] = _line(row)
                with atomic_write(self.path) as fresh:
                    fresh.write_bytes(b"\n".join(lines))
            else:
                native.append(self.path, [row])
            # Last: a row that could not be written must be added the next time.
            self.rows[key] = row

    def labels_of(self, rater: str) -> dict[Task, dict[str, Any]]:
        """Return the labels of a rater by task."""
        rows = (row for row in self.rows.values() if row.get("grader") == rater)
        return {Task(row["run"], row["case"], row["epoch"], row["criterion"]): row for row in rows}

    def frame(self) -> pl.DataFrame:
        """Return the labels as rows of the `scores` table."""
        if not self.rows:
            return SCORES.empty()
        rows = [
            {**row, "metadata": _line(row["metadata"]).decode()}
            if isinstance(row.get("metadata"), dict)
            else row
            for row in self.rows.values()
        ]
        frame = pl.DataFrame(rows, infer_schema_length=None)
        return SCORES.check(frame.with_columns(source=pl.lit(str(self.path))))


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(name, _DEFAULTS.get(name, "")) for name in SCORES.key)


def _key_of(line: bytes) -> tuple[Any, ...] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return _key(row) if isinstance(row, dict) else None


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
