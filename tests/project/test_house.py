"""What is around the code: the wheel that people install, the pins, the Makefile and what the pages say of them."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import evalkit
from evalkit.cli import app
from evalkit.cli.project_folder import create

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUNTIME = [
    Requirement(line)
    for line in [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["pdf"]]
]
# What running a notebook, or looking around, leaves in the tree.
STRAY = ("notebooks/report.html", "notebooks/r.pdf", "notebooks/.ipynb_checkpoints/a.ipynb", "data/note.txt")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Return the `evalkit` program of a fresh environment in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=True)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    subprocess.run(
        [scripts / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel],
        check=True,
        capture_output=True,
    )
    # The dependencies are those of the environment that runs the tests; evalkit itself is not seen there,
    # since the .pth file of an editable install counts only in the folder that it lies in.
    found = subprocess.run(
        [scripts / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    theirs = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(found.stdout.strip()) / "dependencies.pth").write_text(
        "\n".join(sorted(theirs)) + "\n", encoding="utf-8"
    )
    return scripts / "evalkit"


def _files(folder):
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(folder).parts)
    }


def _shared():
    """Return what the wheel and a folder of `evalkit init` hold beside the code."""
    kinds = ("notebooks/*.ipynb", "data/README.md", "data/demo/*", "data/suites/*.yaml")
    return {path.relative_to(ROOT).as_posix() for kind in kinds for path in ROOT.glob(kind)}


# --- the wheel


def test_the_wheel_holds_the_package_the_notebooks_and_the_data_and_nothing_else(names):
    expected = {f"evalkit/{name}" for name in _files(ROOT / "src" / "evalkit")}
    expected |= {f"evalkit/_share/{name}" for name in _shared()}

    assert {name for name in names if ".dist-info/" not in name} == expected


@pytest.mark.parametrize(
    "name",
    [
        "evalkit/py.typed",
        "evalkit/report/templates/report.html.j2",
        "evalkit/report/templates/report.css",
        "evalkit/report/templates/report.js",
        "evalkit/widgets/transcript_reading.css",
        "evalkit/widgets/transcript.js",
        "evalkit/_share/notebooks/00_start.ipynb",
        "evalkit/_share/data/demo/scores.jsonl",
        "evalkit/_share/data/suites/groq-batch-api.yaml",
        f"evalkit_lab-{evalkit.__version__}.dist-info/licenses/LICENSE",
    ],
)
def test_the_wheel_holds_what_is_no_code(names, name):
    assert name in names


@pytest.fixture(scope="module")
def strewn(tmp_path_factory):
    """Return a copy of the tree in which notebooks have run and left things behind."""
    tree = tmp_path_factory.mktemp("strewn") / "tree"
    bare = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "*.html", "*.pdf")
    for folder in ("src/evalkit", "notebooks", "data"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=bare)
    shutil.copytree(ROOT / "src/evalkit/report", tree / "src/evalkit/report", dirs_exist_ok=True)
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    for stray in STRAY:
        (tree / stray).parent.mkdir(exist_ok=True)
        (tree / stray).write_text("stray", encoding="utf-8")
    return tree


def test_what_notebooks_leave_behind_is_in_no_wheel_and_no_source_archive(strewn, names, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, strewn],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert held & set(STRAY) == set()
    assert _shared() < held
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        assert set(archive.namelist()) == names


def test_what_notebooks_leave_behind_is_not_handed_on_by_init(strewn, tmp_path, monkeypatch):
    monkeypatch.setattr("evalkit.cli.project_folder.find_share", lambda: strewn)

    create(tmp_path / "mine")

    assert _files(tmp_path / "mine") == _shared()


def test_the_installed_program_knows_its_version(installed, tmp_path):
    done = subprocess.run([installed, "--version"], cwd=tmp_path, capture_output=True, text=True)

    assert (done.stdout, done.stderr) == (f"evalkit {evalkit.__version__}\n", "")


def test_the_installed_program_runs_from_the_wheel_alone(installed, tmp_path):
    def run(*arguments):
        return subprocess.run([installed, *arguments], cwd=tmp_path, capture_output=True, text=True)

    demo = run("demo", "demo")
    rates = run("summary", "demo", "--format", "csv")
    made = run("init", "mine")

    assert demo.returncode == rates.returncode == made.returncode == 0, (
        demo.stderr + rates.stderr + made.stderr
    )
    assert [line.split(",")[0] for line in rates.stdout.splitlines()] == ["agent_version", "v1", "v2", "v3"]
    assert _files(tmp_path / "mine") == _shared()


def test_the_installed_package_is_not_the_one_in_the_repository(installed, tmp_path):
    code = "import evalkit; print(evalkit.__file__)"

    # -I: a PYTHONPATH of whoever runs the tests says nothing about what is installed.
    done = subprocess.run(
        [installed.with_name("python"), "-I", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert not Path(done.stdout.strip()).is_relative_to(ROOT / "src")


# --- versions


def test_the_version_is_said_alike():
    assert PROJECT["project"]["version"] == evalkit.__version__


def _pins(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize(
    "name", ["requirements-dev.txt", "requirements-oldest.txt", "requirements-local.txt"]
)
def test_a_file_of_pins_holds_names_with_one_version_and_nothing_else(name):
    loose = [str(pin) for pin in _pins(name) if [one.operator for one in pin.specifier] != ["=="] or pin.url]

    assert loose == []


@pytest.mark.parametrize("name", ["requirements-dev.txt", "requirements-oldest.txt"])
def test_every_dependency_is_pinned_inside_its_range(name):
    pins = {pin.name.lower().replace(".", "-"): next(iter(pin.specifier)).version for pin in _pins(name)}

    outside = [
        f"{wanted}: {pins.get(wanted.name.lower().replace('.', '-'))}"
        for wanted in RUNTIME
        if not wanted.specifier.contains(pins.get(wanted.name.lower().replace(".", "-"), "0"))
    ]

    assert outside == []


def test_the_oldest_pins_are_the_oldest_promised():
    pins = {
        pin.name.lower().replace(".", "-"): next(iter(pin.specifier)).version
        for pin in _pins("requirements-oldest.txt")
    }

    newer = [
        f"{wanted} is tested with {pins[wanted.name.replace('.', '-')]}"
        for wanted in RUNTIME
        for bound in wanted.specifier
        if not f"{pins[wanted.name.replace('.', '-')]}.".startswith(f"{bound.version}.")
    ]

    assert newer == []


def test_a_pandas_before_three_is_let_in():
    pandas = next(wanted for wanted in RUNTIME if wanted.name == "pandas")

    assert pandas.specifier.contains("2.2.2")


# --- the Makefile and the pages


def _targets():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):", text, flags=re.MULTILINE))


def _pages():
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_readme_names_the_two_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert "make report" in text
    assert "make test" in text


def test_every_make_target_that_a_page_names_is_there():
    named = {
        (path.name, target)
        for path in _pages()
        for target in re.findall(
            r"(?:^|`|\$ )make ([a-z-]+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE
        )
    }

    assert [pair for pair in sorted(named) if pair[1] not in _targets()] == []


def test_every_command_is_named_on_a_page():
    text = "\n".join(path.read_text(encoding="utf-8") for path in _pages())
    commands = [(one.name or one.callback.__name__).replace("_", "-") for one in app.registered_commands]

    assert [name for name in commands if f"evalkit {name}" not in text] == []


def test_the_readme_names_every_notebook_and_the_index_every_page():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")

    assert [path.stem for path in (ROOT / "notebooks").glob("*.ipynb") if path.stem not in readme] == []
    assert [
        path.name for path in (ROOT / "docs").glob("*.md") if f"({path.name})" not in index + "(index.md)"
    ] == []


@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "CHANGELOG.md"])
def test_exit_code_1_is_promised_for_what_gives_it(page):
    text = (ROOT / page).read_text(encoding="utf-8")

    assert "--fail-on" in text
    assert "gate" in text


@pytest.mark.parametrize("page", ["docs/index.md", "docs/gate.md"])
def test_exit_code_3_is_promised_where_the_gate_is(page):
    text = (ROOT / page).read_text(encoding="utf-8")

    assert "evalkit gate" in text or "`gate`" in text
    assert "3" in text


@pytest.mark.skipif(os.name == "nt", reason="no executable bit there")
def test_ci_can_be_run():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


# --- the check of what is committed


@pytest.mark.parametrize(
    "line",
    [
        f"see https://{'.'.join(('pypi', 'org'))}/simple",
        f"pip install {'--' + 'index-url'} x",
        f'open("{"/" + "work"}/main/data")',
        f"cd {'/' + 'home'}/ann/evalkit",
        f"{'/' + 'tmp'}/x.json",
    ],
)
def test_an_address_or_a_path_of_one_machine_is_found(tmp_path, line):
    (tmp_path / "page.md").write_text(f"first\n{line}\n", encoding="utf-8")

    found = runpy.run_path(str(ROOT / "tools" / "check_tree.py"))["findings"](tmp_path / "page.md", tmp_path)

    assert len(found) == 1
    assert found[0].startswith("page.md:2: ")


@pytest.mark.parametrize(
    "line",
    ["https://api.groq.com/openai/v1", "~/work/x", "docs/home/index.md", "https://x.org/tmp/y", "./tmp/x"],
)
def test_an_ordinary_address_or_path_is_let_through(tmp_path, line):
    (tmp_path / "page.md").write_text(line, encoding="utf-8")

    found = runpy.run_path(str(ROOT / "tools" / "check_tree.py"))["findings"](tmp_path / "page.md", tmp_path)

    assert found == []
