"""`evalkit init` and `lab`: the folder to work in, and how JupyterLab is started there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import evalkit as ek


def test_init_makes_a_folder_that_can_be_worked_in(run, tmp_path):
    code, out, _ = run("init", tmp_path / "mine")

    assert code == 0
    assert f"Next: evalkit lab {tmp_path / 'mine'}" in out
    assert (tmp_path / "mine" / "notebooks" / "00_start.ipynb").is_file()
    assert ek.load(tmp_path / "mine" / "data" / "demo").runs.height == 6
    assert ek.Suite.read(tmp_path / "mine" / "data" / "suites" / "groq-batch-api.yaml").cases


def test_init_never_replaces_a_file(run, tmp_path):
    mine = tmp_path / "notebooks" / "00_start.ipynb"
    mine.parent.mkdir()
    mine.write_text("mine")

    code, out, _ = run("init", tmp_path)

    assert code == 0
    assert mine.read_text() == "mine"
    assert "1 existing file" in out
    assert (tmp_path / "data" / "demo").is_dir()


def test_init_into_a_file_is_refused(run, tmp_path):
    (tmp_path / "file").write_text("")

    code, _, err = run("init", tmp_path / "file")

    assert code == 2
    assert "is a file" in err


def test_lab_without_notebooks_says_how_to_get_them(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    code, _, err = run("lab")

    assert code == 2
    assert "evalkit init" in err


@pytest.fixture
def lab(tmp_path):
    """Run `evalkit lab` with a JupyterLab that only says how it was started."""
    fake = tmp_path / "fake" / "jupyterlab"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text("")
    (fake / "__main__.py").write_text(
        "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ.get('EVALKIT_PATH')]))"
    )

    def lab(*arguments, cwd):
        code = "import sys; from evalkit.cli import main; sys.exit(main(sys.argv[1:]))"
        environment = {**os.environ, "PYTHONPATH": str(fake.parent)}
        environment.pop("EVALKIT_PATH", None)
        done = subprocess.run(
            [sys.executable, "-c", code, "lab", *map(str, arguments)],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    return lab


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    (home / "notebooks").mkdir(parents=True)
    (home / "notebooks" / "00_start.ipynb").write_text("{}")
    return home


def test_lab_opens_the_first_notebook_of_the_folder(lab, home):
    arguments, path = lab("--no-browser", "--port", "9999", "--jupyter=--allow-root", cwd=home)

    assert path is None
    assert f"--ServerApp.root_dir={home}" in arguments
    assert "--LabApp.default_url=/lab/tree/notebooks/00_start.ipynb" in arguments
    assert "--ServerApp.port=9999" in arguments
    assert {"--no-browser", "--allow-root"} <= set(arguments)


def test_lab_hands_the_notebooks_the_path_of_the_evaluations(lab, home, data):
    _, path = lab(os.path.relpath(data, home), cwd=home)

    assert path == str(Path(data).resolve())


def test_lab_hands_on_a_glob(lab, home, tmp_path):
    _, path = lab("results/*.jsonl", cwd=home)

    assert path == str(home / "results" / "*.jsonl")


def test_lab_takes_a_folder_that_init_made(lab, home, tmp_path):
    arguments, path = lab(home, cwd=tmp_path)

    assert path is None
    assert f"--ServerApp.root_dir={home}" in arguments
