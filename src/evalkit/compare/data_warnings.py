"""Warnings of the data: contradictions, copies, partial logs, scores missing not at random, undeclared directions."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.compare.pairs import SIDES
from evalkit.data.conflicts import INPUT, OUTPUT, plain_case
from evalkit.data.schema import TRIAL_KEY, Key
from evalkit.grading.grade import grade_trial_criteria
from evalkit.util.errors import SelectorError
from evalkit.util.format import p_value, percent
from evalkit.util.notes import Warning
from evalkit.util.words import Option, Sentence, join_words, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from evalkit.compare.pairs import Pairs
    from evalkit.data.evals import Evals
    from evalkit.data.scoring import Scoring

_ALPHA: Final = 0.05
# Fewer trials with a missing score show nothing.
_LEAST: Final = 5
# Cases that are enough to see what missing scores go with.
_SAMPLE: Final = 2000
SEEN: Final = {
    "copies": "W24",
    "partial_log": "W25",
    "total_row": "W26",
}
"""The warning of each kind of note."""
BY_ID: Final = Option("pair_by_id", python="evals.pair_by_id()", shell="--pair-by-id")
_LOWER_NAMES: Final = re.compile(
    r"(?i)(?:^|[^a-z])(?:toxic(?:ity)?|bias|hallucinations?|harm(?:ful(?:ness)?)?|error(?:s|_rate)?|hate|violence|unsafe|risk"
    r"|stereotype|violations?|perplexity|loss|wer|cer|leak(?:age)?)(?:$|[^a-z])"
)


def leave_out_conflicts(evals: Evals, sides: Iterable[Sequence[str]]) -> tuple[Evals, list[Warning]]:
    """Leave out cases whose input, and trials whose output, the sources do not agree on.

    Raises SelectorError if no case is left that all sides have.
    """
    sides = [list(runs) for runs in sides]
    named = {run for runs in sides for run in runs}
    cases: dict[tuple[str, ...], dict[str, set[str]]] = {}
    trials: set[tuple[str, ...]] = set()
    for note in evals.notes:
        if note.kind == OUTPUT:
            trials.update(record[:3] for record in note.records if record[0] in named)
        elif note.kind == INPUT:
            for suite, case, content in note.records:
                by_run = cases.setdefault((suite, case), {})
                for run in named.intersection(note.runs):
                    by_run.setdefault(run, set()).add(content)
    if not (cases or trials):
        return evals, []
    attempts = evals.attempts().filter(pl.col("run").cast(pl.String).is_in(named))
    attempts = attempts.select(pl.col("suite", *TRIAL_KEY).cast(pl.String)).unique()
    here: dict[tuple[str, ...], list[str]] = {}
    for suite, case, run in attempts.select("suite", "case", "run").unique().sort("run").iter_rows():
        here.setdefault((suite, case), []).append(run)
    differing = [
        case
        for case, by_run in cases.items()
        if len({frozenset(by_run.get(run, ())) for run in here.get(case, ())}) > 1
    ]
    shared = {case for case, runs in here.items() if all(set(runs) & set(side) for side in sides)}
    if shared and shared <= set(differing):
        raise SelectorError(
            f"All {plural(len(shared), 'shared case')} have another input on each side ({_names(differing)}).",
            fix=Sentence(
                "Load sources with the same cases, or pair cases by ID alone: {option}.", option=BY_ID
            ),
        )
    out = [list(case) for case in differing]
    gone = attempts.filter(pl.concat_list("suite", "case").is_in(out) if out else pl.lit(value=False)).vstack(
        attempts.filter(pl.concat_list(TRIAL_KEY).is_in([list(trial) for trial in sorted(trials)]))
    )
    if gone.is_empty():
        return evals, []
    keys = gone.select(pl.col("run", "case").cast(Key), pl.col("epoch").cast(pl.Int32)).unique()
    tables: dict[str, Any] = {
        name: getattr(evals, name).join(
            keys if name == "trials" or not evals.is_scanned else keys.lazy(),
            on=TRIAL_KEY,
            how="anti",
            maintain_order="left",
        )
        for name in ("trials", "turns", "scores")
    }
    return replace(evals, **tables), [*_conflict_warnings(differing, sorted(trials))]


def _conflict_warnings(cases: list[tuple[str, ...]], trials: list[tuple[str, ...]]) -> Iterator[Warning]:
    if cases:
        text = f"{plural(len(cases), 'case')} left out, with another input on each side ({_names(cases)})."
        fix = Sentence("If they are the same cases, pair by ID alone: {option}.", option=BY_ID)
        yield Warning("W23", "overall", text, fix)
    if trials:
        text = f"{plural(len(trials), 'trial')} left out: sources hold another output for them ({_names(trials)})."
        yield Warning("W23", "overall", text, "Score the same outputs by every judge.")


def _names(records: Iterable[tuple[str, ...]]) -> str:
    return join_words(dict.fromkeys(record[1] for record in records), limit=4)


def warn_of_sources(evals: Evals, runs: Iterable[str]) -> Iterator[Warning]:
    """Yield W24, W25 and W26 for what the loader saw: copies, partial logs, total rows."""
    named = set(runs)
    for note in evals.notes:
        if note.kind in SEEN and (not note.runs or named.intersection(note.runs)):
            yield Warning(SEEN[note.kind], "overall", str(note))


def describe_lookalikes(unpaired: pl.DataFrame) -> tuple[str, Sentence | str]:
    """Return a sentence on cases of one side whose name looks like one of the other side, and what to do; "" for none."""
    named = unpaired.select("side", pl.col("case").cast(pl.String), plain=plain_case("case"))
    left, right = (named.filter(side=side).select("plain", "case") for side in SIDES)
    alike = left.join(right, on="plain", maintain_order="left").select("case", "case_right").rows()
    if not alike:
        return "", ""
    first, second = alike[0]
    count = plural(len(alike), "pair of them looks", plural="pairs of them look")
    text = f" {count} alike: {first!r} ({_code_points(first)}) and {second!r} ({_code_points(second)})."
    option = Option("normalize_cases", python="evals.normalize_cases()", shell="--normalize-cases")
    return text, Sentence("To pair them: {option}.", option=option)


def _code_points(text: str) -> str:
    return " ".join(f"U+{ord(char):04X}" for char in text[:6]) + (" ..." if len(text) > 6 else "")


def warn_of_directions(evals: Evals, pairs: Pairs) -> Iterator[Warning]:
    """Yield W27 for a criterion whose name says that lower is better, if no direction is declared."""
    used = set(evals.judged.filter(pl.col("run").is_in(pairs.all_runs))["criterion"].cast(pl.String))
    declared = set(evals.criteria.filter(pl.col("direction").is_not_null())["criterion"].cast(pl.String))
    names = sorted(name for name in used - declared if _LOWER_NAMES.search(name))
    if names:
        text = f"Higher counts as better for {join_words(names, limit=4)}, and the name says otherwise."
        fix = "Declare the direction, lower or higher, in the mapping or the suite."
        yield Warning("W27", "overall", text, fix)


def warn_of_missing(evals: Evals, pairs: Pairs, scoring: Scoring) -> Iterator[Warning]:
    """Yield W28 if missing scores go with the version or with the other scores: then leaving them out misleads.

    By version: sign flips of the difference of each case's share of unscored trials. By the other scores: the rate at
    which the present scores pass, of trials with and without a missing one, by sign flips over the cases that have both.
    """
    from evalkit import stats

    sides = pairs.sides
    if sides["unscored"].sum() < _LEAST:
        return
    share = pl.col("unscored").sum() / (pl.col("trials") + pl.col("unscored")).sum()
    cells = sides.group_by("suite", "case", "side").agg(share=share)
    wide = cells.pivot("side", index=["suite", "case"], values="share")
    if set(SIDES) <= set(wide.columns):
        wide = wide.drop_nulls(SIDES).sort(pl.col("suite", "case").cast(pl.String))
        p = stats.sign_flip((wide["candidate"] - wide["baseline"]).to_numpy())
        if p < _ALPHA:
            each = " and ".join(f"{percent(wide[side].mean())} of the {side}" for side in SIDES)  # type: ignore[arg-type]
            text = f"Missing scores go with the version: {each} are unscored ({p_value(p)}, sign flips over cases)."
            yield Warning("W28", "overall", text, "Judge the missing ones before you compare.")
    names = sides["case"].unique().sort()
    if len(names) > _SAMPLE:
        names = names.sample(_SAMPLE, seed=0)
    part = evals.filter(run=pairs.all_runs, case=names)
    rows = grade_trial_criteria(part, scoring)
    trials = rows.group_by("suite", "case", *TRIAL_KEY[::2]).agg(
        lacks=pl.col("score").is_null().any(),
        passes=(pl.col("verdict") == "pass").sum(),
        n=pl.col("score").count(),
    )
    by_case = (
        trials.filter(pl.col("n") > 0)
        .group_by("suite", "case", "lacks")
        .agg(rate=pl.col("passes").sum() / pl.col("n").sum())
    )
    both = by_case.pivot("lacks", index=["suite", "case"], values="rate")
    if {"true", "false"} <= set(both.columns):
        both = both.drop_nulls(["true", "false"]).sort(pl.col("suite", "case").cast(pl.String))
        p = stats.sign_flip((both["true"] - both["false"]).to_numpy()) if both.height else 1.0
        if p < _ALPHA:
            rates = percent(both["true"].mean()), percent(both["false"].mean())
            text = (
                f"Missing scores go with the other scores: beside a missing one {rates[0]} of them pass, "
                f"elsewhere {rates[1]} ({p_value(p)}, sign flips over cases)."
            )
            yield Warning("W28", "overall", text, "Judge the missing ones before you compare.")
