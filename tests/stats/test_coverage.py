"""The default intervals cover what they promise, and identical versions are seldom called different.

A fast run of `benchmarks/coverage.py`, whose full run is the evidence; luck is allowed for.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

STUDY = Path(__file__).parents[2] / "benchmarks/coverage.py"


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location("coverage_study", STUDY)
    module = importlib.util.module_from_spec(spec)
    sys.modules["coverage_study"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["coverage_study"]


@pytest.fixture(scope="module")
def truths(study):
    spec = importlib.util.spec_from_file_location("coverage_truths", STUDY.with_name("coverage_truths.py"))
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "coverage", study)
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cells(study):
    return study.study_coverage(reps=240, levels=(0.73, 0.94), shifts=(0.0, -0.25))


def pooled(cells, name: str, **design) -> float:
    mine = [c.covered[name] for c in cells if all(getattr(c, key) == value for key, value in design.items())]
    return float(np.mean(mine))


def test_the_defaults_cover_at_every_size_and_number_of_epochs(study, cells):
    assert study.failures(cells, [], slack=3.5) == []


@pytest.mark.parametrize("name", ["Tango", "paired t"])
@pytest.mark.parametrize("n", [9, 20, 50, 200])
def test_the_defaults_cover_95_percent_on_average(cells, name, n):
    # 8 cells of 240 data sets: a standard error of 0.5 points.
    assert pooled(cells, name, n=n) > 0.95 - 0.02


def test_what_other_tools_do_fails_in_the_same_data(cells):
    assert pooled(cells, "row CLT", k=5) < 0.75
    assert pooled(cells, "row bootstrap", k=5) < 0.92
    assert min(c.covered["CLT"] for c in cells if c.n == 9) < 0.8
    assert pooled(cells, "percentile", n=9) < 0.925


def test_identical_versions_are_seldom_called_different(study):
    alarms = study.study_alarms(reps=120)

    assert study.failures([], alarms) == []
    naive = {a.what: a.naive for a in alarms if a.naive is not None and a.metric == "pass_rate"}
    assert naive["20 slices of 20 cases, K=1"] > 0.2
    assert naive["10 versions against one, 50 cases, K=1"] > 0.1
    assert naive["10 looks, new cases at each look"] > 0.08


def test_the_study_notices_a_promise_that_is_not_kept(study, cells):
    cell = study.Cell(9, 1, 0.73, 0.0, 240, {"Tango": 0.8, "paired t": 0.95})
    alarm = study.Alarm("5 criteria", "holm", "pass_rate", 1000, 0.2)

    assert len(study.failures([cell], [alarm], slack=3.5)) == 2


def test_the_studies_leave_the_import_path_alone(truths):
    # A `requests.py` and a `coverage.py` stand beside them: other tests would import these.
    assert str(STUDY.parent) not in sys.path
    assert getattr(sys.modules.get("coverage"), "__file__", "") != str(STUDY)


def test_the_arrays_of_the_hard_truths_are_the_librarys(truths):
    truths.check()


@pytest.mark.parametrize("size", [1, 5])
def test_rates_cover_where_whole_cases_or_clusters_break(truths, size):
    rows = truths.differences(300, size=size, sizes=(20, 50) if size > 1 else (5, 9, 20))

    # Three Monte Carlo errors of one cell of 300 data sets are 3.8 points.
    assert min(row[3] for row in rows) > 0.925 - 0.04
    assert max(row[4] for row in rows if row[4] == row[4]) < 0.072 + 0.045


def test_scores_missing_at_random_do_not_make_a_change(truths):
    rows = [row for row in truths.missing(300) if row[0].startswith("at random")]

    assert len(rows) == 12
    assert max(row[4] for row in rows) < 0.05 + 0.04


def test_a_share_of_first_places_is_shrunk_to_the_chance_of_being_best(truths):
    versions = {row[0]: row for row in truths.ranks(150)[:2]}

    _, _, count, stated, shrunk, best = versions[3]
    assert count > 20
    assert stated > 0.75
    assert abs(shrunk - best) < abs(stated - best)
