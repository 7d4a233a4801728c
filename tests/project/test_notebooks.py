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
# What find_spec says of a package that is not there.
WITHOUT_LOCAL_MODEL = 'import sys; sys.modules["xllamacpp"] = None'
VEGA = "application/vnd.vegalite.v5+json"
pytestmark = pytest.mark.timeout(400)
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


class Runner:
    """The process that runs the notebooks, see notebook_runner.py; begun anew after one that was given up."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        # The path of a socket has to be short.
        self.runtime = tempfile.TemporaryDirectory(prefix="ek")

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("notebook_runner.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "JUPYTER_PLATFORM_DIRS": "1", "JUPYTER_RUNTIME_DIR": self.runtime.name},
        )

    def execute(self, path: Path, environment: dict[str, str]) -> str:
        """Run a notebook in its folder; return what went wrong."""
        process = self.process = self.process or self.start()
        try:
            process.stdin.write(json.dumps({"path": str(path), "environment": environment}) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if self.process:
            with self.process:
                self.process.kill()
            self.process = None


@pytest.fixture(scope="session")
def runner():
    runner = Runner()
    yield runner
    runner.stop()
    runner.runtime.cleanup()


@pytest.fixture
def run(runner, tmp_path):
    """A function that runs a notebook in a folder of the test's own, with `parameters` run after its own."""

    def run(path: Path, parameters: str) -> NotebookNode:
        notebook = nbformat.read(path, as_version=4)
        at = next(i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
        notebook.cells.insert(at + 1, nbformat.v4.new_code_cell(parameters))
        nbformat.write(notebook, tmp_path / path.name)
        problem = runner.execute(tmp_path / path.name, {"EVALKIT_CACHE_DIR": str(tmp_path / "cache")})
        assert not problem, problem
        return nbformat.read(tmp_path / "made.ipynb", as_version=4)

    return run


def outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


@pytest.mark.notebook
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_on_the_demo_and_shows_its_charts(path, run):
    made = run(path, f"PATH = {str(ROOT / 'data/demo')!r}")

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
def test_a_notebook_runs_on_data_given_as_a_parameter(name, report, run, tmp_path):
    runs = [str(AZURE / run) for run in ("baseline_3", "badprompt_ignoresources_1")]
    given = f"""
    MAPPING = {str(ROOT / "docs/mappings/azure_rag.yaml")!r}
    PATH = {str(AZURE)!r}
    BASELINE, CANDIDATE = "baseline_3", "badprompt_ignoresources_1"
    """
    assert all(Path(path).exists() for path in runs)

    made = run(ROOT / "notebooks" / f"{name}.ipynb", "\n".join(line.strip() for line in given.splitlines()))

    assert (tmp_path / report).stat().st_size > 100_000
    text = "".join(str(o.get("data", {}).get("text/plain", "")) for o in outputs(made))
    assert "badprompt_ignoresources_1 against baseline_3: regressed" in text


@pytest.mark.notebook
def test_a_notebook_runs_on_another_scale_and_compares_what_ran_last_with_what_ran_before(run, tmp_path):
    start = {"late": "2026-01-09T00:00:00Z", "soon": "2026-01-02T00:00:00Z"}
    runs = [{"run": run, "agent_version": run, "run_started_at": at} for run, at in start.items()]
    trials = [*runs, *({"run": run, "case": "01", "messages": []} for run in start)]
    scores = [{"run": run, "case": "01", "criterion": "tone", "score": 1} for run in start]
    (tmp_path / "data").mkdir()
    for name, rows in (("transcripts", trials), ("scores", scores)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"data/{name}.jsonl").write_text(text, encoding="utf-8")
    rule = "RULE = ek.PassRule(mean=0.75, floor=0.5, scale=(0, 1))"

    made = run(ROOT / "notebooks/00_start.ipynb", f"PATH = {str(tmp_path / 'data')!r}\n{rule}")

    assert "late against soon" in "".join(str(o.get("data", {}).get("text/plain", "")) for o in outputs(made))


@pytest.mark.notebook
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_on_one_version_and_says_that_nothing_is_compared(path, run, tmp_path):
    ek.load(ROOT / "data/demo").filter(agent_version="v2").save(tmp_path / "one")

    made = run(path, f"PATH = {str(tmp_path / 'one')!r}\n{WITHOUT_LOCAL_MODEL}")

    said = "".join(
        str(o.get("text", "")) + str(o.get("data", {}).get("text/plain", "")) for o in outputs(made)
    )
    compares = any("ek.compare" in cell.source for cell in made.cells)
    assert said.count("A comparison needs two versions; the data have 1 version.") == compares


@pytest.mark.notebook
def test_a_notebook_says_in_a_sentence_that_nothing_was_loaded(run, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/suite.yaml").write_text("suite: s\ncriteria:\n  - name: a\n", encoding="utf-8")

    with pytest.raises(AssertionError) as told:
        run(ROOT / "notebooks/00_start.ipynb", f"PATH = {str(tmp_path / 'data')!r}")

    assert "No trials in" in str(told.value)
    assert "IndexError" not in str(told.value)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_looks_whether_there_is_anything(path):
    source = "".join(cell.source for cell in nbformat.read(path, as_version=4).cells)

    assert source.index("if not versions.names:") < min(
        source.find(use) for use in ("versions.sides", "versions.names[") if use in source
    )


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
