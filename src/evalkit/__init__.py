"""evalkit: a Jupyter notebook toolkit for analysing evaluations of LLM agents.

``import evalkit as ek``, then ``ek.load``, ``ek.grade``, ``ek.summarize``, ``ek.compare``, ``ek.charts`` and
``ek.report``. Importing it has no side effect; everything heavier than polars is imported when it is first used.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from evalkit.util.version import VERSION

if TYPE_CHECKING:
    from evalkit import charts, stats
    from evalkit.agents.agent import Agent
    from evalkit.agents.run_suite import run_suite
    from evalkit.agreement.agreement import agreement
    from evalkit.agreement.correct_for_judge import correct_for_judge
    from evalkit.agreement.judge_bias import judge_forensics
    from evalkit.charts.render import setup_notebook
    from evalkit.compare.compare import Comparison, compare
    from evalkit.compare.compare_many import compare_many
    from evalkit.compare.failure_clusters import find_failures
    from evalkit.compare.power_plan import plan
    from evalkit.compare.variance import variance
    from evalkit.data import demo, schema
    from evalkit.data.evals import Evals
    from evalkit.data.suite import Case, Criterion, Rubric, Severity, Suite
    from evalkit.grading.grade import grade, grade_criteria
    from evalkit.grading.pass_rule import PassRule
    from evalkit.grading.summarize import distribution, summarize
    from evalkit.grading.version_order import order_versions
    from evalkit.judging.judge import Judge
    from evalkit.readers.load import load
    from evalkit.readers.scan import scan
    from evalkit.readers.suggest_mapping import suggest_mapping
    from evalkit.report.report import report
    from evalkit.util.errors import EvalkitError
    from evalkit.widgets.explore import explore
    from evalkit.widgets.label import label
    from evalkit.widgets.map_columns import map_columns
    from evalkit.widgets.rubric_lab import rubric_lab
    from evalkit.widgets.transcript import transcript
    from evalkit.widgets.transcript_diff import transcript_diff
    from evalkit.widgets.tune import tune

__version__ = VERSION

# The module that defines each public name.
_HOMES: Final = {
    "Agent": "agents.agent",
    "Case": "data.suite",
    "Comparison": "compare.compare",
    "Criterion": "data.suite",
    "EvalkitError": "util.errors",
    "Evals": "data.evals",
    "Judge": "judging.judge",
    "PassRule": "grading.pass_rule",
    "Rubric": "data.suite",
    "Severity": "data.suite",
    "Suite": "data.suite",
    "agreement": "agreement.agreement",
    "compare": "compare.compare",
    "compare_many": "compare.compare_many",
    "correct_for_judge": "agreement.correct_for_judge",
    "distribution": "grading.summarize",
    "explore": "widgets.explore",
    "map_columns": "widgets.map_columns",
    "find_failures": "compare.failure_clusters",
    "grade": "grading.grade",
    "grade_criteria": "grading.grade",
    "judge_forensics": "agreement.judge_bias",
    "label": "widgets.label",
    "load": "readers.load",
    "order_versions": "grading.version_order",
    "plan": "compare.power_plan",
    "report": "report.report",
    "rubric_lab": "widgets.rubric_lab",
    "run_suite": "agents.run_suite",
    "scan": "readers.scan",
    "suggest_mapping": "readers.suggest_mapping",
    "setup_notebook": "charts.render",
    "summarize": "grading.summarize",
    "transcript": "widgets.transcript",
    "transcript_diff": "widgets.transcript_diff",
    "tune": "widgets.tune",
    "variance": "compare.variance",
}
_MODULES: Final = {"charts": "charts", "demo": "data.demo", "schema": "data.schema", "stats": "stats"}

__all__ = [
    "Agent",
    "Case",
    "Comparison",
    "Criterion",
    "EvalkitError",
    "Evals",
    "Judge",
    "PassRule",
    "Rubric",
    "Severity",
    "Suite",
    "agreement",
    "charts",
    "compare",
    "compare_many",
    "correct_for_judge",
    "demo",
    "distribution",
    "explore",
    "find_failures",
    "grade",
    "grade_criteria",
    "judge_forensics",
    "label",
    "load",
    "map_columns",
    "order_versions",
    "plan",
    "report",
    "rubric_lab",
    "run_suite",
    "scan",
    "schema",
    "setup_notebook",
    "stats",
    "suggest_mapping",
    "summarize",
    "transcript",
    "transcript_diff",
    "tune",
    "variance",
]


# Modules that user code could import before the packages of 2026-12.
_MOVED: Final = {
    "agreements": "agreement",
    "exports": "data.export",
    "loaders": "readers",
    "native": "data.folder",
    "providers": "llm.providers",
    "redaction": "util.redact",
    "reports": "report",
    "running": "llm",
    "serving": "llm.local_server",
    "suites": "data.suite",
}


class _Evalkit(ModuleType):
    # Python binds each imported subpackage to its parent. `compare`, `agreement` and `report` name both a package
    # and a function: the function keeps the name.
    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Evalkit


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name in _MODULES:
        value: Any = importlib.import_module(f"evalkit.{_MODULES[name]}")
    elif name in _HOMES:
        value = getattr(importlib.import_module(f"evalkit.{_HOMES[name]}"), name)
    else:
        moved = f". It moved to evalkit.{_MOVED[name]}" if name in _MOVED else ""
        raise AttributeError(f"module 'evalkit' has no attribute {name!r}{moved}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    # Completion lists public names only, not every imported submodule.
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
