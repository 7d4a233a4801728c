"""Notes on judging: redaction, cuts, skipped and missing judgements, controls."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evalkit.util.format import percent
from evalkit.util.notes import Note
from evalkit.util.redact import describe
from evalkit.util.words import Option, Sentence, join_words, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evalkit.judging.controls import Controls
    from evalkit.judging.requests import JudgingPlan
    from evalkit.judging.settings import JudgeSettings

ENOUGH: Final = 0.9
"""The share of scored judgements below which a result is inconclusive."""


def status_kind(grader: str) -> str:
    """Return the kind of the notes that each call of a judge replaces."""
    return f"judging status of {grader}"


def make_notes(
    judge: JudgeSettings,
    plan: JudgingPlan,
    rows: Sequence[dict[str, Any]],
    controls: Controls | None,
    *,
    pending: int = 0,
) -> list[Note]:
    """Return the notes on one call. Those of kind "judging" hold for all scores, the others until the next call."""
    if not rows and not plan.done and not plan.empty:
        lasting, status = [], [Sentence("no judgements to make.")]
    else:
        lasting = [*_on_redaction(judge, plan), *_on_transcripts(plan), *_on_influence(rows)]
        status = [*_on_scores(plan, rows), _on_controls(controls)]
    if pending:
        count = plural(pending, "judgement is", plural="judgements are")
        status.append(Sentence("{pending} pending in a batch.", pending=count))
    kinds = {"judging": lasting, status_kind(judge.grader): status}
    return [
        Note(kind, Sentence("{grader}: " + text.template, grader=judge.grader, **text.parts))
        for kind, texts in kinds.items()
        for text in texts
    ]


def _on_redaction(judge: JudgeSettings, plan: JudgingPlan) -> Iterator[Sentence]:
    if not plan.requests:
        return
    endpoint = judge.endpoint.name
    if judge.redacts:
        counts = f"{describe(plan.redacted)}, in {plural(plan.redacted_trials, 'trial')}"
        yield Sentence(
            "redacted secrets, e-mail addresses and phone numbers before sending transcripts to {endpoint} ({redacted}).",
            endpoint=endpoint,
            redacted=counts if plan.redacted else "none found",
        )
    elif judge.endpoint.remote:
        option = Option("redact", False, shell="--no-redact")
        yield Sentence(
            "transcripts were sent to {endpoint} as they are ({option}).", endpoint=endpoint, option=option
        )


def _on_transcripts(plan: JudgingPlan) -> Iterator[Sentence]:
    if plan.cut:
        yield Sentence(
            "{cut} longer than {limit} and cut in the middle. scores.metadata has the number of tokens.",
            cut=plural(plan.cut, "transcript was", plural="transcripts were"),
            limit=Option("max_transcript_tokens"),
        )
    if plan.not_sent:
        kinds = join_words([f"{count:,} {kind}" for kind, count in sorted(plan.not_sent.items())])
        yield Sentence("content other than text was named and not sent: {not_sent}.", not_sent=kinds)
    if plan.empty:
        trials = plural(plan.empty, "trial has", plural="trials have")
        yield Sentence("{empty} no transcript and no output.", empty=trials)


def _on_influence(rows: Sequence[dict[str, Any]]) -> Iterator[Sentence]:
    trials = {f"{row['run']}, case {row['case']}, epoch {row['epoch']}" for row in rows if _influenced(row)}
    if trials:
        yield Sentence(
            "the judge reported an attempt to influence it in {count} ({influenced}). Read them.",
            count=plural(len(trials), "trial"),
            influenced=join_words(sorted(trials), limit=3),
        )


def _on_scores(plan: JudgingPlan, rows: Sequence[dict[str, Any]]) -> Iterator[Sentence]:
    if plan.other_prompt:
        yield Sentence(
            "{other_prompt} another temperature, effort or prompt. To judge again, choose another {option}.",
            other_prompt=plural(plan.other_prompt, "score has", plural="scores have"),
            option=Option("name"),
        )
    errors = [str(row["error"]) for row in rows if row.get("score") is None]
    total = len(rows) + plan.done
    if errors:
        failures = Counter(error.partition(":")[0] for error in errors)
        yield Sentence(
            "{unscored:,} of {total} without a score ({failures}). scores.error has the reasons.",
            unscored=len(errors),
            total=plural(total, "judgement"),
            failures=join_words([f"{count:,} {name}" for name, count in failures.most_common()]),
        )
    share = 1 - len(errors) / total if total else 1.0
    if share < ENOUGH:
        yield Sentence(
            "inconclusive: only {scored} of the judgements have a score. At least {enough} are needed.",
            scored=percent(share, 0),
            enough=percent(ENOUGH, 0),
        )


def _influenced(row: dict[str, Any]) -> bool:
    metadata = msgspec.json.decode(row["metadata"]) if row.get("metadata") else {}
    return metadata.get("tries_to_influence_judge") is True


def _on_controls(controls: Controls | None) -> Sentence:
    if controls is not None:
        return Sentence("{controls}", controls=controls.words)
    option = Option("controls", python="Judge.controls", shell="evalkit judge --controls")
    return Sentence(
        "the controls were not run. Check with {controls} that it knows a bad answer.", controls=option
    )
