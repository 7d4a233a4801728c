"""What is to be judged, as requests: every trial by every criterion as often as asked, but for what is there already."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from evalkit.data.schema import TRIAL_KEY
from evalkit.data.suite import Criterion, Rubric, Suite, rubric_hash
from evalkit.judging.parse_reply import Asked
from evalkit.judging.prompts import Expectation, make_format, make_messages, names_of, points_of
from evalkit.judging.transcript_prompt import find_fault, show, trials_of
from evalkit.llm.requests import Request, canonical, custom_id
from evalkit.util.errors import ColumnError, FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evalkit.data.evals import Evals
    from evalkit.judging.prompt_injection import Fence
    from evalkit.judging.settings import JudgeSettings
    from evalkit.judging.transcript_prompt import Shown, Trial

MOST_TRIES: Final = 3
"""How often one judgement is asked for while its answers cannot be read."""

# Apart enough that no sample of one try has the seed of a sample of another.
_SEEDS_A_TRY: Final = 10_000

PASS_FAIL: Final = Criterion(
    name="Pass / Fail",
    description=(
        "Does the attempt do what is expected in this case? It passes when it does what the reference says, point by "
        "point as far as the points can be checked; it fails when it does not, or when that cannot be seen."
    ),
    anchors={
        0: "Fail: something that is expected is missing or wrong.",
        1: "Pass: all that is expected is there.",
    },
    scale=(0.0, 1.0),
    kind="binary",
)
"""The one question of the mode `binary`, as the page of a suite asks it."""


class About(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that has to be known to make score rows of a reply: it travels with the request and is never sent.

    It holds nothing of the transcript, so that a journal may be kept and shown.
    """

    run: str
    case: str
    epoch: int
    sample: int
    seed: int
    grader: str
    model: str
    provider: str
    prompt_hash: str
    asked: tuple[Asked, ...]
    canary: str
    decoy: str
    binary: tuple[str, ...] = ()
    effort: str | None = None
    temperature: float | None = None
    tries: int = 1
    masked: dict[str, int] = {}
    left_out: int = 0
    not_sent: tuple[str, ...] = ()
    # What earlier tries of the same judgement used.
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0

    def encode(self) -> dict[str, Any]:
        """Return it as plain data."""
        made: dict[str, Any] = msgspec.to_builtins(self)
        return {"what": "judgement", **made}


def about(request: Request) -> About | None:
    """Return what a request is about; None where it asks for no judgement."""
    if request.about.get("what") != "judgement":
        return None
    return msgspec.convert({k: v for k, v in request.about.items() if k != "what"}, About)


@dataclass(slots=True)
class Questions:
    """What there is to ask.

    Attributes
    ----------
    requests
        One for each judgement (in the mode `all`: for each trial and sample).
    faults
        What needs no judge: (about, word, sentence).
    done
        How many scores are there already, by this grader and these words.
    other_prompt
        How many of those were asked for in other words than this judge would use.
    empty
        Trials of which nothing is there to be judged.
    """

    requests: list[Request] = field(default_factory=list)
    faults: list[tuple[About, str, str]] = field(default_factory=list)
    done: int = 0
    other_prompt: int = 0
    empty: int = 0
    masked: Counter[str] = field(default_factory=Counter)
    masked_trials: int = 0
    left_out: int = 0
    not_sent: Counter[str] = field(default_factory=Counter)


def make_questions(judge: JudgeSettings, evals: Evals, *, only: Any = None) -> Questions:
    """Return what a judge has to be asked about these evaluations.

    Parameters
    ----------
    judge, evals
        Who judges what.
    only
        Which trials: a frame with `run`, `case`, `epoch` (such as rows of what `grade` returns), or a polars
        expression over `Evals.attempts()`. None: all.
    """
    wanted = _chosen(evals, only)
    suites = {run: suite or "" for run, suite in evals.runs.select("run", "suite").iter_rows()}
    book = _Book(judge, evals)
    have = _judged(evals, judge.grader)
    made = Questions()
    trials = trials_of(evals if wanted is None else _narrowed(evals, wanted))
    known = {trial.key for trial in trials}
    asked_for = set(evals.attempts().select(TRIAL_KEY).iter_rows()) if wanted is None else wanted
    made.empty = len(asked_for - known)
    for trial in trials:
        if trial.key not in asked_for:
            continue
        _ask_about(judge, trial, book, suites.get(trial.key[0], ""), have, made)
    return made


def rubric_of(evals: Evals) -> Rubric:
    """Return the criteria that were loaded as a rubric.

    Raises
    ------
    FormatError
        There are none, they are of several suites, or one has no declared scale.
    """
    suites = evals.criteria["suite"].cast(pl.String).unique().to_list()
    if len(suites) != 1:
        found = f"of {len(suites)} suites" if suites else "none"
        raise FormatError(
            f"The loaded criteria make no rubric ({found}): name one, ek.Judge(..., rubric='suite.yaml')."
        )
    criteria = [_criterion(row) for row in evals.criteria.iter_rows(named=True)]
    return Rubric(suite=suites[0] or "unnamed", criteria=criteria)


def wordings(judge: JudgeSettings, evals: Evals) -> pl.DataFrame:
    """Return the content hash of what a judge goes by, for each case that was attempted and each criterion.

    Returns
    -------
    polars.DataFrame
        `run`, `case`, `criterion`, `rubric_hash` (str): a score with another hash was given by other words.
    """
    book = _Book(judge, evals)
    asked = evals.attempts().select("run", "suite", "case").unique(maintain_order=True)
    rows = []
    # A case is worded alike for all runs of its suite.
    hashes: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for run, suite, case in asked.iter_rows():
        if (suite, case) not in hashes:
            expected = book.expectation(suite, case)
            words = {"ideal_behavior": expected.ideal_behavior, "expected_rubric": expected.points}
            hashes[suite, case] = [(one.name, rubric_hash(one, **words)) for one in book.criteria(suite)]
        rows += [(run, case, *one) for one in hashes[suite, case]]
    schema = dict.fromkeys(("run", "case", "criterion", "rubric_hash"), pl.String)
    return pl.DataFrame(rows, schema=schema, orient="row")


def ask_again(request: Request, spent: tuple[int, int, float]) -> Request | None:
    """Return the request that asks for the same judgement once more; None where it was asked often enough.

    Another seed gives another sample, and twice the tokens give it room to end. It needs nothing but the
    request, so that a process that finds it in a journal asks the very same.

    Parameters
    ----------
    request
        Whose answer could not be read.
    spent
        Tokens sent and received, and US dollars, for that answer.
    """
    before = about(request)
    if before is None or before.tries >= MOST_TRIES:
        return None
    now = msgspec.structs.replace(
        before,
        tries=before.tries + 1,
        seed=before.seed + _SEEDS_A_TRY,
        input_tokens=before.input_tokens + spent[0],
        output_tokens=before.output_tokens + spent[1],
        cost_usd=before.cost_usd + spent[2],
    )
    body = {**request.body, "seed": now.seed}
    body["max_completion_tokens"] = 2 * int(request.body["max_completion_tokens"])
    return _request(now, body)


class _Book:
    """The criteria and the expectations to go by: of the judge's rubric, else of what was loaded."""

    def __init__(self, judge: JudgeSettings, evals: Evals) -> None:
        self._judge = judge
        self._rubric = judge.rubric
        self._cases = {(r["suite"], r["case"]): r for r in evals.cases.iter_rows(named=True)}
        self._criteria: dict[str, list[Criterion]] = {}
        for row in evals.criteria.iter_rows(named=True):
            self._criteria.setdefault(row["suite"], []).append(_criterion(row))
        self._own: dict[str, Expectation] = {}
        if isinstance(self._rubric, Suite):
            tables = self._rubric.tables()[0]
            self._own = {row["case"]: _expectation(row) for row in tables.iter_rows(named=True)}

    def criteria(self, suite: str) -> list[Criterion]:
        if self._judge.mode == "binary":
            return [PASS_FAIL]
        found = self._rubric.criteria if isinstance(self._rubric, Rubric) else self._criteria.get(suite, [])
        if not found:
            raise FormatError(
                f"There are no criteria for the suite {suite!r}: say by what to judge, as in "
                "ek.Judge(..., rubric=ek.Rubric.read('suite.yaml'))."
            )
        return list(found)

    def expectation(self, suite: str, case: str) -> Expectation:
        if case in self._own:
            return self._own[case]
        row = self._cases.get((suite, case))
        return _expectation(row) if row else Expectation()


def _ask_about(
    judge: JudgeSettings,
    trial: Trial,
    book: _Book,
    suite: str,
    have: dict[tuple[Any, ...], tuple[bool, str | None]],
    made: Questions,
) -> None:
    run, case, epoch = trial.key
    criteria = book.criteria(suite)
    expected = book.expectation(suite, case)
    hashes = {
        c.name: rubric_hash(c, ideal_behavior=expected.ideal_behavior, expected_rubric=expected.points)
        for c in criteria
    }
    fault = find_fault(trial, shortest=judge.shortest, expected=expected.words if judge.match_facts else None)
    shown: Shown | None = None
    prompts: dict[tuple[str, ...], tuple[list[dict[str, str]], Fence]] = {}
    for group in [criteria] if judge.mode == "all" else [[one] for one in criteria]:
        for sample in range(1, judge.samples + 1):
            keys = [(run, case, epoch, c.name, hashes[c.name], sample) for c in group]
            there = [have[key] for key in keys if have.get(key, (False, None))[0]]
            if len(there) == len(keys):
                made.done += len(keys)
                made.other_prompt += sum(prompt not in (None, judge.prompt_hash) for _, prompt in there)
                continue
            if fault:
                if sample == 1:
                    base = _about(judge, trial, group, hashes, sample)
                    made.faults.append((base, *fault))
                continue
            if shown is None:
                shown = show(
                    trial,
                    room=judge.room,
                    masking=judge.masks,
                    patterns=judge.patterns,
                    beside=(expected.task, expected.ideal_behavior, expected.points),
                )
                _count(made, shown)
            ordered = _ordered(judge, trial, group, sample)
            names = tuple(one.name for one in ordered)
            if names not in prompts:
                # Samples of one question share its text: it is written, hashed and held once.
                prompts[names] = make_messages(ordered, Expectation(*shown.beside), shown.lines)
            base = _about(judge, trial, ordered, hashes, sample)
            made.requests.append(_question(judge, base, ordered, *prompts[names], shown))


def _ordered(judge: JudgeSettings, trial: Trial, group: Sequence[Criterion], sample: int) -> list[Criterion]:
    """Return the criteria of one request; where there are several, in another order for each sample."""
    ordered = list(group)
    if len(ordered) > 1:
        random.Random(f"{judge.seed} {trial.key} {sample}").shuffle(ordered)  # noqa: S311  (not a secret)
    return ordered


def _question(
    judge: JudgeSettings,
    base: About,
    ordered: Sequence[Criterion],
    messages: list[dict[str, str]],
    fence: Fence,
    shown: Shown,
) -> Request:
    now = msgspec.structs.replace(
        base,
        canary=fence.canary if judge.copies else "",
        decoy=fence.decoy,
        masked=shown.masked,
        left_out=shown.left_out,
        not_sent=shown.not_sent,
    )
    body: dict[str, Any] = {
        "model": judge.model,
        "messages": messages,
        "response_format": make_format(ordered, strict=judge.strict),
        "seed": now.seed,
        "max_completion_tokens": judge.max_tokens,
    }
    if judge.temperature not in (None, judge.endpoint.own_temperature):
        body["temperature"] = judge.temperature
    if judge.effort is not None:
        body["reasoning_effort"] = judge.effort
    return _request(now, body)


def _about(
    judge: JudgeSettings, trial: Trial, group: Sequence[Criterion], hashes: dict[str, str], sample: int
) -> About:
    keys = names_of(group) if len(group) > 1 else [""]
    asked = tuple(
        Asked(c.name, hashes[c.name], key, c.scale, tuple(points) if (points := points_of(c)) else None)
        for c, key in zip(group, keys, strict=True)
    )
    run, case, epoch = trial.key
    return About(
        run=run,
        case=case,
        epoch=epoch,
        sample=sample,
        seed=judge.seed + sample - 1,
        grader=judge.grader,
        model=judge.model,
        provider=judge.endpoint.name,
        prompt_hash=judge.prompt_hash,
        asked=asked,
        canary="",
        decoy="",
        binary=tuple(c.name for c in group if c.kind == "binary"),
        effort=judge.effort,
        temperature=judge.temperature,
    )


def _request(now: About, body: dict[str, Any]) -> Request:
    names = [(one.criterion, one.rubric_hash) for one in now.asked]
    content = hashlib.sha256(canonical(body)).hexdigest()
    parts = (now.run, now.case, now.epoch, now.sample, now.tries, now.grader, names, content)
    return Request(custom_id(*parts), body, now.encode())


def _chosen(evals: Evals, only: Any) -> set[tuple[str, str, int]] | None:
    if only is None:
        return None
    if isinstance(only, pl.Expr):
        return set(evals.attempts().filter(only).select(TRIAL_KEY).iter_rows())
    from evalkit.data.evals import to_polars

    frame = to_polars(only)
    for name in TRIAL_KEY:
        if name not in frame.columns:
            raise ColumnError.missing(name, table="only", have=frame.columns)
    return {(str(run), str(case), int(epoch)) for run, case, epoch in frame.select(TRIAL_KEY).iter_rows()}


def _narrowed(evals: Evals, wanted: set[tuple[str, str, int]]) -> Evals:
    """Return the evaluations with no other trials to be read than these."""
    keys = pl.DataFrame(
        list(wanted), schema=dict(zip(TRIAL_KEY, (pl.String, pl.String, pl.Int64), strict=True)), orient="row"
    )
    keys = keys.cast({name: evals.trials.schema[name] for name in TRIAL_KEY}, strict=False)
    near = {
        name: getattr(evals, name).join(keys, on=TRIAL_KEY, how="semi", maintain_order="left")
        for name in ("trials", "turns")
    }
    return replace(evals, **near)


def _judged(evals: Evals, grader: str) -> dict[tuple[Any, ...], tuple[bool, str | None]]:
    """Return what this grader has said already: the key of a score, whether there is one, and the prompt's hash."""
    columns = [*TRIAL_KEY, "criterion", "rubric_hash", "sample"]
    mine = evals.scores.filter(pl.col("grader") == grader)
    rows: Iterator[tuple[Any, ...]] = mine.select(
        *columns, pl.col("score").is_not_null(), "prompt_hash"
    ).iter_rows()
    return {row[:-2]: (row[-2], row[-1]) for row in rows}


def _count(made: Questions, shown: Shown) -> None:
    made.masked.update(shown.masked)
    made.masked_trials += bool(shown.masked)
    made.left_out += bool(shown.left_out)
    made.not_sent.update(shown.not_sent)


def _criterion(row: dict[str, Any]) -> Criterion:
    scale = (row["scale_min"], row["scale_max"])
    if None in scale:
        raise FormatError(
            f"The criterion {row['criterion']!r} has no declared scale, so a judge cannot be told what to give: declare it in "
            "the suite, or name a rubric: ek.Judge(..., rubric=...)."
        )
    return Criterion(
        name=row["criterion"],
        description=row["description"] or "",
        anchors=msgspec.json.decode(row["anchors"]) if row["anchors"] else {},
        scale=scale,
        weight=1.0 if row["weight"] is None else row["weight"],
        kind=row["kind"] or "ordinal",
    )


def _expectation(row: dict[str, Any]) -> Expectation:
    # `input` words the mistake: it would tell the judge what to find.
    task = row["prompt"] or ("" if row["ideal_behavior"] else row["input"]) or ""
    return Expectation(task, row["ideal_behavior"] or "", row["expected_rubric"] or "")
