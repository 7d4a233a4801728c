"""A key planted anywhere in the evaluations is nowhere in a redacted report."""

from __future__ import annotations

import base64
import re
import zlib

import polars as pl
import pytest

import evalkit as ek
from evalkit.data.evals import Evals
from evalkit.data.schema import TABLES, Problem
from evalkit.report.redact_evals import redact_evals
from evalkit.util.notes import Note

BODY = "a1B2c3D4e5F6g7H8i9J0"
KEY = "gsk_" + BODY


def _leaky():
    """Evaluations with a key in every text of every table, the IDs included."""
    key = {
        "run": f"v1-{KEY}",
        "case": f"c-{KEY}",
        "suite": f"s-{KEY}",
        "criterion": f"t-{KEY}",
        "grader": f"g-{KEY}",
    }
    tables = {}
    for name, table in TABLES.items():
        row = {}
        for column in table.columns:
            if column.dtype in (pl.String, pl.Categorical):
                row[column.name] = key.get(column.name, f"{column.name}-{KEY}")
            elif column.dtype == pl.List(pl.String):
                row[column.name] = [KEY]
        rows = [row, {**row, "run": f"v2-{KEY}"}] if "run" in row else [row]
        frame = pl.DataFrame(rows)
        fixed = {
            "turn": 1,
            "score": 2.0,
            "scale_min": 1.0,
            "scale_max": 5.0,
            "grader_kind": "judge",
            "role": "user",
        }
        fixed |= {
            "kind": "ordinal",
            "config": f'{{"token": "{KEY}"}}',
            "tool_calls": f'[{{"name": "{KEY}"}}]',
        }
        fixed |= {"anchors": f'{{"1": "{KEY}"}}', "direction": "higher"}
        if name != "turns":
            del fixed["tool_calls"]
        fixed = {column: pl.lit(value) for column, value in fixed.items() if column in table.schema}
        tables[name] = frame.with_columns(**fixed)
    return Evals.from_tables(
        **tables,
        problems=[Problem(f"{KEY}.jsonl", 1, f"not readable: {KEY}")],
        notes=[Note("note", f"a note of {KEY}", (f"{KEY}.jsonl",))],
        files=[f"{KEY}.jsonl"],
    )


def _everything(text):
    """Return a page with its embedded data decoded."""
    found = [text]
    for match in re.findall(r"[A-Za-z0-9+/]{40,}={0,2}", text):
        try:
            raw = base64.b64decode(match + "=" * (-len(match) % 4))
            found.append(raw.decode("utf-8", "ignore"))
            found.append(zlib.decompressobj(47).decompress(raw).decode("utf-8", "ignore"))
        except (ValueError, zlib.error):
            continue
    return "\n".join(found)


@pytest.mark.parametrize("suffix", ["html", "md"])
@pytest.mark.parametrize("sides", [True, False])
def test_a_planted_key_is_nowhere_in_the_report(tmp_path, suffix, sides):
    evals = _leaky()
    chosen = {"baseline": {"run": f"v1-{KEY}"}, "candidate": f"v2-{KEY}"} if sides else {}

    path = ek.report(
        evals, tmp_path / f"report.{suffix}", **chosen, title=f"About {KEY}", grader=f"g-{KEY}", redact=True
    )

    text = _everything(path.read_text(encoding="utf-8"))
    assert BODY not in text
    assert "secret-1" in text


def test_redacted_ids_still_join_and_the_numbers_stay():
    evals = _leaky()

    (redacted,) = redact_evals(evals)

    assert redacted.attempts().height == evals.attempts().height
    assert redacted.scores["score"].to_list() == evals.scores["score"].to_list()
    for table, frame in redacted.tables():
        assert table.check(frame).height == frame.height
    assert BODY not in repr([frame.to_dicts() for _, frame in redacted.tables()])
    assert BODY not in repr((redacted.notes, redacted.files, redacted.problems.to_dicts()))


def test_scoring_names_what_was_redacted_by_its_placeholder():
    rule = ek.PassRule(gates={f"t-{KEY}": 2}, weights={f"t-{KEY}": 1})

    (redacted,) = redact_evals(_leaky().with_scoring(rule=rule, grader=f"g-{KEY}"))

    name = redacted.criteria["criterion"].item()
    assert redacted.scoring.rule.gates == {name: 2}
    assert redacted.scoring.grader == redacted.scores["grader"][0]
