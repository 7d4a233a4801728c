"""What has to be said beside scores: what was masked, left out, not asked, not readable, not controlled."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evalkit.util.redact import describe
from evalkit.util.words import join_words, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evalkit.judging.controls import Controls
    from evalkit.judging.requests import Questions
    from evalkit.judging.settings import JudgeSettings

# Where less of what was asked has a score, the verdicts are a matter of what is missing.
ENOUGH: Final = 0.9
_ANEW: Final = (
    *("without a score", "inconclusive:", "controls", "under way in a batch", "nothing to judge"),
    "asked for in another way",
)


def make_notes(
    judge: JudgeSettings, questions: Questions, rows: Sequence[dict[str, Any]], controls: Controls | None
) -> list[str]:
    """Return the sentences that belong beside the scores of one call."""
    if not rows and not questions.done and not questions.empty:
        return [f"{judge.grader}: there was nothing to judge."]
    notes = [
        *_about_privacy(judge, questions),
        *_about_texts(questions),
        *_about_scores(questions, rows),
        _about_controls(controls),
    ]
    return [f"{judge.grader}: {note}" for note in notes]


def is_outdated(note: str, grader: str) -> bool:
    """Whether a note is one of those that each call of a judge makes anew: about its scores and its controls."""
    return note.startswith(f"{grader}: ") and any(words in note for words in _ANEW)


def _about_privacy(judge: JudgeSettings, questions: Questions) -> Iterator[str]:
    where = judge.endpoint.name
    if not questions.requests:
        return
    if judge.masks:
        found = (
            f"{describe(questions.masked)}, in {plural(questions.masked_trials, 'trial')}"
            if questions.masked
            else "none was found"
        )
        yield f"secrets, e-mail addresses and phone numbers were masked before transcripts went to {where} ({found})."
    elif judge.endpoint.remote:
        yield f"transcripts went to {where} as they are: redact=False."


def _about_texts(questions: Questions) -> Iterator[str]:
    if questions.left_out:
        yield (
            f"{plural(questions.left_out, 'transcript was', plural='transcripts were')} too long and cut in the middle (room=); scores.metadata says how much "
            "was left out."
        )
    if questions.not_sent:
        kinds = join_words([f"{count:,} {kind}" for kind, count in sorted(questions.not_sent.items())])
        yield f"what is no text was named and not sent: {kinds}."
    if questions.empty:
        yield f"{plural(questions.empty, 'trial has', plural='trials have')} no transcript and no output: not judged."
    if questions.other_prompt:
        yield (
            f"{plural(questions.other_prompt, 'score was', plural='scores were')} asked for in another way (another temperature, "
            "effort or wording) and kept; give the judge a name= to judge anew."
        )


def _about_scores(questions: Questions, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    lost = [row for row in rows if row.get("score") is None]
    total = len(rows) + questions.done
    if lost:
        why = Counter(str(row["error"]).partition(":")[0] for row in lost)
        words = join_words([f"{count:,} {name}" for name, count in why.most_common()])
        yield f"{len(lost):,} of {plural(total, 'judgement')} without a score ({words}); scores.error says why."
    share = 1 - len(lost) / total if total else 1.0
    if share < ENOUGH:
        yield f"inconclusive: only {share:.0%} of what was asked for has a score; below {ENOUGH:.0%} no verdict is to be trusted."
    suspects = sorted(
        {f"{row['run']}, case {row['case']}, epoch {row['epoch']}" for row in rows if _influenced(row)}
    )
    if suspects:
        yield f"the judge saw an attempt to influence it in {plural(len(suspects), 'trial')} ({join_words(suspects, limit=3)}): read them."


def _influenced(row: dict[str, Any]) -> bool:
    metadata = msgspec.json.decode(row["metadata"]) if row.get("metadata") else {}
    return metadata.get("tries_to_influence_judge") is True


def _about_controls(controls: Controls | None) -> str:
    if controls is None:
        return "the controls were not run: whether it tells a right attempt from a wrong one is not known (Judge.controls)."
    return controls.words
