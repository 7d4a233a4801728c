from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pytest

from evalkit.readers.load import load

if TYPE_CHECKING:
    from pathlib import Path

WIDE = {"case": "id", "criteria": ["tone"], "scale": [1, 5]}


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def test_a_csv_record_begins_on_its_first_physical_line(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", 'id,answer,tone\n01,"two\nlines, ""quoted""",4\n02,plain,5\n')

    evals = load(path, mapping=WIDE)

    assert evals.trials.select("case", "output", "line").rows() == [
        ("01", 'two\nlines, "quoted"', 2),
        ("02", "plain", 4),
    ]


def test_pairing_csv_by_line_counts_records(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", 'answer,tone\n"two\nlines",4\nplain,5\n')

    evals = load(path, mapping={"case": "line", "criteria": ["tone"]})

    assert evals.scores.select("case", "score", "line").rows() == [("1", 4.0, 2), ("2", 5.0, 4)]


def test_a_ragged_record_and_an_open_quote_cost_themselves_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", 'id,answer,tone\n01,a,4\n02,b\n03,c,5,6\n04,"open,3\n05,e,2\n')

    evals = load(path, mapping=WIDE)

    assert evals.scores.select("case", "score").rows() == [("01", 4.0), ("05", 2.0)]
    assert evals.problems.select("line", "reason").rows() == [
        (3, "2 fields. The header has 3."),
        (4, "4 fields. The header has 3."),
        (5, "A quote is opened and not closed."),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_any_delimiter_and_byte_order_mark_is_read(delimiter: str, encoding: str, tmp_path: Path) -> None:
    text = "id,answer,tone\r\n01,né,4\r\n".replace(",", delimiter)
    path = write(tmp_path / "s.csv", text, encoding)

    evals = load(path, mapping=WIDE)

    assert evals.scores.select("case", "score").rows() == [("01", 4.0)]
    assert evals.trials["output"].item() == "né"


def test_a_csv_byte_that_is_no_utf8_costs_its_record(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_bytes(b"id,answer,tone\n01,\xff,4\n02,\xc3\xa9,5\n")

    evals = load(path, mapping=WIDE)

    assert evals.scores["case"].to_list() == ["02"]
    assert evals.problems.select("line", "reason").rows() == [(2, "Not valid UTF-8.")]


def test_a_json_list_says_the_line_of_each_element(tmp_path: Path) -> None:
    records = [{"id": "1", "tone": 4}, 7, {"id": "2", "tone": "(Failed)"}]
    path = write(tmp_path / "s.json", json.dumps(records, indent=2))

    evals = load(path, mapping=WIDE)

    assert evals.scores.select("case", "score", "line").rows() == [("1", 4.0, 2), ("2", None, 7)]
    assert evals.problems["line"].to_list() == [6, 7]


def test_a_json_list_with_nan_and_one_cut_off_keep_what_is_before(tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.json", '[{"id": "1", "tone": NaN},\n {"id": "2", "tone": 5},\n {"id": "3", "to'
    )

    evals = load(path, mapping=WIDE)

    assert evals.scores.select("case", "score", "error").rows() == [("1", None, "NaN"), ("2", 5.0, None)]
    assert evals.problems["line"].to_list() == [3]


def test_wide_and_long_csv_json_and_jsonl_give_the_same_scores(tmp_path: Path) -> None:
    wide = [
        {"run": "r", "case": "1", "tone": 4, "facts": 2},
        {"run": "r", "case": "2", "tone": 5, "facts": 3},
    ]
    long = [
        {"run": "r", "case": row["case"], "criterion": name, "score": row[name]}
        for row in wide
        for name in ("tone", "facts")
    ]
    columns = ["case", "criterion", "score"]
    made = []
    for records, mapping in ((wide, {"criteria": ["tone", "facts"]}), (long, None)):
        header = list(records[0])
        texts = {
            "s.jsonl": "\n".join(map(json.dumps, records)),
            "s.json": json.dumps(records),
            "s.csv": "\n".join([",".join(header), *(",".join(str(r[h]) for h in header) for r in records)]),
        }
        for name, text in texts.items():
            evals = load(write(tmp_path / name, text), mapping=mapping)
            made.append(sorted(evals.scores.select(columns).rows()))
            (tmp_path / name).unlink()

    assert all(rows == made[0] for rows in made)
    assert made[0][0] == ("1", "facts", 2.0)


def test_parquet_of_scores_is_read(tmp_path: Path) -> None:
    path = tmp_path / "judged"
    pl.DataFrame({"id": ["1"], "tone": [4]}).write_parquet(path)

    assert load(path, mapping=WIDE).scores["score"].to_list() == [4.0]


def test_the_index_that_pandas_writes_is_no_column(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", ",id,answer,tone\n0,01,yes,4\n1,02,no,5\n")

    evals = load(path, mapping=WIDE)

    assert evals.scores.select("case", "score").rows() == [("01", 4.0), ("02", 5.0)]
    assert not any("column_1" in str(note) for note in evals.notes)


def test_a_first_column_without_a_name_that_holds_words_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", ",answer,tone\nfirst,yes,4\nsecond,no,5\n")

    evals = load(path, mapping={**WIDE, "case": "column_1"})

    assert evals.scores["case"].to_list() == ["first", "second"]
