"""Plan an evaluation: cases, epochs, judge samples and their price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.compare.pilot_study import Design, Pilot, find_pilot
from evalkit.compare.results import DescribedResult
from evalkit.compare.variance import find_costs
from evalkit.data.result import plain_data
from evalkit.grading.select_scores import choose_scoring
from evalkit.util import format as fmt
from evalkit.util.arguments import expect
from evalkit.util.errors import FormatError
from evalkit.util.html_table import html_table
from evalkit.util.words import Option, Sentence, join_words, plural, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import altair as alt

    from evalkit.compare.estimates import Metric
    from evalkit.compare.pairs import Selector
    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule
    from evalkit.util.html_table import Html

DESIGNS: Final[dict[str, Any]] = {
    "option": pl.String(),
    "cases": pl.Int64(),
    **dict.fromkeys(("epochs", "samples", "mde", "power", "price_usd"), pl.Float64()),
    **dict.fromkeys(("method", "reason"), pl.String()),
}
CURVE: Final[dict[str, Any]] = {"n": pl.Int64(), **dict.fromkeys(("k", "difference", "power"), pl.Float64())}
HEADS: Final = ("Option", "Cases", "Epochs", "Samples", "Least difference", "Power", "Price", "Method")
_SIZES: Final[dict[str, tuple[float, ...]]] = {"pass_rate": (0.05, 0.1, 0.2), "mean_score": (0.1, 0.25, 0.5)}
_MOST: Final = {"epochs": 50, "samples": 20}
_NAMES: Final = {"epochs": "epochs", "samples": "judge samples"}


@dataclass(frozen=True, eq=False, repr=False)
class Plan(DescribedResult):
    """The result of `plan`.

    Attributes
    ----------
    metric, difference, margin, power, alpha
        The arguments.
    pairs
        The pairs (baseline, candidate) behind the variances.
    mde
        Least true difference that the design at hand detects with this power (a share, or score points).
    table
        polars frame, one row per option, the design at hand first: `option`, `cases`, `epochs`, `samples` (trials per
        case and judgements per trial, on each side; null if no number suffices), `mde`, `power` (to detect
        `difference`, or to conclude "no worse than `margin`" of equal versions), `price_usd` (both sides), `method`,
        `reason`.
    curve
        polars frame `n` (cases), `k` (epochs), `difference` (or the margin), `power`.
    pilot
        The variances; None if not estimable.
    status, reason
        "ok", or "not_estimable" and why.
    notes
        Assumptions.
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
    designs: pl.DataFrame
    curve: pl.DataFrame
    pilot: Pilot | None
    status: str
    reason: str
    notes: tuple[str, ...]
    sentence: str

    @property
    def table(self) -> pl.DataFrame:
        """The options."""
        return self.designs

    def chart(self) -> alt.TopLevelMixin:
        """Plot power by number of cases, one line per true difference."""
        from evalkit import charts

        curve = self.curve.filter(pl.col("k") == pl.col("k").last())
        needed: dict[float, int] = {}
        note = ""
        if self.pilot is not None:
            rows = []
            for size in curve["difference"].unique().to_list():
                goal = _Goal(self.pilot, size, self.margin is not None, self.power, self.alpha)
                n = needed[size] = goal.cases_needed(self.pilot.k, self.pilot.samples)
                if n <= curve["n"].max():  # type: ignore[operator]
                    rows.append((n, self.pilot.k, size, goal.power_of(self.pilot.design._replace(cases=n))))
            solved = pl.DataFrame(rows, schema=CURVE, orient="row")
            curve = (
                pl.concat([curve, solved]).unique(["n", "difference"], keep="last").sort("difference", "n")
            )
            note = "The step at 30 cases: below it, two cases are subtracted to make up for the normal approximation"
            if "exact" in self.designs["method"][0]:
                note = "Up to 200 cases exact power, which moves in steps; above it the normal approximation"
        is_rate = self.metric == "pass_rate"
        return charts.power(curve, target=self.power, points=is_rate, needed=needed, note=note)

    def cells(self) -> list[list[str]]:
        """Return the table as text, under `HEADS`."""
        return [
            [
                row["option"],
                *("" if row[name] is None else f"{row[name]:.4g}" for name in ("cases", "epochs", "samples")),
                "" if row["mde"] is None else _size(row["mde"], self.metric),
                "" if row["power"] is None else fmt.percent(row["power"], 0),
                "" if row["price_usd"] is None else fmt.money(row["price_usd"]),
                row["reason"] or row["method"],
            ]
            for row in self.designs.iter_rows(named=True)
        ]

    def _html_tables(self) -> Iterable[Html]:
        return [html_table(HEADS, self.cells(), numeric=range(1, 7))]

    def _facts(self) -> dict[str, Any]:
        facts = {"table": self.designs, **vars(self)}
        return dict(
            plain_data({name: value for name, value in facts.items() if name not in ("designs", "pilot")})
        )


def plan(
    evals: Evals,
    baseline: Selector | None = None,
    candidate: Selector | None = None,
    *,
    difference: float | None = None,
    metric: Metric = "pass_rate",
    power: float = 0.8,
    alpha: float = 0.05,
    margin: float | Mapping[str, float] | None = None,
    rule: PassRule | None = None,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
) -> Plan:
    """Plan how many cases, epochs and judge samples a comparison needs.

    Parameters
    ----------
    evals
        The data at hand, as a pilot.
    baseline, candidate
        The sides, as for `evalkit.compare`. None: variances are averaged over consecutive versions.
    difference
        True difference to detect: 0.05 is 5 points of the pass rate.
    metric
        "pass_rate" or "mean_score" (in score units).
    power, alpha
        Chance of detecting it, and two-sided chance of a false alarm (one-sided for a margin).
    margin
        Instead of `difference`: the largest acceptable loss, a number or per metric. The plan is then for concluding
        "no worse than the margin" of equal versions.
    rule, grader, rubric
        As for `evalkit.grade`.

    Raises
    ------
    FormatError
        The difference or margin is impossible, or both are given.
    SelectorError
        A side is unknown, or the sides are the same.

    Notes
    -----
    n = (z_{a/2} + z_b)^2 (omega^2 + (run + judge/S)/K) / difference^2, the variances summed over both sides: Miller
    (2024) arXiv 2411.00640, with two cases more below 30. Single runs of pass or fail with up to 200 cases: the exact
    power of McNemar's mid-p test, or of Tango's score test for a margin. Pass rates with several trials: z_{a/2} goes
    with the variance that the interval uses, whose design effect has a floor.

    Examples
    --------
    >>> import evalkit as ek
    >>> needed = ek.plan(ek.demo.make(), "v2", "v3", difference=0.1)
    >>> print(needed.sentence)
    With 9 cases at 5.93 epochs, a true difference of 40.3 points of the pass rate is detected with 80% power, ...
    >>> needed.table.filter(option="more cases")["cases"].item()
    94
    """
    expect(plan, locals(), judged=True)
    target = _check_target(difference, margin, metric)
    scoring = choose_scoring(evals, rule=rule, grader=grader, rubric=rubric)
    pilot, pairs, notes = find_pilot(evals, baseline, candidate, metric, scoring)
    costs = find_costs(evals, scoring)
    goal = _Goal(pilot, target, margin is not None, power, alpha, costs.agent, costs.judge) if pilot else None
    rows = [] if goal is None else [_at_hand(goal), *_alternatives(goal)]
    designs = pl.DataFrame(rows, schema=DESIGNS)
    reason = "" if goal else notes[0]
    notes = [*(notes if goal else notes[1:]), *([costs.note] if costs.is_known and costs.note else [])]
    return Plan(
        metric=metric,
        difference=difference,
        margin=target if margin is not None else None,
        power=power,
        alpha=alpha,
        pairs=tuple(pairs),
        mde=designs["mde"][0] if rows else None,
        designs=designs,
        curve=pl.DataFrame([] if goal is None else _curve(goal, metric), schema=CURVE, orient="row"),
        pilot=pilot,
        status="ok" if pilot else "not_estimable",
        reason=reason,
        notes=tuple(notes),
        sentence=_describe(goal, designs, metric) if goal else f"No plan is possible. {reason}",
    )


@dataclass(frozen=True, slots=True)
class _Goal:
    pilot: Pilot
    target: float | None
    no_worse: bool
    power: float
    alpha: float
    agent_cost: float | None = None
    judge_cost: float | None = None

    def power_of(self, design: Design) -> float | None:
        if self.target is None:
            return None
        return self.pilot.power(self.target, design, alpha=self.alpha, no_worse=self.no_worse)

    def suffices(self, design: Design) -> bool:
        return (self.power_of(design) or 0.0) >= self.power

    def cases_needed(self, k: float, samples: float) -> int:
        rates = {"alpha": self.alpha, "power": self.power}
        return self.pilot.cases_needed(self.target or 0.0, k, samples, **rates, no_worse=self.no_worse)

    def row(self, option: str, design: Design, reason: str = "") -> dict[str, Any]:
        n, k, samples = design
        price = None
        if self.agent_cost is not None or self.judge_cost is not None:
            price = 2 * n * k * ((self.agent_cost or 0.0) + samples * (self.judge_cost or 0.0))
        exact = "Tango, exact" if self.no_worse else "McNemar mid-p, exact"
        return {
            "option": option,
            "cases": n,
            "epochs": k,
            "samples": samples,
            "mde": self.pilot.minimal_difference(design, alpha=self.alpha, power=self.power),
            "power": self.power_of(design),
            "price_usd": price,
            "method": exact if self.pilot.is_exact(design) else "normal approximation",
            "reason": reason,
        }


def _check_target(
    difference: float | None, margin: float | Mapping[str, float] | None, metric: Metric
) -> float | None:
    if margin is not None and difference is not None:
        raise FormatError(
            "A plan is for a difference or for a margin.", argument="margin", fix="Pass one of them."
        )
    if isinstance(margin, Mapping):
        if metric not in margin:
            raise FormatError(
                f"margin names {join_words(margin)}, the plan is for {metric}.", argument="margin"
            )
        margin = margin[metric]
    if margin is not None and margin <= 0:
        raise _invalid("margin", margin, "a loss above 0 (0.05 is 5 points)")
    target = margin if margin is not None else difference
    if target is None:
        return None
    if target == 0 or (metric == "pass_rate" and abs(target) >= 1):
        name = "difference" if margin is None else "margin"
        raise _invalid(name, target, "not 0, and below 1 for pass rates (0.05 is 5 points)")
    return abs(target)


def _invalid(argument: str, value: float, expected: str) -> FormatError:
    what = Sentence("Invalid {option}.", option=Option(argument, value))
    return FormatError(what, argument=argument, value=value, expected=expected)


def _at_hand(goal: _Goal) -> dict[str, Any]:
    row = goal.row("in hand", goal.pilot.design)
    return row | {"reason": "" if row["mde"] is not None else "too few cases to detect any difference"}


def _alternatives(goal: _Goal) -> list[dict[str, Any]]:
    """Return the ways to reach the target; without one, twice of each part."""
    pilot = goal.pilot
    design = n, k, samples = pilot.design
    if goal.target is None:
        doubled = {
            "twice the cases": design._replace(cases=2 * n),
            "four times the cases": design._replace(cases=4 * n),
            **({"twice the epochs": design._replace(epochs=2 * k)} if pilot.runs_known else {}),
            **(
                {"twice the judge samples": design._replace(samples=2 * samples)} if pilot.judge_known else {}
            ),
        }
        return [goal.row(option, other) for option, other in doubled.items()]

    def enough_cases(option: str, epochs: float) -> dict[str, Any]:
        return goal.row(option, Design(goal.cases_needed(epochs, samples), epochs, samples))

    rows = [enough_cases("more cases", k)]
    if pilot.runs_known:
        rows += [
            enough_cases(f"cases at {plural(epochs, 'epoch')}", epochs)
            for epochs in (1, 3, 10)
            if abs(epochs - k) > 0.5
        ]
        rows.append(_fewest(goal, "epochs"))
    if pilot.judge_known:
        rows.append(_fewest(goal, "samples"))
    return rows


def _fewest(goal: _Goal, part: str) -> dict[str, Any]:
    design, option, most = goal.pilot.design, f"more {_NAMES[part]}", _MOST[part]
    if not goal.suffices(design._replace(**{part: most})):
        row = goal.row(option, design._replace(**{part: most}))
        at_hand = {"epochs": design.epochs, "samples": design.samples, part: None}
        return {
            **row,
            **at_hand,
            "price_usd": None,
            "reason": f"not even {most} {_NAMES[part]} suffice",
        }
    if goal.suffices(design):
        return goal.row(option, design, "enough already")
    low, high = int(getattr(design, part)), most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if goal.suffices(design._replace(**{part: middle})) else (middle, high)
    return goal.row(option, design._replace(**{part: high}))


def _curve(goal: _Goal, metric: Metric) -> list[tuple[float, float, float, float]]:
    pilot = goal.pilot
    sizes = {goal.target} if goal.no_worse else {*_SIZES[metric], goal.target}
    known = sorted(size for size in sizes if size is not None)
    # The chart draws the last epochs: those at hand.
    epochs = [1.0, pilot.k] if pilot.runs_known and pilot.k != 1 else [pilot.k]
    goals = {size: _Goal(pilot, size, goal.no_worse, goal.power, goal.alpha) for size in known}
    middle = goal.target if goal.target is not None else known[len(known) // 2]
    needed = goals[middle].cases_needed(pilot.k, pilot.samples)
    reach = min(20_000, max(2 * needed, 2 * pilot.n, 40))
    grid = sorted({round(10 * (reach / 10) ** (step / 24)) for step in range(25)} | {pilot.n})
    designs = [(size, Design(n, k, pilot.samples)) for k in epochs for size in known for n in grid]
    rows = [(d.cases, d.epochs, size, goals[size].power_of(d)) for size, d in designs]
    return [(n, k, size, power) for n, k, size, power in rows if power is not None]


def _describe(goal: _Goal, designs: pl.DataFrame, metric: Metric) -> str:
    rows = {row["option"]: row for row in designs.iter_rows(named=True)}
    first, what = rows["in hand"], metric.replace("_", " ")
    power = fmt.percent(goal.power, 0)
    epochs = "epoch" if first["epochs"] == 1 else "epochs"
    design = f"With {plural(first['cases'], 'case')} at {first['epochs']:.3g} {epochs}"
    if first["mde"] is None:
        text = f"{design}, no difference of the {what} is detected with {power} power."
    else:
        least = _size(first["mde"], metric)
        text = f"{design}, a true difference of {least} of the {what} is detected with {power} power, a smaller one less often."
    if goal.target is None:
        return printable(text)
    size, chance = _size(goal.target, metric), fmt.percent(first["power"] or 0.0, 0)
    if goal.no_worse:
        text = f'{design}, equal versions are found "no worse by {size}" of the {what} with {chance} probability.'
    elif goal.suffices(goal.pilot.design):
        return printable(f"{text} One of {size} is within reach ({chance} power).")
    more = rows["more cases"]
    price = "" if more["price_usd"] is None else f" (about {fmt.money(more['price_usd'])} for both sides)"
    aim = power if goal.no_worse else size
    text += f" For {aim}, {plural(more['cases'], 'case')} at the same epochs are needed{price}."
    others = [
        row["reason"] or f"{row[part]:g} {_NAMES[part]} would do"
        for part in _NAMES
        if (row := rows.get(f"more {_NAMES[part]}"))
    ]
    return printable(f"{text} At the same cases: {'; '.join(others)}." if others else text)


def _size(value: float, metric: Metric) -> str:
    return fmt.difference_of(value, metric, sign=False)
