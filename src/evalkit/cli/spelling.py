"""The library's sentences as the command line spells them: an option in place of an argument of Python."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable


def _option(found: re.Match[str]) -> str:
    return f"--{found[1]} {shlex.quote(found[2])}"


def _pairs(found: re.Match[str]) -> str:
    return " ".join(f"--margin {name}={value}" for name, value in _PAIR.findall(found[1]))


_PAIR: Final = re.compile(r"['\"](\w+)['\"]: ([\d.]+)")
# What the library writes, and what stands for it at a prompt. The first that fits a place wins: special before general.
# A mapping in Python's braces is YAML as it stands, so a file may hold just that.
SPELLINGS: Final[tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]] = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (
            r"PassRule\(mean=\.\.\., floor=\.\.\., scale=\((\S+), (\S+)\)\)",
            r"--mean MEAN --floor FLOOR --scale \1,\2",
        ),
        (
            r"PassRule\(mean=(\d\S*), floor=(\d\S*), scale=\((\S+), (\S+)\)\)",
            r"--mean \1 --floor \2 --scale \3,\4",
        ),
        (r"PassRule\(scale=\((\S+), (\S+)\)\)", r"--scale \1,\2"),
        (r"PassRule\.(gate|weight)s\[('[^']*')\]", r"--\1 \2"),
        (r"PassRule\.gates\b", "--gate"),
        (r"PassRule\.weights\b", "--weight"),
        (r"PassRule\.(mean|floor|scale|missing)\b", r"--\1"),
        (r"mapping=(\{(?:[^{}]|\{[^{}]*\})*\})", r"--mapping FILE.yaml holding \1"),
        (r"margin=(\{[^{}]*\})", _pairs),
        (r"margin\['(\w+)'\]", r"--margin \1"),
        (r"such as \((\d+), (\d+)\)", r"such as \1,\2"),
        (r"^margin names\b", "--margin names"),
        # A sentence that begins with an argument begins with its option.
        (
            r"^(?:Judge\.)?(level|power|alpha|difference|temperature|top_p|effort|seed|epochs|samples|max_tokens|"
            r"concurrency|timeout|window) is (?=['\d-])",
            lambda found: f"--{found[1].replace('_', '-')} is ",
        ),
        (r"as in ek\.Judge\(\.\.\., rubric=ek\.Rubric\.read\('suite\.yaml'\)\)", "as in --rubric suite.yaml"),
        (
            r"a function \(call\) or a command: this one has call and command",
            "a function (--call) or a program (--command): name one",
        ),
        (r"\b(baseline|candidate|rerun)= was\b", r"--\1 was"),
        (r"\brubric=\"([^\"]*)\"", lambda found: f"--rubric-hash {shlex.quote(found[1])}"),
        (r"\b(judge|grader|criteria)=\"([^\"]*)\"", _option),
        (r"\(rerun=\)", "(--rerun NAME)"),
        (r"\bretry_errors=True\b", "--retry-errors"),
        (r"\bprovider='(\w+)'", r"--provider \1"),
        (r"\bJudge\.model is not given\b", "--model is not given"),
        (r"\(Judge\.controls\)", "(--controls)"),
        (r"\bmax_cost=(\d\S*)", r"--max-cost \1"),
        (r"\bmax_cost\b", "--max-cost"),
        (r"\bno_regressions\b", "--no-regressions"),
        (r"\bpass_rate_at_least\b", "--pass-rate-at-least"),
        (r"\bcritical_must_pass\b", "--critical-must-pass"),
        (r"\bname the candidate\b", "say which with --candidate"),
        (r"\bname baseline and candidate\b", "--baseline and --candidate"),
        (r"\{'(run|agent_version|model)': '([^']*)'\}", r"\1=\2"),
        (
            r"grade them apart: evals\.filter\(criterion=\[\.\.\.\]\)",
            "name those of one scale in --mapping FILE.yaml",
        ),
    )
)


def spell(text: str) -> str:
    """Return a sentence of the library with options in place of Python.

    Examples
    --------
    >>> spell("declare one, e.g. margin={'pass_rate': 0.05}.")
    'declare one, e.g. --margin pass_rate=0.05.'
    >>> spell('Say which counts: grader="the judge".')
    "Say which counts: --grader 'the judge'."
    >>> spell('Say so: mapping={"case": "id", "people": {"their_tone": "tone"}}.')
    'Say so: --mapping FILE.yaml holding {"case": "id", "people": {"their_tone": "tone"}}.'
    """
    for pattern, words in SPELLINGS:
        text = pattern.sub(words, text)
    return text


def size(count: int) -> str:
    """Return a number of bytes as words.

    Examples
    --------
    >>> size(1_438_319), size(10_604), size(3)
    ('1.4 MB', '11 kB', '1 kB')
    """
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} kB"
