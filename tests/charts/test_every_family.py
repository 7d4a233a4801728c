"""What holds for every chart, whatever it draws."""

from __future__ import annotations

import json
import struct

import polars as pl
import pytest

from evalkit import charts
from evalkit.util.errors import ColumnError


def parameters(node):
    """Yield the name of every parameter anywhere in a specification."""
    if isinstance(node, dict):
        for parameter in node.get("params", []):
            if isinstance(parameter, dict) and ("select" in parameter or "bind" in parameter):
                yield parameter["name"]
        for value in node.values():
            yield from parameters(value)
    elif isinstance(node, list):
        for value in node:
            yield from parameters(value)


def texts(node):
    """Yield every string of a specification that is no data."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key not in ("datasets", "values", "domain", "sort", "description"):
                yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)
    elif isinstance(node, str):
        yield node


def size_of(png):
    return struct.unpack(">II", png[16:24])


def test_it_is_a_picture_no_wider_than_a_page(family):
    chart = family.draw(family.table)

    width, height = size_of(charts.png(chart, ppi=72))

    assert 200 < width <= 860
    assert 80 < height <= 1200


def test_the_description_says_the_main_number(family):
    assert family.number in charts.spec(family.draw(family.table))["description"]


def test_a_missing_column_is_named_with_the_nearest(family):
    wrong = family.table.rename({family.column: f"{family.column}_x"})

    with pytest.raises(ColumnError, match=f"has no column '{family.column}'.*mean '{family.column}_x'"):
        family.draw(wrong)


def test_what_is_no_table_is_refused(family):
    with pytest.raises(ColumnError, match="a list"):
        family.draw([1, 2])


def test_an_empty_table_is_a_chart_that_says_so(family):
    chart = family.draw(family.table.clear())

    spec = charts.spec(chart)
    assert "No data" in json.dumps(spec["datasets"])
    assert "no data" in spec["description"]
    assert charts.png(chart).startswith(b"\x89PNG")


def test_nulls_in_every_number_are_survived(family):
    numbers = [name for name, dtype in family.table.schema.items() if dtype.is_float()]
    blank = family.table.with_columns(family.table[name].clear(family.table.height) for name in numbers)

    assert charts.png(family.draw(blank)).startswith(b"\x89PNG")


def test_pandas_and_lazy_frames_draw_the_same(family):
    expected = charts.spec(family.draw(family.table))

    assert charts.spec(family.draw(family.table.lazy())) == expected
    assert charts.spec(family.draw(family.table.to_pandas()))["description"] == expected["description"]


def test_every_selection_has_a_name_of_ours(family):
    names = list(parameters(charts.spec(family.draw(family.table))))

    # Altair names the others by a hash of what they are: two alike share a name.
    assert not [name for name in names if name.startswith("param_")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["criteria", "severity", "cases", "flips"])
def test_there_is_something_to_filter_with(families, name):
    draw, table, *_ = families[name]

    assert list(parameters(charts.spec(draw(table))))


def test_a_hostile_name_is_data_and_never_part_of_a_title_or_an_expression(family):
    evil = "\u202e</script><script>alert('1')//" + "x" * 80
    names = [
        n
        for n in ("criterion", "agent_version", "case", "scope", "version", "component")
        if n in family.table
    ]
    hostile = family.table.with_columns((evil + family.table[name].cast(str)).alias(name) for name in names)

    chart = family.draw(hostile)

    assert not [text for text in texts(charts.spec(chart)) if "script" in text or "\u202e" in text]
    assert "\u202e" not in json.dumps(charts.spec(chart), ensure_ascii=False)
    assert size_of(charts.png(chart, ppi=72))[0] <= 860


def test_columns_that_it_does_not_draw_stay_behind(family):
    more = family.table.with_columns(output=pl.lit("sk-secret"))

    assert "sk-secret" not in json.dumps(charts.spec(family.draw(more)))


def test_a_title_can_be_given(family):
    spec = charts.spec(family.draw(family.table, title="What I say"))

    assert spec["title"]["text"] == "What I say"
