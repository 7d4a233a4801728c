"""A result made with one grader uses nobody else's scores: two graders that contradict each other."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

import evalkit as ek
from evalkit.compare.gate import check_gate
from evalkit.data.evals import Evals

CASES = [f"{case:02}" for case in range(12)]


def scores_of(grader: str, kind: str, passes: dict[str, str], samples: int = 1, **more) -> pl.DataFrame:
    """version -> '+-' per case, twice for two epochs."""
    rows = [
        (version, case, epoch, sample, 5.0 if sign == "+" else 2.0)
        for version, signs in passes.items()
        for case, sign in zip(CASES, signs, strict=True)
        for epoch in (1, 2)
        for sample in range(1, samples + 1)
    ]
    frame = pl.DataFrame(rows, schema=["run", "case", "epoch", "sample", "score"], orient="row")
    facts = {"criterion": "tone", "grader": grader, "grader_kind": kind, **more}
    return frame.with_columns(**{name: pl.lit(value) for name, value in facts.items()})


def evals_of(*scores: pl.DataFrame) -> Evals:
    return Evals.from_tables(
        cases=pl.DataFrame({"suite": "s", "case": CASES, "severity": ["critical", "low"] * 6}),
        criteria=pl.DataFrame(
            {"suite": "s", "criterion": ["tone", "facts"], "scale_min": 1.0, "scale_max": 5.0}
        ),
        runs=pl.DataFrame({"run": ["v1", "v2"], "suite": "s", "agent_version": ["v1", "v2"]}),
        scores=pl.concat(scores, how="diagonal"),
    )


PEOPLE = {"v1": "-" * 12, "v2": "+" * 11 + "-"}
JUDGE = {"v1": "+" * 12, "v2": "-" * 12}
HUMAN = scores_of("ann", "human", PEOPLE, rationale="as ann wrote it")
# The judge contradicts ann, scores three times, costs money, has two rubrics and judges a second criterion of v1.
MACHINE = scores_of(
    "judge",
    "judge",
    JUDGE,
    samples=3,
    cost_usd=1.0,
    rationale="the judge",
    rubric_hash="old",
    judge_model="m1",
)
REWORDED = MACHINE.with_columns(
    rubric_hash=pl.when(pl.col("case") < "06").then(pl.lit("old")).otherwise(pl.lit("new")),
    judge_model=pl.when(pl.col("run") == "v1").then(pl.lit("m1")).otherwise(pl.lit("m2")),
)
SECOND = MACHINE.filter(run="v1").with_columns(criterion=pl.lit("facts"))
BOTH = evals_of(HUMAN, REWORDED, SECOND)
ALONE = evals_of(HUMAN)

VERBS = {
    "grade": lambda evals, **chosen: ek.grade(evals, **chosen).drop("epoch"),
    "grade_criteria": lambda evals, **chosen: ek.grade_criteria(evals, **chosen),
    "summarize": lambda evals, **chosen: ek.summarize(evals, ["agent_version", "criterion"], **chosen),
    "distribution": lambda evals, **chosen: ek.distribution(evals, **chosen),
    "compare": lambda evals, **chosen: ek.compare(evals, "v1", "v2", by=["criterion", "severity"], **chosen),
    "compare any": lambda evals, **chosen: ek.compare(evals, "v1", "v2", judge="any", rubric="any", **chosen),
    "compare_many": lambda evals, **chosen: ek.compare_many(evals, "v1", resamples=200, **chosen),
    "gate": lambda evals, **chosen: check_gate(
        evals,
        baseline="v1",
        candidate="v2",
        no_regressions=True,
        pass_rate_at_least=0.5,
        critical_must_pass=True,
        **chosen,
    ),
    "plan": lambda evals, **chosen: ek.plan(evals, "v1", "v2", difference=0.1, **chosen),
    "variance": lambda evals, **chosen: ek.variance(evals, **chosen),
    "variance of rates": lambda evals, **chosen: ek.variance(evals, metric="pass_rate", **chosen),
    "find_failures": lambda evals, **chosen: ek.find_failures(evals, **chosen),
}


def shown(result) -> list:
    """Return everything that a result holds, as text."""
    if isinstance(result, pl.DataFrame):
        return [result.with_columns(pl.col(pl.Categorical).cast(pl.String)).to_dicts()]
    return [result.to_dict(), repr(result), result._repr_html_()]


@pytest.mark.parametrize("grader", ["human", "ann", ["ann"]])
@pytest.mark.parametrize("verb", VERBS)
def test_what_other_graders_say_changes_nothing(verb, grader):
    if verb == "find_failures":
        pytest.importorskip("sklearn", reason="the extra `failures` is not installed")

    assert shown(VERBS[verb](BOTH, grader=grader)) == shown(VERBS[verb](ALONE, grader=grader))


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "find_failures"])
def test_a_grader_that_is_kept_counts_as_one_that_is_given(verb):
    kept = BOTH.with_scoring(grader="human")

    assert shown(VERBS[verb](kept)) == shown(VERBS[verb](ALONE, grader="human"))


def test_the_graders_do_contradict_each_other():
    verdicts = [
        ek.compare(replace(BOTH), "v1", "v2", grader=g, rubric="any", judge="any", criteria="shared").verdict
        for g in ("human", "judge")
    ]

    assert verdicts == ["improved", "regressed"]


def test_each_suite_has_its_own_rule_for_people_alone():
    """A judge and people scored suite s; people alone scored suite p, on one more criterion in v2."""
    shared = [scores_of("judge", "judge", JUDGE), HUMAN, HUMAN.with_columns(criterion=pl.lit("facts"))]
    alone = HUMAN.with_columns(run=pl.col("run") + "p")
    extra = alone.filter(run="v2p").with_columns(criterion=pl.lit("facts"))
    base = evals_of(*shared)

    def with_suite_p(*scores):
        runs = pl.DataFrame({"run": ["v1p", "v2p"], "suite": "p", "agent_version": ["v1", "v2"]})
        more = Evals.from_tables(
            cases=base.cases.with_columns(suite=pl.lit("p")),
            criteria=base.criteria.with_columns(suite=pl.lit("p")),
            runs=runs,
            scores=pl.concat(scores, how="diagonal"),
        )
        return base + more

    sides = ({"agent_version": "v1"}, {"agent_version": "v2"})
    found = ek.compare(with_suite_p(alone), *sides)
    rates = {row["run"]: row["pass_rate"] for row in ek.summarize(with_suite_p(alone), by="run").to_dicts()}

    # People's "facts" in suite s does not count there; their scores in suite p do.
    assert rates == {"v1": 1.0, "v2": 0.0, "v1p": 0.0, "v2p": pytest.approx(11 / 12)}
    assert found.table.filter(scope="overall", metric="pass_rate")["n"].item() == 24
    assert "'p'" in found.warnings.filter(id="W12")["text"][0]
    with pytest.raises(ek.EvalkitError, match="facts"):
        ek.compare(with_suite_p(alone, extra), *sides)
