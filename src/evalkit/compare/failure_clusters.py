"""Failing trials, clustered by what the judge wrote: which mistakes there are, how many of each, where."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.grading.grade import grade, grade_criteria
from evalkit.grading.pass_rule import DEFAULT_RULE
from evalkit.grading.select_scores import choose_scores
from evalkit.util.arguments import expect
from evalkit.util.errors import EvalkitError
from evalkit.util.hostile_text import escape, visible
from evalkit.util.words import NOT_GIVEN, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule

_KEY: Final = ["run", "case", "epoch"]
# Fewer failing trials than this are read one by one.
FEWEST: Final = 10
_MOST_CLUSTERS: Final = 10
_TERMS: Final = 5
_EXAMPLES: Final = 3
# A word of a name, such as custom_id or gpt-4.1, stays one.
_WORD: Final = r"(?u)\b[^\W\d][\w.\-]*\w\b"
# The number of clusters is chosen on so many texts; of more, a sample.
_SAMPLE: Final = 2_000
# Below this silhouette the clusters run into each other.
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
class FailureClusters:
    """What `find_failures` found.

    Attributes
    ----------
    clusters
        polars frame, the largest first: `failure` (its name: the first terms), `trials` (how many), `share` (of
        those clustered), `cases`, `versions` (lists), `severities` (in words, with counts), `terms` (list).
    trials
        polars frame, a row a failing trial with a reason: `run`, `case`, `epoch`, `severity`, `agent_version`,
        `failure`, `rationale` (what was clustered), `closeness` (cosine to the middle of its cluster, 0 to 1).
    failing
        How many trials fail.
    note
        What to know: how many have no reason written; why there are no clusters.
    method, seed
        How it was done.
    """

    clusters: pl.DataFrame
    trials: pl.DataFrame
    failing: int
    note: str
    method: str
    seed: int

    def examples(self, failure: str) -> pl.DataFrame:
        """Return the three trials nearest to the middle of a cluster, of different cases where there are."""
        near = self.trials.filter(pl.col("failure") == failure).sort(
            "closeness", *_KEY, descending=[True, False, False, False]
        )
        first = near.unique("case", keep="first", maintain_order=True)
        rest = near.join(first, on=_KEY, how="anti", maintain_order="left")
        return pl.concat([first, rest]).head(_EXAMPLES)

    def __repr__(self) -> str:
        lines = [
            f"Failures: {plural(self.failing, 'failing trial')} in {plural(self.clusters.height, 'cluster')}. {self.note}"
        ]
        for row in self.clusters.iter_rows(named=True):
            cases = len(row["cases"])
            lines.append(
                f"  {row['trials']:>5}  {visible(row['failure'])}: {plural(cases, 'case')}, {row['severities']}"
            )
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        head = "".join(
            f'<th scope="col" style="text-align:left">{name}</th>'
            for name in ("failure", "trials", "cases", "versions", "severities", "what the judge wrote")
        )
        body = "".join(self._rows_html())
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if body else ""
        return (
            f"<p><strong>{plural(self.failing, 'failing trial')} in {plural(self.clusters.height, 'cluster')}.</strong> {escape(self.note)}</p>"
            f"{table}<p><small>{escape(self.method)}</small></p>"
        )

    def _rows_html(self) -> Iterator[str]:
        for row in self.clusters.iter_rows(named=True):
            cells = (
                f"<strong>{escape(row['failure'])}</strong>",
                f"{row['trials']:,} ({100 * row['share']:.0f}&nbsp;%)",
                escape(_few(row["cases"])),
                escape(_few(row["versions"])),
                escape(row["severities"]),
                "".join(
                    f"<p><small>case {escape(one['case'])}, run {escape(one['run'])}, epoch {one['epoch']}</small><br>{escape(_short(one['rationale']))}</p>"
                    for one in self.examples(row["failure"]).iter_rows(named=True)
                ),
            )
            yield (
                "<tr>"
                + "".join(f'<td style="text-align:left;vertical-align:top">{cell}</td>' for cell in cells)
                + "</tr>"
            )


def find_failures(
    evals: Evals,
    *,
    rule: PassRule = DEFAULT_RULE,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    clusters: int | None = None,
    seed: int = 0,
) -> FailureClusters:
    """Cluster the failing trials by what the judge wrote about the criteria that failed.

    The words of the rationales are weighed by TF-IDF and put together by k-means. That finds mistakes that are
    worded alike; it does not know what they mean, and two wordings of one mistake may be two clusters. A judge that
    repeats the case's wording makes clusters of cases. Read the examples.

    Parameters
    ----------
    evals
        What was loaded.
    rule, grader, rubric
        As for `evalkit.grade`: what failing is, and whose words count.
    clusters
        How many; None takes the number from 2 to 10 with the best silhouette.
    seed
        The same seed gives the same clusters.

    Returns
    -------
    FailureClusters
        `.clusters`, `.trials`, `.examples(failure)`; shown as a table, and in the explorer by
        ``ek.explore(evals, failures=found)``. With fewer than 10 failing trials that have a reason there are no
        clusters, and the note says so.

    Raises
    ------
    EvalkitError
        scikit-learn is not installed, or `clusters` is less than 1.

    Examples
    --------
    >>> import evalkit as ek
    >>> found = ek.find_failures(ek.demo.make())
    >>> print(repr(found).splitlines()[0])
    Failures: 50 failing trials in ... clusters.
    """
    expect(find_failures, locals())
    _need_sklearn()
    graded = grade(evals, rule, grader=grader, rubric=rubric)
    failing = graded.filter(pl.col("verdict") == "fail").sort(_KEY)
    told = _reasons(evals, failing, rule, grader=grader, rubric=rubric)
    silent = failing.height - told.height
    note = (
        f"{plural(silent, 'of them has', plural='of them have')} no reason written and stand{'s' * (silent == 1)} in no cluster."
        if silent
        else ""
    )
    if told.height < FEWEST:
        note = f"{plural(told.height, 'failing trial has', plural='failing trials have')} a reason written; clusters need at least {FEWEST}. Read them one by one: ek.explore(evals, where={{'verdict': 'fail'}})."
        empty = pl.DataFrame(schema=_TRIALS), pl.DataFrame(schema=_CLUSTERS)
        return FailureClusters(empty[1], empty[0], failing.height, note, "Nothing was clustered.", seed)
    wanted = None if clusters is None else min(clusters, told.height)
    labels, closeness, terms, score = _cluster(told["rationale"].to_list(), wanted, seed=seed)
    method = f"TF-IDF of words, k-means into {len(terms)} clusters, silhouette {score:.2f}, seed {seed}, n = {told.height:,} trials."
    if score < _WEAK:
        note += " The words hardly tell the clusters apart: take them for a rough sorting."
    names = _names(terms, labels)
    trials = told.with_columns(
        failure=pl.Series([names[label] for label in labels]), closeness=pl.Series(closeness)
    ).select(pl.col(name).cast(dtype) for name, dtype in _TRIALS.items())
    return FailureClusters(_summed(trials, names, terms), trials, failing.height, note.strip(), method, seed)


def _need_sklearn() -> None:
    from importlib.util import find_spec

    if find_spec("sklearn") is None:
        raise EvalkitError(
            'Clusters of failures need scikit-learn, which is not installed: pip install "evalkit-lab[failures]".'
        )


def _reasons(
    evals: Evals,
    failing: pl.DataFrame,
    rule: PassRule,
    *,
    grader: str | Sequence[str] | None,
    rubric: str | Sequence[str] | None,
) -> pl.DataFrame:
    """Return the failing trials with what was written of the criteria that failed, each wording once."""
    chosen = choose_scores(evals.scores.lazy(), grader=grader, rubric=rubric).to_native()
    failed = grade_criteria(evals, rule, grader=grader, rubric=rubric).filter(pl.col("verdict") == "fail")
    keys = [*_KEY, "criterion"]
    written = (
        chosen.filter(pl.col("rationale").str.strip_chars().str.len_chars() > 0)
        .join(failing.lazy().select(_KEY), on=_KEY, how="semi", maintain_order="left")
        .select(*keys, "sample", "rationale")
        .collect()
    )
    of_failed = written.join(failed.select(keys), on=keys, how="semi", maintain_order="left")
    # A trial may fail by its mean alone: then all that was written of it counts.
    others = written.join(of_failed.select(_KEY), on=_KEY, how="anti", maintain_order="left")
    texts = (
        pl.concat([of_failed, others])
        .sort(*keys, "sample")
        .group_by(_KEY, maintain_order=True)
        .agg(pl.col("rationale").unique(maintain_order=True).str.join("\n"))
    )
    return failing.join(texts, on=_KEY, how="inner", maintain_order="left")


def _cluster(
    texts: list[str], wanted: int | None, *, seed: int
) -> tuple[list[int], list[float], list[list[str]], float]:
    """Return a cluster for each text, how close it is to the middle, the terms of each cluster, and the silhouette."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    options: dict[str, Any] = {"stop_words": "english", "sublinear_tf": True}
    try:
        # A word that one text alone has, or that most have, tells no two mistakes apart.
        weights = TfidfVectorizer(**options, token_pattern=_WORD, min_df=2, max_df=0.6)
        rows = weights.fit_transform(texts)
    except ValueError:
        weights = TfidfVectorizer(analyzer=str.split)
        rows = weights.fit_transform(texts)
    labels, score = _best(rows, wanted, seed=seed)
    count = int(labels.max()) + 1
    centres = np.vstack([np.asarray(rows[labels == one].mean(axis=0)) for one in range(count)])
    length = np.linalg.norm(centres, axis=1)
    dots = np.asarray(rows.multiply(centres[labels]).sum(axis=1)).ravel()
    closeness = dots / np.maximum(length[labels], 1e-12)
    words = weights.get_feature_names_out()
    overall = np.asarray(rows.mean(axis=0)).ravel()
    terms = [_terms(words, centres[one] - overall) for one in range(count)]
    return labels.tolist(), closeness.tolist(), terms, score


def _best(rows: Any, wanted: int | None, *, seed: int) -> tuple[Any, float]:
    """Return the labels of the number of clusters that is asked for, or has the best silhouette; and that."""
    import numpy as np

    every = rows.shape[0]
    some = rows
    if every > _SAMPLE:
        some = rows[np.random.default_rng(seed).choice(every, _SAMPLE, replace=False)]
    if wanted is None:
        scores = {
            count: _silhouette(some, _fit(some, count, seed=seed))
            for count in range(2, min(_MOST_CLUSTERS, some.shape[0] // 4) + 1)
        }
        # Of equals the fewest.
        wanted = max(scores, key=lambda count: (round(scores[count], 9), -count))
    labels = _packed(_fit(rows, wanted, seed=seed))
    chosen = labels if every <= _SAMPLE else _fit(some, wanted, seed=seed)
    return labels, _silhouette(some, chosen)


def _fit(rows: Any, count: int, *, seed: int) -> Any:
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # Fewer different texts than clusters: then there are fewer.
        warnings.simplefilter("ignore", ConvergenceWarning)
        starts = 10 if rows.shape[0] <= _SAMPLE else 2
        return KMeans(count, n_init=starts, random_state=seed).fit_predict(rows)


def _silhouette(rows: Any, labels: Any) -> float:
    from sklearn.metrics import silhouette_score

    if not 1 < len(set(labels.tolist())) < rows.shape[0]:
        return 0.0
    return float(silhouette_score(rows, labels, metric="cosine"))


def _packed(labels: Any) -> Any:
    """Return labels without gaps, the largest cluster 0, of equals the one that comes first."""
    import numpy as np

    names = labels.tolist()
    sizes, order = Counter(names), list(dict.fromkeys(names))
    ranks = {name: rank for rank, name in enumerate(sorted(order, key=lambda one: -sizes[one]))}
    return np.array([ranks[name] for name in names])


def _terms(words: Any, weight: Any) -> list[str]:
    """Return the words that tell a cluster from the rest, the strongest first."""
    strongest = [at for at in (-weight).argsort(kind="stable")[:_TERMS] if weight[at] > 0]
    return [str(words[at]) for at in strongest]


def _names(terms: list[list[str]], labels: list[int]) -> list[str]:
    """Return a name for each cluster: its first terms, and a number where two would be called alike."""
    made: list[str] = []
    for at, words in enumerate(terms):
        name = ", ".join(words[:3]) or "no words of its own"
        made.append(name if name not in made else f"{name} ({at + 1})")
    return made


def _summed(trials: pl.DataFrame, names: list[str], terms: list[list[str]]) -> pl.DataFrame:
    rows = []
    for name, words in zip(names, terms, strict=True):
        of = trials.filter(pl.col("failure") == name)
        severities = Counter(of["severity"].fill_null(NOT_GIVEN).to_list())
        order = ("critical", "high", "medium", "low", NOT_GIVEN)
        rows.append(
            {
                "failure": name,
                "trials": of.height,
                "share": of.height / trials.height,
                "cases": of["case"].cast(pl.String).unique().sort().to_list(),
                "versions": [v for v in of["agent_version"].cast(pl.String).unique().sort().to_list() if v],
                "severities": ", ".join(f"{severities[one]} {one}" for one in order if severities[one]),
                "terms": words,
            }
        )
    return pl.DataFrame(rows, schema=_CLUSTERS)


def _few(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _short(text: str, most: int = 240) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
