"""Cluster failing trials by the judge's rationales."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.result import Result
from evalkit.data.schema import SEVERITIES, TRIAL_KEY
from evalkit.grading.grade import grade_trial_criteria, grade_trials
from evalkit.grading.select_scores import choose_scoring, scores_for
from evalkit.util import format as fmt
from evalkit.util.arguments import expect
from evalkit.util.errors import EvalkitError
from evalkit.util.hostile_text import escape, visible
from evalkit.util.html_table import Html, html_table
from evalkit.util.words import NOT_GIVEN, join_words, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evalkit.data.evals import Evals
    from evalkit.data.scoring import Scoring
    from evalkit.grading.pass_rule import PassRule

# Fewer failing trials are read one by one.
_FEWEST: Final = 10
_MOST_CLUSTERS: Final = 10
_TERMS: Final = 5
_EXAMPLES: Final = 3
# A name such as custom_id or gpt-4.1 is one word.
_WORD: Final = r"(?u)\b[^\W\d][\w.\-]*\w\b"
# The number of clusters is chosen on a sample of this many texts.
_SAMPLE: Final = 2_000
# Below this silhouette clusters overlap.
_WEAK: Final = 0.1
_TRIALS: Final = {
    "run": pl.Categorical(),
    "case": pl.Categorical(),
    "epoch": pl.Int32(),
    "severity": pl.String(),
    "agent_version": pl.Categorical(),
    "failure": pl.String(),
    "rationale": pl.String(),
    "closeness": pl.Float64(),
}
_CLUSTERS: Final = {
    "failure": pl.String(),
    "trials": pl.Int64(),
    "share": pl.Float64(),
    "cases": pl.List(pl.String()),
    "versions": pl.List(pl.String()),
    "severities": pl.String(),
    "terms": pl.List(pl.String()),
}


@dataclass(frozen=True, eq=False, repr=False)
class FailureClusters(Result):
    """The result of `find_failures`.

    Attributes
    ----------
    clusters
        polars frame, the largest first: `failure` (its name: the first terms), `trials` (count), `share` (of the
        clustered trials), `cases`, `versions` (lists), `severities` (text with counts), `terms` (list).
    trials
        polars frame, one row per failing trial with a rationale: `run`, `case`, `epoch`, `severity`, `agent_version`,
        `failure`, `rationale` (the clustered text), `closeness` (cosine to the cluster's center, 0 to 1).
    failing
        Number of failing trials.
    note
        Trials without a rationale, or why there are no clusters.
    method, seed
        The method and its seed.
    """

    clusters: pl.DataFrame
    trials: pl.DataFrame
    failing: int
    note: str
    method: str
    seed: int

    @property
    def table(self) -> pl.DataFrame:
        """The clusters."""
        return self.clusters

    def examples(self, failure: str) -> pl.DataFrame:
        """Return three trials near a cluster's center, of different cases if possible."""
        near = self.trials.filter(pl.col("failure") == failure).sort(
            "closeness", *TRIAL_KEY, descending=[True, False, False, False]
        )
        first = near.unique("case", keep="first", maintain_order=True)
        rest = near.join(first, on=TRIAL_KEY, how="anti", maintain_order="left")
        return pl.concat([first, rest]).head(_EXAMPLES)

    def _headline(self) -> str:
        counts = f"{plural(self.failing, 'failing trial')} in {plural(self.clusters.height, 'cluster')}"
        return f"Failures: {counts}. {self.note}".rstrip()

    def __repr__(self) -> str:
        lines = [
            f"  {row['trials']:>5}  {visible(row['failure'])}: {plural(len(row['cases']), 'case')}, {row['severities']}"
            for row in self.clusters.iter_rows(named=True)
        ]
        return "\n".join([self._headline(), *lines])

    def _html_tables(self) -> Iterable[Html]:
        heads = ("Failure", "Trials", "Cases", "Versions", "Severities", "Rationales")
        rows = [
            (
                Html(f"<strong>{escape(row['failure'])}</strong>"),
                f"{row['trials']:,} ({fmt.percent(row['share'], 0)})",
                join_words(row["cases"], limit=8),
                join_words(row["versions"], limit=8),
                row["severities"],
                Html("".join(map(_example, self.examples(row["failure"]).iter_rows(named=True)))),
            )
            for row in self.clusters.iter_rows(named=True)
        ]
        if rows:
            yield html_table(heads, rows)
        yield Html(f"<p><small>{escape(self.method)}</small></p>")


def find_failures(
    evals: Evals,
    *,
    rule: PassRule | None = None,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    clusters: int | None = None,
    seed: int = 0,
) -> FailureClusters:
    """Cluster the failing trials by the judge's rationales for the failed criteria.

    TF-IDF and k-means find similar wording, not similar meaning: one mistake may be in two clusters, and a judge that
    repeats the case's wording makes clusters of cases. Read the examples.

    Parameters
    ----------
    evals
        The collection.
    rule, grader, rubric
        As for `evalkit.grade`: what fails, and whose rationales count.
    clusters
        Number of clusters; None: the number from 2 to 10 with the best silhouette.
    seed
        Seed of k-means.

    Returns
    -------
    FailureClusters
        A table; as a filter: ``ek.explore(evals, failures=...)``. No clusters for fewer than 10 failing trials with a
        rationale.

    Raises
    ------
    EvalkitError
        scikit-learn is not installed, or `clusters` is less than 1.

    Examples
    --------
    >>> import evalkit as ek
    >>> failures = ek.find_failures(ek.demo.make())
    >>> print(repr(failures).splitlines()[0])
    Failures: 50 failing trials in ... clusters.
    """
    expect(find_failures, locals(), judged=True)
    _require_sklearn()
    scoring = choose_scoring(evals, rule=rule, grader=grader, rubric=rubric)
    failing = grade_trials(evals, scoring).filter(pl.col("verdict") == "fail").sort(TRIAL_KEY)
    texts = _rationales(evals, failing, scoring)
    if texts.height < _FEWEST:
        counts = plural(texts.height, "failing trial has", plural="failing trials have")
        note = (
            f"{counts} a rationale; clusters need at least {_FEWEST}. "
            "Read them one by one: ek.explore(evals, where={'verdict': 'fail'})."
        )
        empty = pl.DataFrame(schema=_CLUSTERS), pl.DataFrame(schema=_TRIALS)
        return FailureClusters(*empty, failing.height, note, "Nothing was clustered.", seed)
    without = failing.height - texts.height
    note = ""
    if without:
        note = f"{plural(without, 'failing trial has', plural='failing trials have')} no rationale and no cluster."
    count = None if clusters is None else min(clusters, texts.height)
    labels, closeness, terms, score = _cluster(texts["rationale"].to_list(), count, seed=seed)
    method = (
        f"TF-IDF of words, k-means into {len(terms)} clusters, silhouette {fmt.number(score)}, seed {seed}, "
        f"n = {texts.height:,} trials."
    )
    if score < _WEAK:
        note += " The clusters overlap: treat them as a rough sorting."
    names = _names(terms)
    trials = texts.with_columns(
        failure=pl.Series([names[label] for label in labels]), closeness=pl.Series(closeness)
    ).select(pl.col(name).cast(dtype) for name, dtype in _TRIALS.items())
    return FailureClusters(
        _summarize(trials, names, terms), trials, failing.height, note.strip(), method, seed
    )


def _require_sklearn() -> None:
    from importlib.util import find_spec

    if find_spec("sklearn") is None:
        raise EvalkitError(
            "Clusters of failures need scikit-learn, which is not installed.",
            fix='Install it: pip install "evalkit-lab[failures]".',
        )


def _rationales(evals: Evals, failing: pl.DataFrame, scoring: Scoring) -> pl.DataFrame:
    chosen = scores_for(scoring, evals.scores.lazy())
    failed = grade_trial_criteria(evals, scoring).filter(pl.col("verdict") == "fail")
    keys = [*TRIAL_KEY, "criterion"]
    written = (
        chosen.filter(pl.col("rationale").str.strip_chars().str.len_chars() > 0)
        .join(failing.lazy().select(TRIAL_KEY), on=TRIAL_KEY, how="semi", maintain_order="left")
        .select(*keys, "sample", "rationale")
        .collect()
    )
    of_failed = written.join(failed.select(keys), on=keys, how="semi", maintain_order="left")
    # A trial may fail by its mean alone: then all of its rationales count.
    others = written.join(of_failed.select(TRIAL_KEY), on=TRIAL_KEY, how="anti", maintain_order="left")
    texts = (
        pl.concat([of_failed, others])
        .sort(*keys, "sample")
        .group_by(TRIAL_KEY, maintain_order=True)
        .agg(pl.col("rationale").unique(maintain_order=True).str.join("\n"))
    )
    return failing.join(texts, on=TRIAL_KEY, how="inner", maintain_order="left")


def _cluster(
    texts: list[str], count: int | None, *, seed: int
) -> tuple[list[int], list[float], list[list[str]], float]:
    """Return clusters and closeness of texts, terms of clusters, and the silhouette."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    options: dict[str, Any] = {"stop_words": "english", "sublinear_tf": True}
    try:
        # Words of a single text, or of most texts, separate no mistakes.
        weights = TfidfVectorizer(**options, token_pattern=_WORD, min_df=2, max_df=0.6)
        rows = weights.fit_transform(texts)
    except ValueError:
        weights = TfidfVectorizer(analyzer=str.split)
        rows = weights.fit_transform(texts)
    labels, score = _best_labels(rows, count, seed=seed)
    clusters = range(int(labels.max()) + 1)
    centers = np.vstack([np.asarray(rows[labels == cluster].mean(axis=0)) for cluster in clusters])
    length = np.linalg.norm(centers, axis=1)
    dots = np.asarray(rows.multiply(centers[labels]).sum(axis=1)).ravel()
    closeness = dots / np.maximum(length[labels], 1e-12)
    words = weights.get_feature_names_out()
    overall = np.asarray(rows.mean(axis=0)).ravel()
    terms = []
    for center in centers:
        weight = center - overall
        strongest = [index for index in (-weight).argsort(kind="stable")[:_TERMS] if weight[index] > 0]
        terms.append([str(words[index]) for index in strongest])
    return labels.tolist(), closeness.tolist(), terms, score


def _best_labels(rows: Any, count: int | None, *, seed: int) -> tuple[Any, float]:
    """Return the labels, by default of the best silhouette, and the silhouette."""
    import numpy as np

    total, sample = rows.shape[0], rows
    if total > _SAMPLE:
        sample = rows[np.random.default_rng(seed).choice(total, _SAMPLE, replace=False)]
    if count is None:
        most = min(_MOST_CLUSTERS, sample.shape[0] // 4)
        scores = {c: _silhouette(sample, _fit(sample, c, seed=seed)) for c in range(2, most + 1)}
        # Of equals the fewest.
        count = max(scores, key=lambda c: (round(scores[c], 9), -c))
    fitted = _fit(rows, count, seed=seed).tolist()
    # Renumber without gaps, the largest cluster 0, of equals the first.
    sizes = Counter(fitted)
    ranks = {label: rank for rank, label in enumerate(sorted(dict.fromkeys(fitted), key=lambda c: -sizes[c]))}
    labels = np.array([ranks[label] for label in fitted])
    return labels, _silhouette(sample, labels if total <= _SAMPLE else _fit(sample, count, seed=seed))


def _fit(rows: Any, count: int, *, seed: int) -> Any:
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # Fewer distinct texts than clusters give fewer clusters.
        warnings.simplefilter("ignore", ConvergenceWarning)
        starts = 10 if rows.shape[0] <= _SAMPLE else 2
        return KMeans(count, n_init=starts, random_state=seed).fit_predict(rows)


def _silhouette(rows: Any, labels: Any) -> float:
    from sklearn.metrics import silhouette_score

    if not 1 < len(set(labels.tolist())) < rows.shape[0]:
        return 0.0
    return float(silhouette_score(rows, labels, metric="cosine"))


def _names(terms: list[list[str]]) -> list[str]:
    names: list[str] = []
    for index, words in enumerate(terms):
        name = ", ".join(words[:3]) or "no words of its own"
        names.append(name if name not in names else f"{name} ({index + 1})")
    return names


def _summarize(trials: pl.DataFrame, names: list[str], terms: list[list[str]]) -> pl.DataFrame:
    rows = []
    for name, words in zip(names, terms, strict=True):
        part = trials.filter(pl.col("failure") == name)
        counts = Counter(part["severity"].fill_null(NOT_GIVEN).to_list())
        order = [*reversed(SEVERITIES), NOT_GIVEN]
        cases, versions = (
            part[column].cast(pl.String).unique().sort().to_list() for column in ("case", "agent_version")
        )
        severities = ", ".join(f"{counts[severity]} {severity}" for severity in order if counts[severity])
        share = part.height / trials.height
        rows.append((name, part.height, share, cases, [v for v in versions if v], severities, words))
    return pl.DataFrame(rows, schema=_CLUSTERS, orient="row")


def _example(trial: dict[str, Any]) -> str:
    place = f"case {escape(trial['case'])}, run {escape(trial['run'])}, epoch {trial['epoch']}"
    text = fmt.shorten(" ".join(trial["rationale"].split()), 240)
    return f"<p><small>{place}</small><br>{escape(text)}</p>"
