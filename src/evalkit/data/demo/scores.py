"""The synthetic scores of the demo: a judge and two human labelers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import TYPE_CHECKING, Any, Final

from evalkit.data.suite import Suite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.data.suite import Case, Suite


JUDGE: Final = "demo-judge"
PEOPLE: Final = ("reviewer-1", "reviewer-2")

# Judged three times: every trial of the first cases, the first trial of the others.
_THRICE: Final = ("02",)
_FIRST_THRICE: Final = ("05", "08")
_LABELLED: Final = 36
_LABELLED_TWICE: Final = 9

# Score frequencies per criterion: (passing, failing).
_DRAWN: Final[dict[str, tuple[tuple[int, ...], tuple[int, ...]]]] = {
    "Groq": ((4,), (3, 3, 3, 2)),
    "Ai Platform": ((5, 5, 4, 4, 4), (2, 2, 2, 1)),
    "Batch Api": ((5, 5, 5, 4, 4), (1, 1, 2, 2)),
}
_WEAKER: Final = {"Groq": ((4, 4, 4, 4, 3), (2, 2, 3))}
_LEVEL: Final = {
    5: "Nothing that the case calls for is missing.",
    4: "A smaller detail is left open.",
    3: "It holds on the main path only.",
    2: "The user would run into this.",
    1: "This is the mistake that the case is about.",
}
_UNREAD: Final = (
    "The judge's reply was cut off before the score (finish_reason length), twice; no score was read."
)


def judge_scores(
    attempts: Sequence[PlannedTrial], suite: Suite, *, unreadable: tuple[str, str, int], seed: int
) -> list[dict[str, Any]]:
    """Return the judge's scores of all trials as rows of `scores`."""
    rows = []
    for attempt in attempts:
        chance = attempt.random("scores", seed=seed)
        case = attempt.case.id
        samples = 3 if case in _THRICE or (case in _FIRST_THRICE and attempt.epoch == 1) else 1
        drawn = _draw(attempt, samples, chance)
        for criterion, scores in drawn.items():
            quote, why = _judged(attempt, criterion, scores[0])
            for sample, score in enumerate(scores, start=1):
                row = {
                    "run": attempt.run,
                    "case": case,
                    "epoch": attempt.epoch,
                    "criterion": criterion,
                    "grader": JUDGE,
                    "rubric_hash": suite.rubric_hash(case, criterion),
                    "sample": sample,
                    "grader_kind": "judge",
                    "score": float(score),
                    "rationale": f"{why} {_LEVEL[score]}",
                    "evidence": quote,
                    "error": None,
                    "judge_model": JUDGE,
                    "prompt_hash": _hash(f"demo judge prompt, {criterion}"),
                    "seed": 1000 + sample,
                    "mode": "live",
                    "input_tokens": 900 + len(attempt.answer) // 4,
                    "output_tokens": (len(why) + len(quote)) // 4 + 30,
                }
                if attempt.key == unreadable and criterion == "Batch Api":
                    row.update(score=None, rationale=None, evidence=None, error=_UNREAD)
                rows.append(row)
    return rows


def human_scores(
    attempts: Sequence[PlannedTrial], judged: list[dict[str, Any]], *, seed: int
) -> list[dict[str, Any]]:
    """Return the labels of two people for a random sample of trials."""
    first = {row_key(row): row for row in reversed(judged) if row["score"] is not None}
    chosen = sorted(attempts, key=lambda attempt: attempt.random("chosen", seed=seed).random())[:_LABELLED]
    rows = []
    for number, attempt in enumerate(sorted(chosen, key=lambda attempt: attempt.key)):
        for person in PEOPLE if number % (_LABELLED // _LABELLED_TWICE) == 0 else PEOPLE[:1]:
            chance = attempt.random(person, seed=seed)
            for criterion in _DRAWN:
                judge = first.get((*attempt.key, criterion))
                if judge is None:
                    continue
                score = min(5, max(1, int(judge["score"]) + _apart(chance, attempt)))
                rows.append(
                    {
                        **{key: judge[key] for key in ("run", "case", "epoch", "criterion", "rubric_hash")},
                        "grader": person,
                        "sample": 1,
                        "grader_kind": "human",
                        "score": float(score),
                        "rationale": None if chance.randrange(3) else _LEVEL[score],
                    }
                )
    return rows


def row_key(row: dict[str, Any]) -> tuple[str, str, int, str]:
    """Return run, case, epoch and criterion of a score."""
    return row["run"], row["case"], row["epoch"], row["criterion"]


def _draw(attempt: PlannedTrial, samples: int, chance: Random) -> dict[str, list[int]]:
    """Draw scores until the default rule agrees with the plan."""
    while True:
        drawn = {}
        for criterion, pools in _DRAWN.items():
            if attempt.model == "demo-small":
                pools = _WEAKER.get(criterion, pools)
            pool = pools[0 if attempt.passes else 1]
            base = 5 if criterion == "Groq" and attempt.best else pool[chance.randrange(len(pool))]
            again = [min(5, max(1, base + (0, 0, 0, 1, -1)[chance.randrange(5)])) for _ in range(samples - 1)]
            drawn[criterion] = [base, *again]
        means = [Fraction(sum(scores), len(scores)) for scores in drawn.values()]
        if (sum(means) >= 4 * len(means) and min(means) >= 3) == attempt.passes:
            return drawn


def _judged(attempt: PlannedTrial, criterion: str, score: int) -> tuple[str, str]:
    if criterion == "Groq" and attempt.best and score == 5:
        extra = attempt.told["extra"]
        return str(extra["quote"]), str(extra["why"])
    quote, why = attempt.told["judged"][criterion]
    return str(quote), str(why)


def _apart(chance: Random, attempt: PlannedTrial) -> int:
    """Return the difference of a human label from the judge's score."""
    steps = (0, 0, 0, 0, 0, 0, 0, -1, -1, 1) if attempt.passes else (0, 0, 0, 0, 0, 0, 0, 0, 1, -1)
    return steps[chance.randrange(len(steps))]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """One planned trial of the demo.

    `told` has the texts of agent and judge, an entry of `content.yaml`. `best`: the answer ends with the
    GroqCloud paragraph.
    """

    version: str
    model: str
    case: Case
    epoch: int
    passes: bool
    told: dict[str, Any]
    best: bool

    @property
    def run(self) -> str:
        """The run it belongs to."""
        return f"{self.version}-{self.model}"

    @property
    def key(self) -> tuple[str, str, int]:
        """Run, case and epoch."""
        return self.run, self.case.id, self.epoch

    @property
    def answer(self) -> str:
        """The last message."""
        answer = str(self.told["answer"])
        return f"{answer}\n\n{self.told['extra']['text']}" if self.best else answer

    def random(self, purpose: str, *, seed: int) -> Random:
        """Return the trial's own random source; a change in one trial affects no other."""
        return Random(f"{seed}/{purpose}/{'/'.join(map(str, self.key))}")  # noqa: S311
