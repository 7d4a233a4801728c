"""Every verb gives for a scan what it gives for a load, or says in one sentence what to do."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import evalkit as ek
from evalkit.compare.gate import check_gate
from evalkit.data import export as exports
from evalkit.data import folder as native
from evalkit.readers.load import load
from evalkit.report import build
from evalkit.util.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RULE = ek.PassRule()
SIDES = {"baseline": "v2", "candidate": "v3"}
RUNS = {"baseline": "v2-demo-small", "candidate": "v3-demo-small"}

# Verb -> what is to be seen of its result.
EQUAL: dict[str, Callable[[ek.Evals], Any]] = {
    "grade": lambda evals: ek.grade(evals, RULE),
    "grade_criteria": lambda evals: ek.grade_criteria(evals, RULE),
    "Evals.attempts": lambda evals: evals.attempts(),
    "Evals.filter": lambda evals: evals.filter(agent_version="v2", criterion="Groq").collect(),
    "Evals.collect": lambda evals: evals.collect(),
    "Evals.repr": lambda evals: (repr(evals), evals._repr_html_()),
    "summarize": lambda evals: ek.summarize(evals, by=["agent_version", "severity"], rule=RULE),
    "distribution": lambda evals: ek.distribution(evals, by="agent_version"),
    "order_versions": ek.order_versions,
    "compare": lambda evals: ek.compare(evals, **SIDES, rule=RULE),
    "compare_many": lambda evals: ek.compare_many(evals, baseline="v1", rule=RULE),
    "gate": lambda evals: check_gate(evals, **SIDES, no_regressions=True, rule=RULE),
    "agreement": lambda evals: ek.agreement(evals, reference="human"),
    "agreement with itself": lambda evals: ek.agreement(evals, reference="itself"),
    "correct_for_judge": lambda evals: ek.correct_for_judge(evals),
    "judge_forensics": lambda evals: ek.judge_forensics(evals),
    "variance": lambda evals: ek.variance(evals),
    "plan": lambda evals: ek.plan(evals),
    "find_failures": lambda evals: ek.find_failures(evals),
    "explore": lambda evals: ek.explore(evals, search="batch").to_html(),
    "tune": lambda evals: ek.tune(evals).to_html(),
    "transcript": lambda evals: ek.transcript(evals, run="v2-demo-small", case="02").to_html(),
    "transcript_diff": lambda evals: ek.transcript_diff(evals, case="02", **RUNS).to_html(),
    "charts.severity": lambda evals: drawn(ek.charts.severity(evals)),
    "charts.criteria": lambda evals: drawn(ek.charts.criteria(evals)),
    "charts.trend": lambda evals: drawn(ek.charts.trend(evals)),
    "charts.cases": lambda evals: drawn(ek.charts.cases(evals)),
}
NEEDS_TEXTS: dict[str, Callable[[ek.Evals], Any]] = {
    "label": lambda evals: ek.label(evals, rater="anna", path="labels.jsonl"),
    "rubric_lab": lambda evals: ek.rubric_lab(evals, None),  # type: ignore[arg-type]
    "Evals.to_pandas": lambda evals: evals.to_pandas(),
    "Evals.equals": lambda evals: evals.equals(evals),
    "Evals.concat": lambda evals: evals + evals,
    "load": lambda evals: load(evals),
    "native.write": lambda evals: native.write(evals, "written"),
    "exports.every_eval_ever": lambda evals: exports.every_eval_ever(evals, "written"),
    "ek.report with redact=True": lambda evals: ek.report(evals, "r.html", redact=True),
}
# Public names that take no Evals.
OTHERS = {
    *("Agent", "Case", "Comparison", "Criterion", "EvalkitError", "Evals", "Judge", "PassRule", "Rubric"),
    *("Severity", "Suite", "charts", "demo", "run_suite", "scan", "schema", "setup_notebook", "stats"),
    *("suggest_mapping", "map_columns"),
}


def drawn(chart: Any) -> Any:
    """Return what a chart draws, without the names of its data, which are made of their bytes."""
    made = chart.to_dict()
    return [*made.pop("datasets", {}).values(), re.sub(r"data-[0-9a-f]+", "data", str(made))]


def seen(result: Any) -> Any:
    """Return what can be compared of a result: rows in any order, sums of floats in any order."""
    if isinstance(result, pl.DataFrame):
        plain = result.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
        # Lines of NDJSON that are scanned have no number.
        return sorted(map(repr, seen(plain.drop("line", strict=False).rows(named=True))))
    if is_dataclass(result):
        return {one.name: seen(getattr(result, one.name)) for one in fields(result) if one.name != "_outputs"}
    if isinstance(result, list | tuple):
        return [seen(one) for one in result]
    if isinstance(result, dict):
        return {key: seen(value) for key, value in result.items()}
    if isinstance(result, str):
        plain = re.sub(r"((?:scores|transcripts)\.jsonl):\d+", r"\1", result)
        # Drawings have every digit of their numbers.
        plain = re.sub(r"<(script|svg)\b.*?</\1>", "", plain, flags=re.DOTALL)
        # The code of a search takes what was scanned into memory first.
        return plain.replace("evals = evals.collect()\n", "")
    return f"{result:.9g}" if isinstance(result, float) else repr(result)


@pytest.fixture(scope="module", params=["saved", "native"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    evals = load("data/demo")
    place = tmp_path_factory.mktemp("scanned") / request.param
    return evals.save(place) if request.param == "saved" else native.write(evals, place)


@pytest.fixture(scope="module")
def whole(folder: Path) -> ek.Evals:
    return load(folder)


def test_every_verb_is_tried() -> None:
    tried = {name.split()[0].removeprefix("ek.") for name in {*EQUAL, *NEEDS_TEXTS}}

    assert {*ek.__all__} - OTHERS <= tried


@pytest.mark.parametrize("verb", EQUAL)
def test_a_scan_gives_what_a_load_gives(verb: str, folder: Path, whole: ek.Evals) -> None:
    assert seen(EQUAL[verb](ek.scan(folder))) == seen(EQUAL[verb](whole))


@pytest.mark.parametrize("verb", NEEDS_TEXTS)
def test_what_needs_all_texts_says_what_to_do(
    verb: str, folder: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    scanned = ek.scan(folder)

    with pytest.raises(FormatError, match=re.escape(f"{verb} needs all texts in memory")) as told:
        NEEDS_TEXTS[verb](scanned)

    assert "evals.filter(case=...).collect()" in str(told.value)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("suffix", [".html", ".md"])
def test_a_report_of_a_scan_is_the_report_of_a_load(
    suffix: str, folder: Path, whole: ek.Evals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Frozen(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 31, tzinfo=tz)

    monkeypatch.setattr(build, "datetime", Frozen)
    made = [
        seen(ek.report(evals, tmp_path / f"{name}{suffix}", **SIDES).read_text())
        for name, evals in (("scan", ek.scan(folder)), ("load", whole))
    ]

    assert made[0] == made[1]


def test_a_scan_of_a_line_that_is_nested_beyond_measure_ends_in_an_error_not_the_process(
    tmp_path: Path,
) -> None:
    odd = (
        '{"run": "a", "case": "2", "criterion": "c", "score": 2, "metadata": '
        + '[{"a":' * 3000
        + "1"
        + "}]" * 3000
        + "}"
    )
    (tmp_path / "scores.jsonl").write_text(
        '{"run": "a", "case": "1", "criterion": "c", "score": 1}\n' + odd + "\n"
    )

    assert load(tmp_path).scores["score"].to_list() == [1.0]
    with pytest.raises((FormatError, pl.exceptions.ComputeError), match=r"polars 2\.1|DepthLimitExceeded"):
        ek.scan(tmp_path).scores.collect()
