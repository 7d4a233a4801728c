"""Plan judging requests: each trial by each criterion and sample, without existing scores."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from evalkit.data.evals import to_polars
from evalkit.data.schema import SCORES, TRIAL_KEY
from evalkit.judging.prechecks import find_precheck
from evalkit.judging.prompts import Expectation, field_names, make_format, make_messages, valid_scores
from evalkit.judging.request_details import CriterionSpec, RequestDetails, make_request
from evalkit.judging.rubric_source import RubricSource, rubric_hashes
from evalkit.judging.score_rows import key_columns, precheck_rows, score_key
from evalkit.judging.transcript_prompt import read_trials, write_transcript
from evalkit.util.errors import ColumnError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.data.evals import Evals
    from evalkit.data.suite import Criterion
    from evalkit.judging.prompt_injection import Fence
    from evalkit.judging.settings import JudgeSettings
    from evalkit.judging.transcript_prompt import PromptTranscript, Trial
    from evalkit.llm.requests import Request

_TrialKey = tuple[str, str, int]


@dataclass(slots=True)
class JudgingPlan:
    """The requests of a judge, and what needs none.

    Attributes
    ----------
    requests
        One per judgement; in the mode `all`, one per trial and sample.
    precheck_rows
        Score rows of answers that are not sent.
    done
        The number of existing scores of this grader and wording.
    other_prompt
        How many of them have another `prompt_hash`.
    empty
        The number of trials without a transcript and an output.
    """

    requests: list[Request] = field(default_factory=list)
    precheck_rows: list[dict[str, Any]] = field(default_factory=list)
    done: int = 0
    other_prompt: int = 0
    empty: int = 0
    redacted: Counter[str] = field(default_factory=Counter)
    redacted_trials: int = 0
    cut: int = 0
    not_sent: Counter[str] = field(default_factory=Counter)

    def count(self, transcript: PromptTranscript) -> None:
        """Add the counts of one transcript."""
        self.redacted.update(transcript.redacted)
        self.redacted_trials += bool(transcript.redacted)
        self.cut += bool(transcript.cut_tokens)
        self.not_sent.update(transcript.not_sent)


def plan_requests(judge: JudgeSettings, evals: Evals, *, only: Any = None) -> JudgingPlan:
    """Return the requests of a judge for some evaluations.

    Parameters
    ----------
    judge, evals
        The judge and the trials.
    only
        As for `Judge.run`.
    """
    chosen = _choose_trials(evals, only)
    suites = {run: suite or "" for run, suite in evals.runs.select("run", "suite").iter_rows()}
    trials = read_trials(evals if only is None else _keep_trials(evals, chosen))
    plan = JudgingPlan(empty=len(chosen - {trial.key for trial in trials}))
    source, existing = RubricSource(judge, evals), _existing_scores(evals, judge.grader)
    for trial in trials:
        if trial.key in chosen:
            _TrialPlanner(judge, trial, source, suites.get(trial.key[0], "")).add_to(plan, existing)
    return plan


class _TrialPlanner:
    """The requests of one trial."""

    def __init__(self, judge: JudgeSettings, trial: Trial, source: RubricSource, suite: str) -> None:
        self._judge = judge
        self._trial = trial
        self._criteria = source.criteria(suite)
        self._expected = source.expectation(suite, trial.key[1])
        self._hashes = rubric_hashes(self._criteria, self._expected)
        self._transcript: PromptTranscript | None = None
        self._prompts: dict[tuple[str, ...], tuple[list[dict[str, str]], Fence]] = {}

    def add_to(self, plan: JudgingPlan, existing: dict[tuple[Any, ...], str | None]) -> None:
        judge, expected = self._judge, self._expected
        precheck = find_precheck(
            self._trial,
            min_chars=judge.min_answer_chars,
            expected=expected.words if judge.match_facts else None,
        )
        for group in [self._criteria] if judge.mode == "all" else [[one] for one in self._criteria]:
            for sample in range(1, judge.samples + 1):
                details = self._details(group, sample)
                keys = [score_key(key_columns(details, spec)) for spec in details.criteria]
                if all(key in existing for key in keys):
                    plan.done += len(keys)
                    plan.other_prompt += sum(existing[key] not in (None, judge.prompt_hash) for key in keys)
                elif not precheck:
                    plan.requests.append(self._request(plan, group, sample))
                elif sample == 1:
                    plan.precheck_rows += precheck_rows(details, *precheck)

    def _request(self, plan: JudgingPlan, group: Sequence[Criterion], sample: int) -> Request:
        judge, expected = self._judge, self._expected
        if self._transcript is None:
            self._transcript = write_transcript(
                self._trial,
                max_tokens=judge.max_transcript_tokens,
                redacts=judge.redacts,
                patterns=judge.patterns,
                beside=(expected.task, expected.ideal_behavior, expected.points),
            )
            plan.count(self._transcript)
        transcript, ordered = self._transcript, list(group)
        if len(ordered) > 1:
            random.Random(f"{judge.seed} {self._trial.key} {sample}").shuffle(ordered)  # noqa: S311
        names = tuple(criterion.name for criterion in ordered)
        if names not in self._prompts:
            # Samples share their messages.
            self._prompts[names] = make_messages(ordered, Expectation(*transcript.beside), transcript.lines)
        messages, fence = self._prompts[names]
        details = msgspec.structs.replace(
            self._details(ordered, sample),
            canary=fence.canary if judge.checks_canary else "",
            decoy=fence.decoy,
            redacted=transcript.redacted,
            cut_tokens=transcript.cut_tokens,
            not_sent=transcript.not_sent,
        )
        body: dict[str, Any] = {
            "model": judge.model,
            "messages": messages,
            "response_format": make_format(ordered, strict=judge.is_strict),
            "seed": details.seed,
            "max_completion_tokens": judge.max_tokens,
        }
        if judge.temperature not in (None, judge.endpoint.own_temperature):
            body["temperature"] = judge.temperature
        if judge.effort is not None:
            body["reasoning_effort"] = judge.effort
        return make_request(details, body)

    def _details(self, group: Sequence[Criterion], sample: int) -> RequestDetails:
        judge = self._judge
        run, case, epoch = self._trial.key
        fields = field_names(group) if len(group) > 1 else [""]
        return RequestDetails(
            run=run,
            case=case,
            epoch=epoch,
            sample=sample,
            seed=judge.seed + sample - 1,
            grader=judge.grader,
            model=judge.model,
            provider=judge.endpoint.name,
            prompt_hash=judge.prompt_hash,
            criteria=tuple(
                CriterionSpec(one.name, self._hashes[one.name], name, one.scale, valid_scores(one))
                for one, name in zip(group, fields, strict=True)
            ),
            canary="",
            decoy="",
            binary=tuple(one.name for one in group if one.kind == "binary"),
            effort=judge.effort,
            temperature=judge.temperature,
        )


def _choose_trials(evals: Evals, only: Any) -> set[_TrialKey]:
    attempts = evals.attempts()
    if only is None or isinstance(only, pl.Expr):
        chosen = attempts if only is None else attempts.filter(only)
        return set(chosen.select(TRIAL_KEY).iter_rows())
    frame = to_polars(only)
    for name in TRIAL_KEY:
        if name not in frame.columns:
            raise ColumnError.missing(name, table="only", have=frame.columns)
    return {(str(run), str(case), int(epoch)) for run, case, epoch in frame.select(TRIAL_KEY).iter_rows()}


def _keep_trials(evals: Evals, chosen: set[_TrialKey]) -> Evals:
    """Drop the transcripts of other trials, which need not be read."""
    schema = dict(zip(TRIAL_KEY, (pl.String, pl.String, pl.Int64), strict=True))
    keys = pl.DataFrame(list(chosen), schema=schema, orient="row").cast(
        {name: evals.trials.schema[name] for name in TRIAL_KEY}, strict=False
    )
    tables = {
        name: getattr(evals, name).join(keys, on=TRIAL_KEY, how="semi", maintain_order="left")
        for name in ("trials", "turns")
    }
    return replace(evals, **tables)


def _existing_scores(evals: Evals, grader: str) -> dict[tuple[Any, ...], str | None]:
    """Return the `prompt_hash` of each score of a grader, by its key."""
    scores = evals.scores.filter(pl.col("grader") == grader, pl.col("score").is_not_null())
    return {row[:-1]: row[-1] for row in scores.select(*SCORES.key, "prompt_hash").iter_rows()}
