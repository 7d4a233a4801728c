"""evalkit: a Jupyter notebook toolkit for analysing evaluations of LLM agents.

``import evalkit as ek``, then ``ek.load``, ``ek.grade``, ``ek.summarize``, ``ek.compare``, ``ek.charts`` and
``ek.report``. Importing it has no side effect; everything heavier than polars is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from evalkit import charts, demo, schema, stats
    from evalkit.agents import Agent, run_suite
    from evalkit.agreements import agreement, correct_for_judge, judge_forensics
    from evalkit.charts import setup_notebook
    from evalkit.comparison import Comparison, compare
    from evalkit.errors import EvalkitError
    from evalkit.evals import Evals
    from evalkit.failures import find_failures
    from evalkit.grading import grade, grade_criteria
    from evalkit.judging import Judge
    from evalkit.loaders import load
    from evalkit.loaders.scanning import scan
    from evalkit.plans import plan
    from evalkit.rankings import compare_many
    from evalkit.reports import report
    from evalkit.rules import PassRule
    from evalkit.suites import Case, Criterion, Rubric, Severity, Suite
    from evalkit.summary import distribution, summarize
    from evalkit.variances import variance
    from evalkit.widgets.difference import transcript_diff
    from evalkit.widgets.explorer import explore
    from evalkit.widgets.labeller import label
    from evalkit.widgets.rubric_lab import rubric_lab
    from evalkit.widgets.transcript import transcript
    from evalkit.widgets.tuner import tune

__version__ = "0.1.0"

# Where each public name lives; None: it is a module of its own.
_HOMES: Final[dict[str, str | None]] = {
    "Agent": "agents",
    "Case": "suites",
    "Comparison": "comparison",
    "Criterion": "suites",
    "EvalkitError": "errors",
    "Evals": "evals",
    "Judge": "judging",
    "PassRule": "rules",
    "Rubric": "suites",
    "Severity": "suites",
    "Suite": "suites",
    "agreement": "agreements",
    "charts": None,
    "compare": "comparison",
    "compare_many": "rankings",
    "correct_for_judge": "agreements",
    "demo": None,
    "distribution": "summary",
    "explore": "widgets.explorer",
    "find_failures": "failures",
    "grade": "grading",
    "grade_criteria": "grading",
    "judge_forensics": "agreements",
    "label": "widgets.labeller",
    "load": "loaders",
    "plan": "plans",
    "report": "reports",
    "rubric_lab": "widgets.rubric_lab",
    "run_suite": "agents",
    "scan": "loaders.scanning",
    "schema": None,
    "setup_notebook": "charts",
    "stats": None,
    "summarize": "summary",
    "transcript": "widgets.transcript",
    "transcript_diff": "widgets.difference",
    "tune": "widgets.tuner",
    "variance": "variances",
}

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
    "plan",
    "report",
    "rubric_lab",
    "run_suite",
    "scan",
    "schema",
    "setup_notebook",
    "stats",
    "summarize",
    "transcript",
    "transcript_diff",
    "tune",
    "variance",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'evalkit' has no attribute {name!r}") from None
    module = importlib.import_module(f"evalkit.{home or name}")
    value = module if home is None else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    # What a notebook completes: no module that happens to be imported here.
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
