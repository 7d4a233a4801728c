"""Packed files and Excel workbooks."""

from __future__ import annotations

import gzip
import zipfile
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pytest

import evalkit as ek
from evalkit.readers.compressed import unpack
from evalkit.util.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "case_id,question,tone\n" + "".join(f"c{i},q{i},{i % 5 + 1}\n" for i in range(10))


def pack(path: Path, codec: str, text: str = TEXT) -> Path:
    with pa.output_stream(str(path), compression=codec) as out:
        out.write(text.encode())
    return path


@pytest.mark.parametrize(("name", "codec"), [("s.csv.gz", "gzip"), ("s.csv.zst", "zstd"), ("packed", "gzip")])
def test_a_packed_file_is_read_and_named(name: str, codec: str, tmp_path: Path) -> None:
    path = pack(tmp_path / name, codec)
    evals = ek.load(path)
    assert evals.scores["score"].mean() == 3.0
    assert evals.files == (str(path),)
    assert evals.scores["source"].cast(pl.String).unique().to_list() == [str(path)]
    assert evals.runs["run"].to_list() == [tmp_path.name]


def test_problems_name_the_packed_file(tmp_path: Path) -> None:
    path = pack(tmp_path / "s.csv.gz", "gzip", TEXT + "x,too,many,fields\n")
    assert ek.load(path).problems["source"].to_list() == [str(path)]


def test_a_broken_archive_says_so(tmp_path: Path) -> None:
    path = tmp_path / "s.csv.gz"
    path.write_bytes(gzip.compress(TEXT.encode())[:40])
    with pytest.raises(FormatError, match=r"s\.csv\.gz.*cannot be unpacked"):
        ek.load(path)


def test_a_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    path = pack(tmp_path / "zeros.gz", "gzip", "0" * 5_000_000)
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(FormatError, match="more than"):
        unpack(path, "gzip", folder, most=1_000_000)


def write_workbook(path: Path, sheets: dict[str, list[list[object]]]) -> Path:
    """Write the smallest workbook that Excel opens: inline strings, no styles."""

    def cell(value: object) -> str:
        if isinstance(value, int | float):
            return f"<c><v>{value}</v></c>"
        return f'<c t="inlineStr"><is><t>{value}</t></is></c>'

    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    names = "".join(f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in enumerate(sheets, 1))
    targets = "".join(
        f'<Relationship Id="r{n}" Type="{office}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n in range(1, len(sheets) + 1)
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{package}/content-types"><Default Extension="xml" ContentType="application/xml"/>'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}/relationships"><Relationship Id="a" Type="{office}/officeDocument" '
            'Target="xl/workbook.xml"/></Relationships>',
        )
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{names}</sheets></workbook>',
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{package}/relationships">{targets}</Relationships>',
        )
        for n, rows in enumerate(sheets.values(), 1):
            lines = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
            archive.writestr(
                f"xl/worksheets/sheet{n}.xml",
                f'<worksheet xmlns="{main}"><sheetData>{lines}</sheetData></worksheet>',
            )
    return path


HEADER: list[object] = ["id", "question", "tone"]
ROWS: list[list[object]] = [[i, f"q{i}", i % 5 + 1] for i in range(10)]


def test_a_workbook_is_a_table(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine")
    path = write_workbook(tmp_path / "b.xlsx", {"Scores": [HEADER, *ROWS], "Notes": [["read me"]]})
    evals = ek.load(path)
    assert evals.scores["case"].cast(pl.String).to_list()[:3] == ["0", "1", "2"]
    assert evals.scores["score"].mean() == 3.0
    assert any(note.kind == "skipped" and "Notes" in note.text for note in evals.notes)


def test_sheets_with_one_header_are_versions(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine")
    path = write_workbook(tmp_path / "b.xlsx", {"v1": [HEADER, *ROWS], "v2": [HEADER, *ROWS]})
    evals = ek.load(path)
    assert sorted(evals.runs["agent_version"]) == ["v1", "v2"]
    one = ek.load(path, mapping={"sheet": "v2", "case": "id", "criteria": ["tone"], "scale": [1, 5]})
    assert one.scores.height == 10
    with pytest.raises(FormatError, match="v3"):
        ek.load(path, mapping={"sheet": "v3", "case": "id", "criteria": ["tone"]})


def test_a_broken_workbook_says_so(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine")
    path = tmp_path / "b.xlsx"
    path.write_bytes(b"PK\x03\x04 xl/ not a zip")
    with pytest.raises(FormatError, match="workbook cannot be read"):
        ek.load(path)


def test_without_the_library_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "python_calamine", None)
    path = write_workbook(tmp_path / "b.xlsx", {"v1": [HEADER, *ROWS]})
    with pytest.raises(FormatError, match=r"evalkit-lab\[excel\]"):
        ek.load(path)
