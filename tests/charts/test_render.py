from __future__ import annotations

import base64
import json

import altair as alt
import pytest

from evalkit import charts
from evalkit.charts import render, theme


@pytest.fixture
def notebook():
    """Switch evalkit's theme and renderer on, and back."""
    before = alt.theme.active, alt.renderers.active
    charts.setup_notebook()
    yield
    alt.theme.enable(before[0])
    alt.renderers.enable(before[1])


@pytest.mark.usefixtures("notebook")
def test_a_notebook_gets_the_drawing_a_picture_and_the_words(made):
    chart = charts.trend(made.versions())

    shown = chart._repr_mimebundle_()

    assert set(shown) == {"application/vnd.vegalite.v5+json", "image/png", "text/plain"}
    assert shown["application/vnd.vegalite.v5+json"]["$schema"].endswith("vega-lite/v5.json")
    assert base64.b64decode(shown["image/png"]).startswith(b"\x89PNG")
    assert shown["text/plain"] == charts.spec(chart)["description"]


@pytest.mark.usefixtures("notebook")
def test_a_chart_that_is_not_ours_is_shown_too():
    chart = alt.Chart(alt.InlineData(values=[{"x": 1}])).mark_point().encode(x="x:Q").properties(title="Mine")

    shown = chart._repr_mimebundle_()

    assert shown["text/plain"] == "Mine"
    assert shown[render.MIME]["config"]["font"] == theme.FONT


def test_the_picture_is_small_enough_for_a_notebook(made):
    assert len(charts.png(charts.criteria(made.scores()))) < 120_000


def test_a_specification_brings_the_theme_and_leaves_altair_as_it_was(made):
    before = alt.theme.active

    spec = charts.spec(charts.trend(made.versions()))

    assert spec["config"]["font"] == theme.FONT
    assert spec["$schema"].endswith(f"/{alt.SCHEMA_VERSION}.json")
    assert alt.theme.active == before


def test_the_same_table_gives_the_same_bytes(made):
    first, second = (json.dumps(charts.spec(charts.cases(made.cases()))) for _ in range(2))

    assert first == second


def test_a_picture_of_a_hostile_name_holds_no_markup(made):
    drawing = charts.svg(charts.trend(made.versions(names=("<img src=x onerror=y>", "b"))))

    assert drawing.startswith("<svg")
    assert "<img" not in drawing


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"description": "d", "title": "t"}, "d"),
        ({"title": ["a", "b"]}, "a b"),
        ({}, "A chart without a description."),
    ],
)
def test_what_cannot_be_drawn_is_described(spec, words):
    assert render.describe(spec) == words
