"""Prove that a change of the code changes no number: write what every public verb returns, and compare.

    python tools/compare_frames.py write FOLDER [--data FOLDER] [--only DATASET]...
    python tools/compare_frames.py compare OLD NEW [--only DATASET]... [--lost-ok]

`write` runs the evalkit that Python finds through the calls of public_calls.py, on the demo data of its tree and the
real data in `--data`, and writes a JSON file for each: frames by column, an exception as the name of its type.
`compare` walks two such folders value by value, and ends with 1 where one differs or is lost. What is new is counted
only. Of sentences, whose wording may change, the numbers alone are kept; where those differ it is said, and is no
failure.
"""

from __future__ import annotations

import argparse
import html
import json
import math
import os
import re
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from public_calls import DATASETS, Calls

RELATIVE: Final = 1e-12
ZERO: Final = 1e-15  # a sum that should be 0 and is 1e-17
SHOWN: Final = 20
# Columns, keys and attributes that hold sentences or numbers written out. Their names end in "~" in the files.
WRITTEN: Final = {"words", "told", "lines", "facts", "base", "code", "sides", "interval", "condition", "rule"}
SENTENCES: Final = WRITTEN | {"sentence", "text", "reason", "title", "note", "notes", "notice", "error"}
# What tells the time of the call: in the head of a report, in a label.
NOW: Final = re.compile(r"\d\d \w+ \d{4}, \d\d:\d\d UTC|(?<=labelled_at\":\")[^\"]*")
TABLES: Final = ("cases", "criteria", "runs", "trials", "turns", "scores", "problems", "annotations")


def plain(value: Any, deep: int = 0) -> Any:
    """Return anything as JSON: frames by column, an object by its attributes, of sentences the numbers."""
    if isinstance(value, Mapping):
        if "$schema" in value:  # a chart: its data
            return plain(_drawn(value), deep)
        return dict(
            (f"{name}~", _numbers_in(one))
            if name in SENTENCES and (one is None or isinstance(one, str | list | tuple))
            else (str(name), plain(one, deep + 1))
            for name, one in value.items()
        )
    if isinstance(value, list | tuple):
        if value and all(isinstance(one, Mapping) and "$schema" not in one for one in value):
            names = dict.fromkeys(name for one in value for name in one)
            return plain({name: [one.get(name) for one in value] for name in names}, deep)
        return [plain(one, deep + 1) for one in value]
    if isinstance(value, Path) and value.suffix == ".html":
        return plain(_page(value.read_text(encoding="utf-8")), deep)
    if isinstance(value, date | timedelta | Path | str):
        return NOW.sub("", str(value))
    if value is None or isinstance(value, bool | int | float):
        return value
    return plain(_parts(value, deep), deep + 1)


def _parts(value: Any, deep: int) -> Any:
    """Return what an object is made of; of what was loaded only where it is the result itself."""
    import altair as alt
    import polars as pl

    if hasattr(value, "iloc"):
        value = pl.from_pandas(value)
    if isinstance(value, pl.DataFrame | pl.LazyFrame):
        return value.lazy().collect().to_dict(as_series=False)
    if isinstance(value, alt.TopLevelMixin):
        return value.to_dict()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "scores") and hasattr(value, "turns"):
        return None if deep else {name: getattr(value, name) for name in TABLES if hasattr(value, name)}
    if not type(value).__module__.startswith("evalkit") or deep > 4:
        return None
    names = [name for name in dir(value) if not name.startswith("_")]
    held = {name: one for name in names if not callable(one := getattr(value, name, None))}
    if hasattr(value, "handle"):  # a widget: its frames, and what its front end is given
        return {name: one for name, one in held.items() if isinstance(one, pl.DataFrame)} | value.show()
    return held | ({"chart": attempt(value.chart)} if "chart" in names else {})


def attempt(call: Callable[[], Any]) -> Any:
    """Return what a call returns as JSON, or the name of what it raises."""
    try:
        return plain(call())
    except Exception as error:
        return {"raised": type(error).__name__}


def _page(page: str) -> dict[str, Any]:
    """Return the data and the numbers in a report."""
    specs = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    page = re.sub(r"<(script|style|svg|header)\b.*?</\1>", " ", page, flags=re.DOTALL)
    cells = re.findall(r"<td\b[^>]*>(.*?)</td>", page, re.DOTALL)
    short = [_numbers_in(cell) for cell in cells if len(re.sub(r"<[^>]*>", " ", cell).split()) < 10]
    return {"charts": [json.loads(spec) for spec in specs], "cells": short, "text": page}


def _numbers_in(said: Any) -> Any:
    """Return the numbers in a text, sorted: 100 % is 100.0 %, 1,200 is 1200; of anything else those in its texts."""
    if isinstance(said, Mapping):
        return {str(name): _numbers_in(one) for name, one in said.items()}
    if isinstance(said, list | tuple):
        return [_numbers_in(one) for one in said]
    if not isinstance(said, str):
        return plain(said)
    words = html.unescape(re.sub(r"<[^>]*>", " ", NOW.sub("", said))).replace("\u2212", "-")
    found = re.findall(r"(?<![\w.-])-?\d+(?:,\d{3})*(?:\.\d+)?(?![\w.]*\d)", words)
    return " ".join(f"{number:g}" for number in sorted(float(one.replace(",", "")) for one in found))


def _drawn(spec: Any) -> list[Any]:
    """Return the data in a chart's specification, in the order in which it stands there."""
    if isinstance(spec, list):
        return [data for one in spec for data in _drawn(one)]
    if not isinstance(spec, Mapping):
        return []
    here = [*spec.get("datasets", {}).values()]
    here += [spec["values"]] if isinstance(spec.get("values"), list) else []
    return here + [
        data for name, one in spec.items() if name not in ("datasets", "values") for data in _drawn(one)
    ]


def write(folder: Path, data: Path | None, only: list[str]) -> None:
    """Write a file for each call on each dataset that is there."""
    import evalkit as ek

    warnings.simplefilter("ignore")
    tree = Path(ek.__file__).resolve().parents[2]
    data = data or tree.parent / "shared" / "data"
    os.chdir(tree)
    for name, at in DATASETS.items():
        source = at.path if at.path.startswith("data/") else str(data / at.path)
        if not Path(source).exists() or (only and name not in only):
            print(f"{name}: left out")
            continue
        start = time.monotonic()
        (folder / name).mkdir(parents=True, exist_ok=True)
        for before in (folder / name).glob("*.json"):
            before.unlink()
        with tempfile.TemporaryDirectory() as tmp:
            os.environ["EVALKIT_CACHE_DIR"] = f"{tmp}/cache"
            calls: dict[str, Callable[[], Any]] = {}
            try:
                calls = Calls(ek, at, source, Path(tmp))
            except Exception as error:  # each call is then lost, and compare says so
                print(f"{name}: {type(error).__name__}: {error}")
            for call, make in calls.items():
                text = json.dumps(attempt(make)).replace(tmp, "TMP").replace(str(data), "DATA")
                file = folder / name / f"{re.sub(r'[^a-zA-Z0-9.=_-]+', '_', call).strip('_')}.json"
                file.write_text(text.replace(str(tree), "TREE"), encoding="utf-8")
        print(f"{name}: {len(calls)} calls, {time.monotonic() - start:.0f} s", flush=True)


def differences(old: Any, new: Any, at: str, counts: Counter[str]) -> Iterator[tuple[str, str, str]]:
    """Yield what differs (its kind, where, what) and count frames and values."""
    if isinstance(old, dict) and isinstance(new, dict):
        counts["frames"] += bool(old) and all(isinstance(one, list) for one in old.values())
        for name in [*old, *(name for name in new if name not in old)]:
            place = f"{at}/{name}"
            if name not in new:
                yield "lost", place, ""
            elif name not in old:
                yield "new", place, ""
            else:
                yield from differences(old[name], new[name], place, counts)
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield _kind(at), at, f"{len(old)} -> {len(new)} rows"
        for row, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from differences(one, other, f"{at}[{row}]", counts)
    else:
        counts["values"] += 1
        if not _same(old, new):
            yield _kind(at), at, f"{old!r:.60} -> {new!r:.60}"


def _kind(at: str) -> str:
    return "sentences" if "~" in at else "differ"


def _same(old: Any, new: Any) -> bool:
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (old, new))
    if numbers and (isinstance(old, float) or isinstance(new, float)):
        return math.isclose(old, new, rel_tol=RELATIVE, abs_tol=ZERO) or (math.isnan(old) and math.isnan(new))
    return type(old) is type(new) and bool(old == new)


def compare(old: Path, new: Path, only: list[str], lost_ok: bool) -> int:
    """Print a line for each dataset and the first differences; return the exit code."""
    heads = ("frames", "values", "differ", "lost", "new", "sentences")
    total: Counter[str] = Counter()
    columns: dict[str, dict[str, list[str]]] = {head: {} for head in heads}
    print(f"{'':16}" + "".join(f"{head:>12}" for head in heads))
    for name in sorted(set(only) or {path.name for folder in (old, new) for path in folder.iterdir()}):
        counts: Counter[str] = Counter()
        sides = [{path.stem: path for path in (folder / name).glob("*.json")} for folder in (old, new)]
        for call in sorted(sides[0].keys() | sides[1].keys()):
            one, other = (
                {call: json.loads(side[call].read_text(encoding="utf-8"))} if call in side else {}
                for side in sides
            )
            for kind, where, what in differences(one, other, name, counts):
                counts[kind] += 1
                columns[kind].setdefault(re.sub(r"\[\d+\]", "", where), []).append(f"{where} {what}")
        print(f"{name:16}" + "".join(f"{counts[head]:>12,}" for head in heads))
        total += counts
    print(f"{'all':16}" + "".join(f"{total[head]:>12,}" for head in heads))
    for kind in ("differ", "lost", "new", "sentences"):
        if columns[kind]:
            print(f"\n{kind}: {len(columns[kind])} columns, the first {SHOWN} with the first value of each")
        for found in list(columns[kind].values())[:SHOWN]:
            print(f"  {found[0]}" + (f" (and {len(found) - 1} more)" if found[1:] else ""))
    return int(bool(total["differ"] or (total["lost"] and not lost_ok)))


def main() -> int:
    """Read what was typed, and do it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("write")
    writing.add_argument("folder", type=Path)
    writing.add_argument("--data", type=Path, help="the real data; without it ../shared/data beside the tree")
    comparing = commands.add_parser("compare")
    comparing.add_argument("old", type=Path)
    comparing.add_argument("new", type=Path)
    comparing.add_argument("--lost-ok", action="store_true", help="do not fail for what is missing in NEW")
    for one in (writing, comparing):
        one.add_argument("--only", choices=DATASETS, action="append", default=[], help="may be given again")
    typed = parser.parse_args()
    if typed.command == "write":
        write(typed.folder.resolve(), typed.data and typed.data.resolve(), typed.only)
        return 0
    return compare(typed.old, typed.new, typed.only, typed.lost_ok)


if __name__ == "__main__":
    sys.exit(main())
