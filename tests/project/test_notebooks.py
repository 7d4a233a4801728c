"""The notebooks run top to bottom in a real kernel, on the demo and on somebody else's data."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

import evalkit as ek

if TYPE_CHECKING:
    from nbformat import NotebookNode

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
AZURE = ROOT.parent / "shared/data/azure_rag/2024-02"
VEGA = "application/vnd.vegalite.v5+json"
CHARTS = {
    "00_start": 5,
    "01_criteria": 3,
    "02_severity": 2,
    "03_regressions": 4,
    "04_rubric_lab": 0,
    "05_judge_trust": 1,
    "06_how_many_cases": 3,
    "07_judging": 0,
}


def run(path: Path, folder: Path, parameters: str) -> NotebookNode:
    """Run a notebook in an empty folder, with `parameters` run after its own.

    In a process of its own, with nbconvert as a user would: the kernel's sockets are none of this process's business.
    """
    notebook = nbformat.read(path, as_version=4)
    at = next(i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
    notebook.cells.insert(at + 1, nbformat.v4.new_code_cell(parameters))
    nbformat.write(notebook, folder / path.name)
    command = [
        sys.executable,
        "-m",
        "nbconvert",
        "--to",
        "notebook",
        "--execute",
        "--output",
        "made",
        path.name,
    ]
    options = ["--ExecutePreprocessor.timeout=180", "--KernelManager.transport=ipc"]
    environment = {
        **os.environ,
        "EVALKIT_CACHE_DIR": str(folder / "cache"),
        "JUPYTER_PLATFORM_DIRS": "1",
        "JUPYTER_RUNTIME_DIR": tempfile.mkdtemp(prefix="ek"),
    }
    done = subprocess.run(
        [*command, *options], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return nbformat.read(folder / "made.ipynb", as_version=4)


def outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


@pytest.mark.notebook
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_on_the_demo_and_shows_its_charts(path, tmp_path):
    made = run(path, tmp_path, f"PATH = {str(ROOT / 'data/demo')!r}")

    shown = outputs(made)
    assert not [o for o in shown if o.output_type == "stream" and o.name == "stderr"]
    charts = [o.data for o in shown if VEGA in o.get("data", {})]
    assert len(charts) >= CHARTS.get(path.stem, 0)
    for chart in charts:
        assert chart["image/png"]
        assert len(chart["text/plain"]) > 20
        assert len(str(chart[VEGA])) < 200_000
    last = [cell for cell in made.cells if cell.cell_type == "code"][-1]
    assert last.outputs


@pytest.mark.notebook
@pytest.mark.skipif(not AZURE.exists(), reason="the shared real data is not on this machine")
@pytest.mark.parametrize(
    ("name", "report"), [("00_start", "report.html"), ("03_regressions", "regressions.html")]
)
def test_a_notebook_runs_on_data_given_as_a_parameter(name, report, tmp_path):
    runs = [str(AZURE / run) for run in ("baseline_3", "badprompt_ignoresources_1")]
    given = f"""
    MAPPING = {str(ROOT / "docs/mappings/azure_rag.yaml")!r}
    PATH = {str(AZURE)!r}
    BASELINE, CANDIDATE = "baseline_3", "badprompt_ignoresources_1"
    """
    assert all(Path(path).exists() for path in runs)

    made = run(
        ROOT / "notebooks" / f"{name}.ipynb", tmp_path, "\n".join(line.strip() for line in given.splitlines())
    )

    assert (tmp_path / report).stat().st_size > 100_000
    text = "".join(str(o.get("data", {}).get("text/plain", "")) for o in outputs(made))
    assert "badprompt_ignoresources_1 against baseline_3: regressed" in text


@pytest.mark.notebook
def test_a_notebook_runs_on_another_scale_and_compares_what_ran_last_with_what_ran_before(tmp_path):
    start = {"late": "2026-01-09T00:00:00Z", "soon": "2026-01-02T00:00:00Z"}
    runs = [{"run": run, "agent_version": run, "run_started_at": at} for run, at in start.items()]
    trials = [*runs, *({"run": run, "case": "01", "messages": []} for run in start)]
    scores = [{"run": run, "case": "01", "criterion": "tone", "score": 1} for run in start]
    (tmp_path / "data").mkdir()
    for name, rows in (("transcripts", trials), ("scores", scores)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"data/{name}.jsonl").write_text(text, encoding="utf-8")
    rule = "RULE = ek.PassRule(mean=0.75, floor=0.5, scale=(0, 1))"

    made = run(ROOT / "notebooks/00_start.ipynb", tmp_path, f"PATH = {str(tmp_path / 'data')!r}\n{rule}")

    assert "late against soon" in "".join(str(o.get("data", {}).get("text/plain", "")) for o in outputs(made))


@pytest.mark.notebook
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_on_one_version_and_says_that_nothing_is_compared(path, tmp_path):
    ek.load(ROOT / "data/demo").filter(agent_version="v2").save(tmp_path / "one")

    made = run(path, tmp_path, f"PATH = {str(tmp_path / 'one')!r}")

    said = "".join(
        str(o.get("text", "")) + str(o.get("data", {}).get("text/plain", "")) for o in outputs(made)
    )
    compares = any("ek.compare" in cell.source for cell in made.cells)
    assert said.count("A comparison needs two versions; this data has one.") == compares


@pytest.mark.notebook
def test_a_notebook_says_in_a_sentence_that_nothing_was_loaded(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/suite.yaml").write_text("suite: s\ncriteria:\n  - name: a\n", encoding="utf-8")

    with pytest.raises(AssertionError) as told:
        run(ROOT / "notebooks/00_start.ipynb", tmp_path, f"PATH = {str(tmp_path / 'data')!r}")

    assert "There is nothing to look into in" in str(told.value)
    assert "IndexError" not in str(told.value)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_looks_whether_there_is_anything(path):
    source = "".join(cell.source for cell in nbformat.read(path, as_version=4).cells)

    assert source.index("if not versions:") < source.index("versions[-1]")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_names_no_page_that_a_folder_of_init_lacks(path):
    assert "docs/" not in path.read_text(encoding="utf-8")


def test_no_two_notebooks_write_the_same_file():
    written = [
        re.findall(r'ek\.report\(evals, "([^"]+)"', "".join(cell.source for cell in made.cells))
        for made in (nbformat.read(path, as_version=4) for path in NOTEBOOKS)
    ]
    names = [name for found in written for name in found]

    assert len(names) >= 2
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs_and_says_what_it_is(path):
    notebook = nbformat.read(path, as_version=4)

    nbformat.validate(notebook)
    assert notebook.metadata["title"]
    assert all(cell.id for cell in notebook.cells)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells) == 1
