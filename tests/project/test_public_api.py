"""The door of the library: what can be imported, how it is documented, what it costs."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from IPython.core.completer import IPCompleter, provisionalcompleter

import evalkit

# Not every name can be shown by a line that runs on its own.
WITHOUT_EXAMPLES = {
    "Case": "a part of a Suite, shown there",
    "Comparison": "made by compare, shown there",
    "Criterion": "a part of a Suite, shown there",
    "Rubric": "a part of a Suite, shown there",
    "grade_criteria": "takes what grade takes, shown there",
    "setup_notebook": "changes the session that it is called in",
}
HEAVY = (
    "altair",
    "pandas",
    "openai",
    "ipywidgets",
    "scipy",
    "numpy",
    "narwhals",
    "pydantic",
    "msgspec",
    "jinja2",
)
# Every module that says which of its names are for others.
HOME = Path(evalkit.__path__[0])
PUBLIC = [
    ".".join(path.relative_to(HOME.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(HOME.rglob("*.py"))
    if "\n__all__ = " in path.read_text(encoding="utf-8")
]


def test_every_public_name_can_be_imported():
    missing = [name for name in evalkit.__all__ if not hasattr(evalkit, name)]

    assert missing == []


def test_the_public_names_are_sorted_and_without_doubles():
    assert evalkit.__all__ == sorted(set(evalkit.__all__))


@pytest.mark.parametrize("module", PUBLIC)
@pytest.mark.parametrize("use_jedi", [False, True])
def test_a_notebook_completes_the_public_names_and_nothing_else(module, use_jedi):
    public = importlib.import_module(module)
    completer = IPCompleter(namespace={"module": public}, use_jedi=use_jedi)

    with provisionalcompleter():
        offered = {one.text.lstrip(".") for one in completer.completions("module.", len("module."))}

    assert offered == set(public.__all__) == {name for name in dir(public) if not name.startswith("__")}


@pytest.mark.parametrize("use_jedi", [False, True])
def test_a_suite_completes_what_is_its_own_and_not_what_pydantic_has(use_jedi):
    suite = evalkit.Suite(suite="demo")
    completer = IPCompleter(namespace={"suite": suite, "Suite": evalkit.Suite}, use_jedi=use_jedi)

    with provisionalcompleter():
        offered = [
            {one.text.lstrip(".") for one in completer.completions(text, len(text))}
            for text in ("suite.", "Suite.")
        ]

    methods = {"case", "criterion", "parse", "read", "rubric_hash", "tables", "to_yaml", "write"}
    # What every class has by being one is left.
    assert [names - {"mro", "register"} for names in offered] == [
        methods | {"suite", "description", "criteria", "cases"},
        methods,
    ]


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="sumarize"):
        evalkit.sumarize  # noqa: B018


@pytest.mark.parametrize("name", evalkit.__all__)
def test_every_public_name_is_documented_with_an_example(name):
    value = getattr(evalkit, name)
    text = inspect.getdoc(value) or ""

    assert text.strip()
    if not inspect.ismodule(value):
        assert ("Examples\n" in text) != (name in WITHOUT_EXAMPLES)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (module, name)
        for module in ("evalkit.charts", "evalkit.stats", "evalkit.data.folder", "evalkit.readers.load")
        for name in getattr(importlib.import_module(module), "__all__", ())
        if inspect.isroutine(value := getattr(importlib.import_module(module), name))
        or inspect.isclass(value)
    ],
)
def test_every_name_of_a_public_module_is_documented(module, name):
    value = getattr(importlib.import_module(module), name)

    assert (inspect.getdoc(value) or "").strip()


def test_a_package_never_takes_the_name_of_a_function():
    code = (
        "import evalkit, evalkit.compare.pairs, evalkit.agreement.ratings, evalkit.report.blocks; "
        "print(all(callable(getattr(evalkit, name)) for name in ('compare', 'agreement', 'report')))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "True"


def test_importing_evalkit_imports_nothing_heavy():
    code = f"import sys, evalkit; print([name for name in {HEAVY!r} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_importing_evalkit_leaves_the_session_as_it_was(tmp_path):
    code = (
        "import sys, warnings, logging; before = (list(warnings.filters), logging.root.handlers[:], sys.excepthook); "
        "import evalkit; print(before == (list(warnings.filters), logging.root.handlers[:], sys.excepthook))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert (done.stdout.strip(), done.stderr) == ("True", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new"), [("native", "evalkit.data.folder"), ("providers", "evalkit.llm.providers")]
)
def test_a_module_that_moved_names_its_new_place(old, new):
    with pytest.raises(AttributeError, match=f"{new}$"):
        getattr(evalkit, old)
