"""One trial to read: its messages, and beside them what the graders said and quoted.

The text is hostile: every string goes through `evalkit.util.hostile_text`. The static HTML is the same in a notebook and in the
report; what a live view draws is plain strings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.evals import some_of
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
from evalkit.util.words import plural
from evalkit.widgets.panel import style as _style
from evalkit.widgets.transcript_messages import judgement, messages, scales

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.data.evals import Evals
    from evalkit.widgets.transcript_messages import Judgement, Message, Part

# A message longer than this is cut, with a word about the rest.
_MOST: Final = 100_000


@dataclass(frozen=True, slots=True)
class TranscriptView:
    """A trial to read: plain data.

    Attributes
    ----------
    run, case, epoch
        Which trial.
    severity
        How bad a failure is, or "".
    facts
        Version, model, tokens and the like, in words.
    source
        `file:line` it was read from, or "".
    asked
        What the case asks and expects: (heading, text) pairs.
    messages, judgements
        What was said, and what graders said about it.
    """

    run: str
    case: str
    epoch: int
    severity: str
    facts: tuple[str, ...]
    source: str
    asked: tuple[tuple[str, str], ...]
    messages: tuple[Message, ...]
    judgements: tuple[Judgement, ...]

    def __repr__(self) -> str:
        counts = f"{plural(len(self.messages), 'message')}, {plural(len(self.judgements), 'judgement')}"
        return f"Transcript: {visible(self.title)}, {counts}"

    @property
    def title(self) -> str:
        """Which trial it is, in words."""
        return f"case {self.case}, run {self.run}, epoch {self.epoch}"

    @property
    def evidence(self) -> list[str]:
        """What graders quoted."""
        return [judgement.evidence for judgement in self.judgements if judgement.evidence]


def read_trial(evals: Evals, *, run: str, case: str, epoch: int = 1) -> TranscriptView:
    """Return one trial to read.

    Raises
    ------
    SelectorError
        There is no such run, case or epoch; the nearest is named.
    """
    _check(evals, run, case, epoch)
    here = (pl.col("run") == run) & (pl.col("case") == case) & (pl.col("epoch") == epoch)
    if evals.is_scanned:
        parts: dict[str, Any] = {
            name: getattr(evals, name).filter(here) for name in ("trials", "turns", "scores")
        }
        evals = replace(evals, **parts).collect()
    trial = _first(evals.trials.filter(here))
    of_run = _first(evals.runs.filter(pl.col("run") == run))
    cases = evals.cases.filter(pl.col("case") == case)
    if of_run.get("suite"):
        cases = cases.filter(pl.col("suite") == of_run["suite"])
    of_case = _first(cases)
    scores = evals.scores.filter(here).sort("grader_kind", "grader", "criterion", "sample")
    turns = evals.turns.filter(here).sort("turn")
    return TranscriptView(
        run=run,
        case=case,
        epoch=epoch,
        severity=of_case.get("severity") or "",
        facts=_facts(trial, of_run),
        source=_where(trial),
        asked=tuple(
            (heading, of_case[name])
            for heading, name in (
                ("The situation", "input"),
                ("What the agent was sent", "prompt"),
                ("Ideal behaviour", "ideal_behavior"),
                ("Checkable points", "expected_rubric"),
            )
            if of_case.get(name)
        ),
        messages=tuple(messages(turns.to_dicts(), trial)),
        judgements=tuple(judgement(row, scales(evals, of_run)) for row in scores.to_dicts()),
    )


def shown(view: TranscriptView, *, markdown: bool = False) -> dict[str, Any]:
    """Return what a live view draws of a trial: plain strings, the quoted passages apart.

    A long stretch of text is cut after 100,000 characters; `left` says how many more there are. With `markdown`,
    what may be Markdown is a tree of elements, cleaned as the static form is.
    """
    made = [
        {
            "kind": message.kind,
            "role": visible(message.role),
            "parts": [_plain_part(part, view.evidence, tree=markdown) for part in message.parts],
        }
        for message in view.messages
    ]
    return {
        "title": visible(view.title),
        "severity": view.severity,
        "facts": [visible(fact) for fact in view.facts],
        "source": visible(view.source),
        "asked": [[heading, visible(text[:_MOST])] for heading, text in view.asked],
        "messages": made,
        "markdown": markdown,
        "judgements": [
            {
                "criterion": visible(criterion),
                "grader": visible(grader),
                "samples": [_plain_judgement(one, view.messages) for one in samples],
            }
            for (criterion, grader), samples in groupby(view.judgements, _who)
        ],
    }


def pieces(text: str, evidence: Sequence[str]) -> list[list[Any]]:
    """Return a text in pieces: [text, whether a grader quoted it]."""
    text = visible(text)
    made, last = [], 0
    for start, end in find_quotes(text, evidence):
        made += [[text[last:start], False], [text[start:end], True]]
        last = end
    return [piece for piece in [*made, [text[last:], False]] if piece[0]]


def transcript_html(view: TranscriptView, *, heading: bool = True, most: int | None = None) -> Html:
    """Return a trial as HTML without scripts or styles of its own; legible where styles are dropped.

    Parameters
    ----------
    view
        What `transcript` returned.
    heading
        Whether it begins with the trial's name and facts.
    most
        So many messages; the others are plural. None: all.
    """
    messages = "".join(
        f'<li class="ek-{escape(message.kind)}"><div class="ek-role"><strong>{escape(message.role)}</strong></div>'
        f"{''.join(_part_html(part, view.evidence) for part in message.parts)}</li>"
        for message in view.messages[:most]
    )
    left = 0 if most is None else len(view.messages) - most
    if left > 0:
        messages += f"<li>{plural(left, 'more message')} not shown; with a running kernel all are.</li>"
    scores = "".join(_judgements_html(list(samples)) for _, samples in groupby(view.judgements, _who))
    top = ""
    if heading:
        known = [f"severity {view.severity}", *view.facts] if view.severity else view.facts
        facts = "".join(f"<span>{escape(fact)}</span> " for fact in known)
        top = f'<p class="ek-title"><strong>{escape(view.title[0].upper() + view.title[1:])}</strong></p><p class="ek-meta">{facts}</p>'
    asked = "".join(
        f"<p><strong>{escape(name)}</strong></p>{markdown(text[:_MOST])}" for name, text in view.asked
    )
    if asked:
        top += f"<details><summary>What the case asks and expects</summary>{asked}</details>"
    source = f'<p class="ek-meta">From <code>{escape(view.source)}</code></p>' if view.source else ""
    return Html(
        f'<div class="ek ek-transcript">{top}<div class="ek-columns">'
        f'<ol class="ek-messages">{messages or "<li>No messages and no output were recorded.</li>"}</ol>'
        f'<ul class="ek-scores">{scores or "<li>No judgements were recorded.</li>"}</ul></div>{source}</div>'
    )


def style() -> str:
    """Return the style sheet of the transcript."""
    return _style("transcript_reading")


# Which trial


def _check(evals: Evals, run: str, case: str, epoch: int) -> None:
    attempts = pl.concat([some_of(frame, "run", "case", "epoch") for frame in (evals.trials, evals.scores)])
    found = attempts
    for name, value in (("run", run), ("case", case), ("epoch", epoch)):
        have = found[name].unique().cast(pl.String).sort().to_list()
        found = found.filter(pl.col(name) == value)
        if found.is_empty():
            place = {"run": "", "case": f" in run {run!r}", "epoch": f" of case {case!r} in run {run!r}"}[
                name
            ]
            error = SelectorError.unknown(str(value), kind=name, have=have)
            raise SelectorError(str(error).replace(f"{str(value)!r}.", f"{str(value)!r}{place}.", 1))


def _first(frame: pl.DataFrame) -> dict[str, Any]:
    return frame.row(0, named=True) if frame.height else {}


def _where(row: dict[str, Any]) -> str:
    source, line = row.get("source"), row.get("line")
    return f"{source}:{line}" if source and line else str(source or "")


def _facts(trial: dict[str, Any], run: dict[str, Any]) -> tuple[str, ...]:
    facts = [str(run[name]) for name in ("agent", "agent_version", "model") if run.get(name)]
    if trial.get("stop_reason"):
        facts.append(f"stopped: {trial['stop_reason']}")
    if trial.get("input_tokens") is not None and trial.get("output_tokens") is not None:
        facts.append(f"{trial['input_tokens']:,} tokens in, {trial['output_tokens']:,} out")
    if trial.get("latency_s") is not None:
        facts.append(f"{trial['latency_s']:.1f} s")
    if trial.get("cost_usd") is not None:
        facts.append(f"${trial['cost_usd']:.4f}")
    return tuple(facts)


# Shown


def _who(judgement: Judgement) -> tuple[str, str]:
    return judgement.criterion, judgement.grader


def _judgements_html(samples: list[Judgement]) -> str:
    """Return what one grader said of one criterion: the first sample, the others folded."""
    first, *others = samples
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


def _reason_html(judgement: Judgement) -> str:
    rationale = f"<div>{markdown(judgement.rationale)}</div>" if judgement.rationale else ""
    if not judgement.evidence:
        return rationale
    return f"{rationale}<blockquote>Quoted: <q>{escape(judgement.evidence)}</q></blockquote>"


def _cut(text: str) -> str:
    if len(text) <= _MOST:
        return text
    return f"{text[:_MOST]}\n… {plural(len(text) - _MOST, 'more character')} not shown; the source has all."


def _part_html(part: Part, evidence: Sequence[str]) -> str:
    text = _cut(part.text)
    made = markdown(text) if part.style == "markdown" else plain(text)
    html = mark(made, evidence)
    if not part.summary:
        return html
    # A quotation that nobody can see marks nothing.
    opened = " open" if html != made else ""
    return f"<details{opened}><summary>{escape(part.summary)}</summary>{html}</details>"


def _plain_part(part: Part, evidence: Sequence[str], *, tree: bool) -> dict[str, Any]:
    cut = pieces(part.text[:_MOST], evidence)
    made = {
        "summary": visible(part.summary),
        "open": any(quoted for _, quoted in cut),
        "pieces": cut,
        "left": max(0, len(part.text) - _MOST),
    }
    if tree and part.style == "markdown":
        made["tree"] = to_tree(mark(markdown(part.text[:_MOST]), evidence))
    return made


def _plain_judgement(judgement: Judgement, messages: Sequence[Message]) -> dict[str, Any]:
    words = {name: visible(str(getattr(judgement, name))) for name in ("score", "rationale", "evidence")}
    at = None
    if judgement.evidence:
        # Which message holds the quotation; where none does, the reader is told.
        texts = (visible("\n".join(part.text for part in message.parts)) for message in messages)
        at = next((i for i, text in enumerate(texts) if holds_quote(text, judgement.evidence)), None)
    return {**words, "sample": judgement.sample, "at": at}
