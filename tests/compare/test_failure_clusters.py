"""Clusters of failures: the planted mistakes are found, the same way each time, and too few are said to be."""

from __future__ import annotations

import polars as pl
import pytest

import evalkit as ek
from evalkit.compare.failure_clusters import find_failures
from evalkit.data.evals import Evals
from evalkit.util.errors import EvalkitError

pytest.importorskip("sklearn", reason="the extra `failures` is not installed")


@pytest.fixture(scope="module")
def demo():
    return ek.demo.make()


def told(texts, **more):
    """Evals with a failing trial for each text."""
    return Evals.from_tables(
        criteria=pl.DataFrame({"criterion": ["G"], "scale_min": [1], "scale_max": [5]}),
        scores=pl.DataFrame({"run": "a", "case": [f"{at:03}" for at in range(len(texts))], "criterion": "G", "score": [1.0] * len(texts), "rationale": texts, **more}),
    )  # fmt: skip


def test_the_mistakes_that_were_planted_are_told_apart(demo):
    # The demo's mistakes are one a case: clusters and cases are two names of the same thing.
    from sklearn.metrics import adjusted_rand_score

    found = find_failures(demo)

    truth = found.trials["case"].cast(pl.String).to_list()
    assert adjusted_rand_score(truth, found.trials["failure"].to_list()) > 0.9
    assert found.failing == (ek.grade(demo)["verdict"] == "fail").sum()


def test_the_counts_add_up_and_the_largest_is_first(demo):
    found = find_failures(demo)

    assert found.clusters["trials"].sum() == found.trials.height == 50
    assert found.clusters["trials"].to_list() == sorted(found.clusters["trials"], reverse=True)
    assert found.clusters["share"].sum() == pytest.approx(1)
    first = found.clusters.row(0, named=True)
    of = found.trials.filter(failure=first["failure"])
    assert first["cases"] == of["case"].cast(pl.String).unique().sort().to_list()
    assert first["severities"] == f"{of.height} critical"


def test_the_same_seed_gives_the_same_clusters_whatever_the_order_of_the_rows(demo):
    turned = Evals(
        **{**{table.name: frame for table, frame in demo.tables()}, "scores": demo.scores.reverse()}
    )

    first, second = find_failures(demo, seed=3), find_failures(turned, seed=3)

    assert first.clusters.equals(second.clusters)
    assert first.trials.equals(second.trials)


def test_examples_come_from_the_cluster_and_the_nearest_first(demo):
    found = find_failures(demo, clusters=3)

    for name in found.clusters["failure"]:
        examples = found.examples(name)
        of = found.trials.filter(failure=name)
        assert 1 <= examples.height <= 3
        assert set(examples["failure"]) == {name}
        assert examples["closeness"][0] == pytest.approx(of["closeness"].max())


def test_only_what_was_written_of_criteria_that_failed_is_read():
    rows = [
        {"run": "a", "case": f"{at:02}", "criterion": name, "score": score, "rationale": text}
        for at in range(12)
        for name, score, text in (("order", 1.0, "maps by line"), ("tone", 5.0, "a pleasant tone"))
    ]
    data = Evals.from_tables(
        criteria=pl.DataFrame({"criterion": ["order", "tone"], "scale_min": [1, 1], "scale_max": [5, 5]}),
        scores=pl.DataFrame(rows),
    )

    assert set(find_failures(data).trials["rationale"]) == {"maps by line"}


def test_a_word_that_every_reason_has_names_no_cluster():
    texts = [f"regrettably it {what}" for what in ["maps lines wrongly", "retries forever"] for _ in range(6)]

    found = find_failures(told(texts))

    assert found.clusters["trials"].to_list() == [6, 6]
    assert "regrettably" not in set(found.clusters["terms"].explode())


def test_clusters_that_run_into_each_other_are_said_to(demo):
    mixed = [" ".join(f"w{(at * 7 + step * step) % 23}" for step in range(12)) for at in range(60)]

    assert "clusters overlap" in find_failures(told(mixed), clusters=2).note
    assert "overlap" not in find_failures(demo).note


def test_too_few_failures_are_said_to_be_too_few():
    found = find_failures(told(["wrong order"] * 9))

    assert found.clusters.is_empty()
    assert "9 failing trials have a rationale; clusters need at least 10" in repr(found)
    assert "clusters need at least 10" in found._repr_html_()


def test_failures_without_a_reason_are_counted():
    found = find_failures(
        told([*["maps by the order of lines"] * 6, *["retries what cannot succeed"] * 6, None, " "])
    )

    assert found.failing == 14
    assert found.trials.height == 12
    assert "2 failing trials have no rationale" in repr(found)
    assert found.clusters["trials"].to_list() == [6, 6]


@pytest.mark.parametrize(
    "texts",
    [["same"] * 20, ["the of and"] * 12, [f"{chr(97 + at)}{at}" for at in range(12)], ["。，"] * 12, ["<b>x</b>\x1b[31m"] * 12],
    ids=["alike", "stop words", "nothing shared", "no words", "hostile"],
)  # fmt: skip
def test_texts_of_any_kind_are_clustered(texts):
    found = find_failures(told(texts))

    assert found.clusters["trials"].sum() == len(texts)
    assert found.clusters["failure"].n_unique() == found.clusters.height
    assert "<b>" not in found._repr_html_()
    assert "\x1b" not in found._repr_html_() + repr(found)


def test_nothing_failed():
    found = find_failures(told(["fine"] * 12, score=[5.0] * 12))

    assert (found.failing, found.clusters.height) == (0, 0)


def test_without_scikit_learn_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(EvalkitError, match=r'pip install "evalkit-lab\[failures\]"'):
        find_failures(told(["x"]))


def test_a_number_of_clusters_below_one_is_refused(demo):
    with pytest.raises(EvalkitError, match="Invalid clusters 0. Expected a whole number from 1"):
        find_failures(demo, clusters=0)
