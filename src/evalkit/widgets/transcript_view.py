"""One trial to read. Its text is hostile: each string goes through `evalkit.util.hostile_text`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import msgspec
import polars as pl

from evalkit.data.frames import some_of
from evalkit.data.schema import GRADER_KINDS, TRIALS
from evalkit.util import format as fmt
from evalkit.util.errors import SelectorError
from evalkit.util.hostile_text import (
    Html,
    escape,
    find_quotes,
    holds_quote,
    mark,
    markdown,
    plain,
    to_tree,
    visible,
)
from evalkit.util.words import as_names, plural
from evalkit.widgets.panel import Panel
from evalkit.widgets.panel import style as _style
from evalkit.widgets.transcript_messages import read_judgement, read_messages, top_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.data.evals import Evals
    from evalkit.data.scoring import Scoring
    from evalkit.widgets.transcript_messages import JudgementView, MessagePart, TranscriptMessage

# Longer text is cut; the rest is counted.
_MAX_TEXT: Final = 100_000
_CASE_TEXTS: Final = {
    "input": "Situation",
    "prompt": "Prompt",
    "ideal_behavior": "Ideal behavior",
    "expected_rubric": "Checkable points",
}
Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)
_Position = Annotated[int, msgspec.Meta(ge=0, lt=1_000_000)]


@dataclass(frozen=True, slots=True)
class TranscriptView:
    """A trial to read: plain data."""

    run: str
    case: str
    epoch: int
    severity: str
    # Version, model, tokens and so on, in words.
    facts: tuple[str, ...]
    # "file:line", or "".
    source: str
    # The texts of the case: (heading, text).
    asked: tuple[tuple[str, str], ...]
    messages: tuple[TranscriptMessage, ...]
    judgements: tuple[JudgementView, ...]

    def __repr__(self) -> str:
        counts = f"{plural(len(self.messages), 'message')}, {plural(len(self.judgements), 'judgement')}"
        return f"Transcript: {visible(self.title)}, {counts}"

    @property
    def title(self) -> str:
        """The name of the trial; without its run if blind."""
        return f"case {self.case}" + (f", run {self.run}, epoch {self.epoch}" if self.run else "")

    @property
    def evidence(self) -> list[str]:
        """The quotations of the graders."""
        return [judgement.evidence for judgement in self.judgements if judgement.evidence]


def read_trial(evals: Evals, *, run: str, case: str, epoch: int = 1) -> TranscriptView:
    """Return one trial to read, with the scores of `evals.scoring`."""
    _check_trial(evals, run, case, epoch)
    here = (pl.col("run") == run) & (pl.col("case") == case) & (pl.col("epoch") == epoch)
    names = ("trials", "turns", "scores")
    tables: dict[str, Any] = {name: getattr(evals, name).filter(here) for name in names}
    evals = replace(evals, **tables).collect()
    trial = _first(evals.trials)
    run_row = _first(evals.runs.filter(pl.col("run") == run))
    cases = evals.cases.filter(pl.col("case") == case)
    if run_row.get("suite"):
        cases = cases.filter(pl.col("suite") == run_row["suite"])
    case_row = _first(cases)
    scores = scores_that_count(evals.scores, evals.scoring)
    top = top_scores(evals, run_row)
    return TranscriptView(
        run=run,
        case=case,
        epoch=epoch,
        severity=case_row.get("severity") or "",
        facts=_facts(trial, run_row),
        source=":".join(
            str(trial[name]) for name in ("source", "line") if trial.get("source") and trial.get(name)
        ),
        asked=tuple((head, case_row[name]) for name, head in _CASE_TEXTS.items() if case_row.get(name)),
        messages=tuple(read_messages(evals.turns.sort("turn").to_dicts(), trial)),
        judgements=tuple(
            read_judgement(row, top)
            for row in scores.sort("grader_kind", "grader", "criterion", "sample").to_dicts()
        ),
    )


def chosen_scores(scoring: Scoring) -> dict[str, list[str]]:
    """Return the values allowed by a choice of grader and rubric, by column."""
    grader = "grader_kind" if scoring.grader in GRADER_KINDS else "grader"
    chosen = {grader: scoring.grader, "rubric_hash": scoring.rubric}
    return {
        name: list(as_names(value)) for name, value in chosen.items() if value is not None and value != "any"
    }


def scores_that_count(scores: Frame, scoring: Scoring) -> Frame:
    """Keep the scores of the chosen grader and rubric, if chosen."""
    for name, values in chosen_scores(scoring).items():
        scores = scores.filter(pl.col(name).cast(pl.String).is_in(values))
    return scores


class TrialPanel(Panel):
    """A panel with a trial: `_trial` returns it, `show` includes `_reading()`."""

    shares = ("transcript_reading",)

    _markdown: bool = False
    _whole: dict[str, Any] | None = None

    def _trial(self) -> TranscriptView | None:
        raise NotImplementedError

    def _reading(self) -> dict[str, Any]:
        trial = self._trial()
        return {"trial": trial and to_data(trial, markdown=self._markdown), "whole": self._whole}

    def _on_format(self, markdown: bool) -> None:
        self._markdown, self._whole = markdown, None

    def _on_whole(self, message: _Position, part: _Position) -> None:
        trial, self._whole = self._trial(), None
        if trial and message < len(trial.messages) and part < len(trial.messages[message].parts):
            text = trial.messages[message].parts[part].text
            self._whole = {"message": message, "part": part, "pieces": _pieces(text, trial.evidence)}


def to_data(view: TranscriptView, *, markdown: bool = False) -> dict[str, Any]:
    """Return a trial as plain data for a live view, quotations apart.

    Text is cut after 100,000 characters; `left` counts the rest. With `markdown`, it is a tree of cleaned elements.
    """
    return {
        "title": visible(view.title),
        "severity": view.severity,
        "facts": [visible(fact) for fact in view.facts],
        "source": visible(view.source),
        "asked": [[heading, visible(text[:_MAX_TEXT])] for heading, text in view.asked],
        "messages": [
            {
                "kind": message.kind,
                "role": visible(message.role),
                "parts": [_part_data(part, view.evidence, as_tree=markdown) for part in message.parts],
            }
            for message in view.messages
        ],
        "markdown": markdown,
        "judgements": [
            {
                "criterion": visible(criterion),
                "grader": visible(grader),
                "samples": [_judgement_data(sample, view.messages) for sample in samples],
            }
            for (criterion, grader), samples in groupby(view.judgements, _scored_by)
        ],
    }


def transcript_html(view: TranscriptView, *, most: int | None = None) -> Html:
    """Return the first `most` messages as HTML without scripts or styles."""
    messages = "".join(
        f'<li class="ek-{escape(message.kind)}"><div class="ek-role"><strong>{escape(message.role)}</strong></div>'
        f"{''.join(_part_html(part, view.evidence) for part in message.parts)}</li>"
        for message in view.messages[:most]
    )
    left = 0 if most is None else len(view.messages) - most
    if left > 0:
        messages += f"<li>{plural(left, 'more message')} not shown. Run the notebook to see all.</li>"
    scores = "".join(_judgement_html(*samples) for _, samples in groupby(view.judgements, _scored_by))
    known = [f"severity {view.severity}", *view.facts] if view.severity else view.facts
    facts = "".join(f"<span>{escape(fact)}</span> " for fact in known)
    title = escape(view.title[0].upper() + view.title[1:])
    top = f'<p class="ek-title"><strong>{title}</strong></p><p class="ek-meta">{facts}</p>'
    texts = ((name, markdown(text[:_MAX_TEXT])) for name, text in view.asked)
    asked = "".join(f"<p><strong>{name}</strong></p>{text}" for name, text in texts)
    if asked:
        top += f"<details><summary>Case details</summary>{asked}</details>"
    source = f'<p class="ek-meta">Source: <code>{escape(view.source)}</code></p>' if view.source else ""
    return Html(
        f'<div class="ek ek-transcript">{top}<div class="ek-columns">'
        f'<ol class="ek-messages">{messages or "<li>No messages and no output.</li>"}</ol>'
        f'<ul class="ek-scores">{scores or "<li>No judgements.</li>"}</ul></div>{source}</div>'
    )


def style() -> str:
    """Return the style sheet of the transcript."""
    return _style("transcript_reading")


def _check_trial(evals: Evals, run: str, case: str, epoch: int) -> None:
    matches = pl.concat([some_of(frame, *TRIALS.key) for frame in (evals.trials, evals.scores)])
    place = ""
    for name, value in (("run", run), ("case", case), ("epoch", epoch)):
        known = matches[name].unique().cast(pl.String).sort().to_list()
        matches = matches.filter(pl.col(name) == value)
        if matches.is_empty():
            raise SelectorError(f"Unknown {name} {str(value)!r}{place}.", value=str(value), choices=known)
        place = f" of {name} {value!r}{place}"


def _first(frame: pl.DataFrame) -> dict[str, Any]:
    return frame.row(0, named=True) if frame.height else {}


def _facts(trial: dict[str, Any], run: dict[str, Any]) -> tuple[str, ...]:
    facts = [str(run[name]) for name in ("agent", "agent_version", "model") if run.get(name)]
    if trial.get("stop_reason"):
        facts.append(f"stopped: {trial['stop_reason']}")
    if trial.get("input_tokens") is not None and trial.get("output_tokens") is not None:
        facts.append(f"{trial['input_tokens']:,} tokens in, {trial['output_tokens']:,} out")
    if trial.get("latency_s") is not None:
        facts.append(fmt.duration(trial["latency_s"]))
    if trial.get("cost_usd") is not None:
        facts.append(fmt.money(trial["cost_usd"]))
    return tuple(facts)


def _scored_by(judgement: JudgementView) -> tuple[str, str]:
    return judgement.criterion, judgement.grader


def _judgement_html(first: JudgementView, *others: JudgementView) -> str:
    more = "".join(
        f'<p><span class="ek-score">{escape(one.score)}</span> sample {one.sample}</p>{_reason_html(one)}'
        for one in others
    )
    if more:
        scores = ", ".join(one.score for one in others)
        more = f"<details><summary>More samples: {escape(scores)}</summary>{more}</details>"
    return (
        f"<li><p><strong>{escape(first.criterion)}</strong> "
        f'<span class="ek-score">{escape(first.score)}</span> '
        f'<span class="ek-grader">{escape(first.grader)}</span></p>{_reason_html(first)}{more}</li>'
    )


def _reason_html(judgement: JudgementView) -> str:
    rationale = f"<div>{markdown(judgement.rationale)}</div>" if judgement.rationale else ""
    if not judgement.evidence:
        return rationale
    return f"{rationale}<blockquote>Quoted: <q>{escape(judgement.evidence)}</q></blockquote>"


def _part_html(part: MessagePart, evidence: Sequence[str]) -> str:
    text, left = part.text[:_MAX_TEXT], len(part.text) - _MAX_TEXT
    if left > 0:
        text += f"\n… {plural(left, 'more character')} not shown. The source has all."
    unmarked = markdown(text) if part.style == "markdown" else plain(text)
    html = mark(unmarked, evidence)
    if not part.summary:
        return html
    # A folded quotation would not be seen.
    is_open = " open" if html != unmarked else ""
    return f"<details{is_open}><summary>{escape(part.summary)}</summary>{html}</details>"


def _part_data(part: MessagePart, evidence: Sequence[str], *, as_tree: bool) -> dict[str, Any]:
    pieces = _pieces(part.text[:_MAX_TEXT], evidence)
    data = {
        "summary": visible(part.summary),
        "open": any(is_quoted for _, is_quoted in pieces),
        "pieces": pieces,
        "left": max(0, len(part.text) - _MAX_TEXT),
    }
    if as_tree and part.style == "markdown":
        data["tree"] = to_tree(mark(markdown(part.text[:_MAX_TEXT]), evidence))
    return data


def _pieces(text: str, evidence: Sequence[str]) -> list[list[Any]]:
    """Split a text into [text, whether a grader quoted it]."""
    text = visible(text)
    pieces, last = [], 0
    for start, end in find_quotes(text, evidence):
        pieces += [[text[last:start], False], [text[start:end], True]]
        last = end
    return [piece for piece in [*pieces, [text[last:], False]] if piece[0]]


def _judgement_data(judgement: JudgementView, messages: Sequence[TranscriptMessage]) -> dict[str, Any]:
    """Return a judgement with the index of the quoted message (None: no match)."""
    index = None
    if judgement.evidence:
        texts = (visible("\n".join(part.text for part in message.parts)) for message in messages)
        index = next((i for i, text in enumerate(texts) if holds_quote(text, judgement.evidence)), None)
    words = {name: visible(getattr(judgement, name)) for name in ("score", "rationale", "evidence")}
    return {**words, "sample": judgement.sample, "message": index}
