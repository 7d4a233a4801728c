"""How many cases, epochs and judge samples it takes to see a difference, and what that costs."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.compare.pilot_study import Pilot, find_pilot
from evalkit.compare.variance import find_costs
from evalkit.grading.pass_rule import DEFAULT_RULE, PassRule
from evalkit.util.arguments import expect
from evalkit.util.errors import FormatError
from evalkit.util.words import join_words, plural, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import altair as alt

    from evalkit.compare.estimates import Metric
    from evalkit.compare.pairs import Selector
    from evalkit.data.evals import Evals

TABLE: Final[dict[str, Any]] = {
    "option": pl.String(),
    "cases": pl.Int64(),
    "epochs": pl.Float64(),
    "samples": pl.Float64(),
    "mde": pl.Float64(),
    "power": pl.Float64(),
    "price_usd": pl.Float64(),
    "method": pl.String(),
    "reason": pl.String(),
}
CURVE: Final[dict[str, Any]] = {
    "n": pl.Int64(),
    "k": pl.Float64(),
    "difference": pl.Float64(),
    "power": pl.Float64(),
}
_SIZES: Final[dict[str, tuple[float, ...]]] = {
    "pass_rate": (0.05, 0.1, 0.2),
    "mean_score": (0.1, 0.25, 0.5),
}
_MOST_EPOCHS: Final = 50
_MOST_SAMPLES: Final = 20


@dataclass(frozen=True, eq=False, repr=False)
class Plan:
    """What `plan` found.

    Attributes
    ----------
    metric, difference, margin, power, alpha
        What was asked.
    pairs
        The pairs (baseline, candidate) whose data the plan rests on.
    mde
        The least true difference that the design in hand sees with the power asked for (a share, or score points).
    table
        polars frame, a row for each option, the design in hand first: `option`, `cases`, `epochs`, `samples` (trials a
        case and judgements a trial, on each side; null where no number is enough), `mde`, `power` (of seeing
        `difference`, or of concluding "no worse than `margin`" of versions that are alike), `price_usd` (both sides,
        the whole design), `method`, `reason`.
    curve
        polars frame `n` (cases), `k` (epochs), `difference` (or the margin), `power`.
    pilot
        The variances behind it; None where they could not be estimated.
    status, reason
        "not_estimable" and why.
    notes
        Sentences: what was assumed.
    sentence
        The answer in words.
    """

    metric: Metric
    difference: float | None
    margin: float | None
    power: float
    alpha: float
    pairs: tuple[tuple[str, str], ...]
    mde: float | None
    table: pl.DataFrame
    curve: pl.DataFrame
    pilot: Pilot | None
    status: str
    reason: str
    notes: tuple[str, ...]
    sentence: str

    def to_frame(self) -> pl.DataFrame:
        """Return `table`."""
        return self.table

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON."""
        names = ("metric", "difference", "margin", "power", "alpha", "mde", "status", "reason", "sentence")
        return {
            **{name: getattr(self, name) for name in names},
            "pairs": [list(pair) for pair in self.pairs],
            "notes": list(self.notes),
            "table": self.table.to_dicts(),
            "curve": self.curve.to_dicts(),
        }

    def explain(self) -> str:
        """Return a paragraph for somebody who does not read tables."""
        return printable(" ".join([self.sentence, *self.notes]))

    def chart(self) -> alt.TopLevelMixin:
        """Draw the power by number of cases, a line for each true difference, at the epochs in hand."""
        from evalkit import charts

        at = self.curve.filter(pl.col("k") == pl.col("k").last())
        needed: dict[float, int] = {}
        note = ""
        if self.pilot is not None:
            k, samples = self.pilot.k, self.pilot.samples
            rows = []
            for size in at["difference"].unique().to_list():
                one = _Asked(self.pilot, size, self.margin is not None, self.power, self.alpha, None, None)
                n = needed[size] = one.cases(k, samples)
                if n <= at["n"].max():  # type: ignore[operator]
                    rows.append((n, k, size, one.chance(n, k, samples)))
            solved = pl.DataFrame(rows, schema=CURVE, orient="row")
            at = pl.concat([at, solved]).unique(["n", "difference"], keep="last").sort("difference", "n")
            note = _step(self.table["method"][0])
        return charts.power(
            at, target=self.power, points=self.metric == "pass_rate", needed=needed, note=note
        )

    def __repr__(self) -> str:
        return printable("\n".join([self.sentence, *(f"  {note}" for note in self.notes)]))

    def _repr_html_(self) -> str:
        heads = ("option", "cases", "epochs", "samples", "least difference seen", "power", "price", "method")
        head = "".join(f"<th scope='col' style='text-align:left'>{text}</th>" for text in heads)
        body = "".join(
            "<tr>"
            + "".join(f"<td style='text-align:left'>{html.escape(text)}</td>" for text in self._cells(row))
            + "</tr>"
            for row in self.table.iter_rows(named=True)
        )
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return (
            f"<p><strong>{html.escape(self.sentence)}</strong></p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            + (f"<ul>{notes}</ul>" if notes else "")
        )

    def _cells(self, row: dict[str, Any]) -> list[str]:
        return [
            row["option"],
            *("" if row[name] is None else f"{row[name]:.4g}" for name in ("cases", "epochs", "samples")),
            _size(row["mde"], self.metric) if row["mde"] is not None else "",
            "" if row["power"] is None else f"{row['power']:.0%}",
            _money(row["price_usd"]),
            row["reason"] or row["method"],
        ]


def plan(
    evals: Evals,
    *,
    baseline: Selector | None = None,
    candidate: Selector | None = None,
    difference: float | None = None,
    metric: Metric = "pass_rate",
    power: float = 0.8,
    alpha: float = 0.05,
    margin: float | Mapping[str, float] | None = None,
    rule: PassRule = DEFAULT_RULE,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
) -> Plan:
    """Say what the data in hand can show, and what it takes to show more.

    Parameters
    ----------
    evals
        The data in hand: what they say about how much cases, trials and judgements vary is what the plan rests on.
    baseline, candidate
        The sides, as for `evalkit.compare`. Without them the variances are averaged over versions that follow each
        other.
    difference
        The true difference that should be seen: 0.05 is 5 points of the pass rate.
    metric
        "pass_rate" or "mean_score" (in the scores' units).
    power, alpha
        Chance of seeing it, and two-sided chance of a false alarm (one-sided for a margin).
    margin
        Instead of `difference`: the largest loss that would not matter, as a number or by metric as for `compare`.
        What is planned then is "no worse than the margin", of versions that are alike.
    rule, grader, rubric
        As for `evalkit.grade`.

    Returns
    -------
    Plan

    Raises
    ------
    FormatError
        A difference or margin that no design could show, both of them, or a power or alpha outside 0 to 1.
    SelectorError
        A side is not there, or the sides are the same.

    Notes
    -----
    n = (z_{a/2} + z_b)^2 (omega^2 + (run + judge/S)/K) / difference^2, the variances summed over both sides: Miller
    (2024) arXiv 2411.00640, with two cases more below 30. Single runs of pass or fail with up to 200 cases: the exact
    power of McNemar's mid-p test, or of Tango's score test for a margin.

    Examples
    --------
    >>> import evalkit as ek
    >>> needed = ek.plan(ek.demo.make(), baseline="v2", candidate="v3", difference=0.1)
    >>> print(needed.sentence)
    With the 9 cases at 5.93 epochs in hand a true difference of 36.5 points of the pass rate would be seen with 80% power, ...
    >>> needed.table.filter(option="more cases")["cases"].item()
    94
    """
    expect(plan, locals())
    target = _check(difference, margin, metric)
    bound = target if margin is not None else None
    pilot, pairs, notes = find_pilot(
        evals, baseline, candidate, metric=metric, rule=rule, grader=grader, rubric=rubric
    )
    agent, judge, prices = find_costs(evals)
    notes = [*notes, *([] if agent is None and judge is None else prices)]
    asked = _Asked(pilot, target, bound is not None, power, alpha, agent, judge) if pilot else None
    rows = [] if asked is None else [*_in_hand(asked), *_options(asked)]
    table = pl.DataFrame(rows, schema=TABLE)
    mde = table["mde"][0] if rows else None
    reason = "" if pilot else notes[0]
    return Plan(
        metric=metric,
        difference=difference,
        margin=bound,
        power=power,
        alpha=alpha,
        pairs=tuple(pairs),
        mde=mde,
        table=table,
        curve=pl.DataFrame([] if asked is None else _curve(asked, metric), schema=CURVE, orient="row"),
        pilot=pilot,
        status="ok" if pilot else "not_estimable",
        reason=reason,
        notes=tuple(notes if pilot else notes[1:]),
        sentence=_sentence(asked, table, metric) if asked else f"Nothing can be planned. {reason}",
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """A pilot and what is asked of it."""

    pilot: Pilot
    target: float | None
    no_worse: bool
    power: float
    alpha: float
    agent: float | None
    judge: float | None

    def chance(self, n: float, k: float, samples: float) -> float | None:
        if self.target is None:
            return None
        if self.no_worse:
            return self.pilot.assurance(self.target, n, k, samples, alpha=self.alpha)
        return self.pilot.power(self.target, n, k, samples, alpha=self.alpha)

    def cases(self, k: float, samples: float) -> int:
        target, rates = self.target or 0.0, {"alpha": self.alpha, "power": self.power}
        if self.no_worse:
            return self.pilot.cases_for_margin(target, k, samples, **rates)
        return self.pilot.cases(target, k, samples, **rates)

    def row(self, option: str, n: int, k: float, samples: float) -> dict[str, Any]:
        price = None
        if self.agent is not None or self.judge is not None:
            price = 2 * n * k * ((self.agent or 0.0) + samples * (self.judge or 0.0))
        plural = "Tango, exact" if self.no_worse else "McNemar mid-p, exact"
        return {
            "option": option,
            "cases": n,
            "epochs": k,
            "samples": samples,
            "mde": self.pilot.least(n, k, samples, alpha=self.alpha, power=self.power),
            "power": self.chance(n, k, samples),
            "price_usd": price,
            "method": plural if self.pilot.is_counted(n, k) else "normal approximation",
            "reason": "",
        }


def _check(
    difference: float | None,
    margin: float | Mapping[str, float] | None,
    metric: str,
) -> float | None:
    """Return the difference or margin as a positive number."""
    if margin is not None and difference is not None:
        raise FormatError(
            "A plan is for a difference to be seen or for a margin to be kept; give one of them."
        )
    if isinstance(margin, Mapping):
        if metric not in margin:
            raise FormatError(f"margin names {join_words(margin)}; the plan is for {metric}.")
        margin = margin[metric]
    if margin is not None and margin <= 0:
        raise FormatError(f"margin is {margin!r}; it is a loss above 0 (0.05 is 5 points).")
    target = margin if margin is not None else difference
    if target is None:
        return None
    if target == 0 or (metric == "pass_rate" and abs(target) >= 1):
        raise FormatError(
            f"difference is {target!r}; it is not 0, and for pass rates below 1 (0.05 is 5 points)."
        )
    return abs(target)


def _in_hand(asked: _Asked) -> list[dict[str, Any]]:
    pilot = asked.pilot
    first = asked.row("in hand", pilot.n, pilot.k, pilot.samples)
    if first["mde"] is None:
        first["reason"] = "too few cases for any difference to be seen"
    return [first]


def _options(asked: _Asked) -> list[dict[str, Any]]:
    """Return what to do: more cases, epochs, samples; to reach the target, or just twice of each."""
    pilot = asked.pilot
    n, k, s = pilot.n, pilot.k, pilot.samples
    if asked.target is None:
        rows = [asked.row("twice the cases", 2 * n, k, s), asked.row("four times the cases", 4 * n, k, s)]
        if pilot.runs_known:
            rows.append(asked.row("twice the epochs", n, 2 * k, s))
        if pilot.judge_known:
            rows.append(asked.row("twice the judge samples", n, k, 2 * s))
        return rows
    rows = [asked.row("more cases", asked.cases(k, s), k, s)]
    if pilot.runs_known:
        rows += [
            asked.row(f"cases at {plural(epochs, 'epoch')}", asked.cases(epochs, s), epochs, s)
            for epochs in (1, 3, 10)
            if abs(epochs - k) > 0.5
        ]
        rows.append(_grown(asked, "more epochs", "epochs", _MOST_EPOCHS))
    if pilot.judge_known:
        rows.append(_grown(asked, "more judge samples", "samples", _MOST_SAMPLES))
    return rows


def _grown(asked: _Asked, option: str, what: str, most: int) -> dict[str, Any]:
    """Return the fewest epochs, or judge samples, that are enough for the cases in hand."""
    pilot = asked.pilot
    now = pilot.k if what == "epochs" else pilot.samples

    def made(count: float) -> dict[str, Any]:
        design = (count, pilot.samples) if what == "epochs" else (pilot.k, count)
        return asked.row(option, pilot.n, *design)

    low, high = int(now), most
    if (made(high)["power"] or 0.0) < asked.power:
        row = made(high)
        kept = {"option": option, "cases": pilot.n, "epochs": pilot.k, "samples": pilot.samples, what: None}
        words = f"not even {most:,} {'epochs' if what == 'epochs' else 'judge samples'} are enough without new cases"
        return {**row, **kept, "price_usd": None, "reason": words}
    if (made(now)["power"] or 0.0) >= asked.power:
        return {**made(now), "reason": "enough already"}
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if (made(middle)["power"] or 0.0) >= asked.power else (middle, high)
    return made(high)


def _curve(asked: _Asked, metric: Metric) -> list[tuple[int, float, float, float]]:
    pilot = asked.pilot
    sizes = {asked.target} if asked.no_worse else {*_SIZES[metric], asked.target}
    known = sorted(size for size in sizes if size is not None)
    epochs = sorted({1.0, pilot.k}) if pilot.runs_known else [pilot.k]
    # The epochs in hand come last: they are what the chart draws.
    epochs = [k for k in epochs if k != pilot.k] + [pilot.k]
    middle = asked.target if asked.target is not None else known[len(known) // 2]
    one = _Asked(pilot, middle, asked.no_worse, asked.power, asked.alpha, None, None)
    reach = min(20_000, max(2 * one.cases(pilot.k, pilot.samples), 2 * pilot.n, 40))
    grid = {round(10 * (reach / 10) ** (step / 24)) for step in range(25)} | {pilot.n}
    rows = []
    for k in epochs:
        for size in known:
            each = _Asked(pilot, size, asked.no_worse, asked.power, asked.alpha, None, None)
            for n in sorted(grid):
                chance = each.chance(n, k, pilot.samples)
                if chance is not None:
                    rows.append((n, k, size, chance))
    return rows


def _step(method: str) -> str:
    """Return why the lines of the chart have a step."""
    if "exact" in method:
        return "Up to 200 cases the exact power, which moves in steps; above it the normal approximation"
    return (
        "The step at 30 cases: below it two cases are taken off, the normal approximation being too hopeful"
    )


def _sentence(asked: _Asked, table: pl.DataFrame, metric: Metric) -> str:
    first = table.row(0, named=True)
    what = metric.replace("_", " ")
    design = f"{plural(first['cases'], 'case')} at {first['epochs']:.3g} {'epoch' if first['epochs'] == 1 else 'epochs'}"
    if first["mde"] is None:
        text = f"With the {design} in hand no difference of the {what} would be seen with {asked.power:.0%} power."
    else:
        text = f"With the {design} in hand a true difference of {_size(first['mde'], metric)} of the {what} would be seen with {asked.power:.0%} power, a smaller one less often."
    if asked.target is None:
        return printable(text)
    size = _size(asked.target, metric)
    if asked.no_worse:
        text = f'With the {design} in hand "no worse by {size}" of the {what} would be concluded of versions that are alike with {first["power"] or 0.0:.0%} probability.'
    elif (first["power"] or 0.0) >= asked.power:
        return printable(f"{text} One of {size} is within reach ({first['power']:.0%} power).")
    more = table.filter(option="more cases").row(0, named=True)
    price = f" (about {_money(more['price_usd'])} for both sides)" if more["price_usd"] is not None else ""
    goal = f"For {asked.power:.0%} it" if asked.no_worse else f"One of {size}"
    text += f" {goal} takes {plural(more['cases'], 'case')} at the same epochs{price}."
    others = [
        row["reason"].removesuffix(" without new cases")
        or (
            f"{row['epochs']:g} epochs would do"
            if row["option"] == "more epochs"
            else f"{row['samples']:g} judge samples would do"
        )
        for row in table.iter_rows(named=True)
        if row["option"] in ("more epochs", "more judge samples")
    ]
    words = "; ".join(others).replace(" are enough; not even ", " or ")
    return printable(f"{text} With the cases in hand {words}." if words else text)


def _size(value: float, metric: Metric) -> str:
    return f"{value * 100:.1f} points" if metric == "pass_rate" else f"{value:.2f}"


def _money(value: float | None) -> str:
    if value is None:
        return ""
    return f"${value:,.2f}" if value >= 0.01 else f"${value:.2g}"
