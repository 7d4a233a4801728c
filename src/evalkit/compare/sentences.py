"""A comparison in words: the sentence, the paragraph, the cells of its table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from evalkit.util.format import number, percent, points
from evalkit.util.words import plural, printable

if TYPE_CHECKING:
    import polars as pl


_MOST: Final = 3

# The warnings that change what a reader may conclude.
_GRAVE: Final = ["W01", "W06", "W07", "W11", "W17", "W20"]

_OPENINGS: Final = {
    "regressed": "{candidate} is worse than {baseline}.",
    "regressed within margin": "{candidate} is worse than {baseline}, but by less than the margin that was declared.",
    "improved": "{candidate} improved on {baseline}.",
    "no worse than margin": "{candidate} is no worse than {baseline} by the margin that was declared.",
    "inconclusive": "Whether {candidate} is better or worse than {baseline} overall cannot be told from these cases.",
}


def interval(row: dict[str, Any]) -> str:
    """Return a row's interval as words, e.g. "[-21.0, +6.2] points"."""
    if row["low"] is None:
        return f"no interval: {row['reason']}"
    if row["metric"] == "pass_rate":
        low, high = (points(row[end]).removesuffix(" points") for end in ("low", "high"))
        return f"[{low}, {high}] points"
    return f"[{number(row['low'], sign=True)}, {number(row['high'], sign=True)}]"


def say(baseline: str, candidate: str, row: dict[str, Any], flips: pl.DataFrame) -> str:
    """Say the verdict in one line: the words, the numbers, the worst flips."""
    overall = row["verdict"] + (" overall" if row["verdict"] == "inconclusive" else "")
    text = f"{candidate} against {baseline}: {overall}"
    worst = _worst(flips)
    text += f"; {worst}." if worst else "."
    if row["n"]:
        text += f" Pass rate {percent(row['baseline'])} to {percent(row['candidate'])}, {points(row['difference'])} {interval(row).removesuffix(' points')}"
        text += f" ({row['level']:.0%} {row['method']}, n = {plural(row['n'], 'case')}"
        text += f", {row['k']:.3g} trials each)." if row["k"] and row["k"] > 1 else ")."
    else:
        text += " No case was scored on both sides."
    return text


class ComparisonFacts(Protocol):
    """A comparison as its sentence reads it."""

    @property
    def baseline(self) -> str:
        """Name of the baseline."""
        ...

    @property
    def candidate(self) -> str:
        """Name of the candidate."""
        ...

    @property
    def estimates(self) -> pl.DataFrame:
        """One row per estimate."""
        ...

    @property
    def flips(self) -> pl.DataFrame:
        """One row per flipped case."""
        ...

    @property
    def warnings(self) -> pl.DataFrame:
        """One row per warning."""
        ...

    @property
    def verdict(self) -> str:
        """One word."""
        ...


def explain(change: ComparisonFacts) -> str:
    """Say what was found in a paragraph."""
    row = change.estimates.row(0, named=True)
    names = {"candidate": change.candidate, "baseline": change.baseline}
    parts = [_OPENINGS[change.verdict].format(**names)]
    if not row["n"]:
        return f"{parts[0]} No case was scored on both sides."
    parts.append(
        f"Of the {plural(row['n'], 'case')} that both were tried on, {percent(row['baseline'])} passed before and {percent(row['candidate'])} now: "
        f"a change of {points(row['difference'])}, and with {row['level']:.0%} confidence the true change lies between {interval(row).strip('[]').replace('[', '').replace(']', '').replace(', ', ' and ')}."
    )
    mean = change.estimates.row(1, named=True)
    if mean["difference"] is not None:
        parts.append(
            f"The mean score went from {mean['baseline']:.2f} to {mean['candidate']:.2f} ({number(mean['difference'], sign=True)})."
        )
    down, up = (change.flips.filter(kind=kind) for kind in ("regression", "improvement"))
    if down.height:
        parts.append(
            f"{_cases(down)} passed before and {'fails' if down.height == 1 else 'fail'} now: look there first."
        )
    if up.height:
        parts.append(f"{_cases(up)} failed before and {'passes' if up.height == 1 else 'pass'} now.")
    if not down.height and not up.height:
        parts.append("No case changed its verdict.")
    grave = change.warnings.filter(change.warnings["id"].is_in(_GRAVE))
    parts += grave["text"].to_list()[:_MOST]
    return printable(" ".join(parts))


def cells(row: dict[str, Any] | None) -> list[str]:
    """Return the cells of a comparison's table: the heads for None."""
    if row is None:
        return [
            "scope",
            "metric",
            "baseline",
            "candidate",
            "difference",
            "interval",
            "p (adjusted)",
            "n",
            "method",
            "verdict",
        ]
    rate = row["metric"] == "pass_rate"
    sides = [
        percent(row[s]) if rate else ("unknown" if row[s] is None else f"{row[s]:.2f}")
        for s in ("baseline", "candidate")
    ]
    p = (
        ""
        if row["p_adjusted"] is None
        else f"{row['p_adjusted']:.3f}"
        if row["p_adjusted"] >= 0.001
        else "< 0.001"
    )
    change = points(row["difference"]) if rate else number(row["difference"], sign=True)
    return [
        *(
            row["scope"],
            row["metric"].replace("_", " "),
            *sides,
            change,
            interval(row).removesuffix(" points"),
        ),
        *(p, str(row["n"]), f"{row['level']:.0%} {row['method']}", row["verdict"]),
    ]


def _worst(flips: pl.DataFrame) -> str:
    """Name the regressions of the worst severity while they are few, and count the others."""
    down = flips.filter(kind="regression")
    if down.is_empty():
        return ""
    severity = down["severity"][0]
    first = down.filter(severity=severity) if severity is not None else down
    if first.height > _MOST:
        grave = f" ({first.height} {severity})" if severity is not None else ""
        up = flips.height - down.height
        return f"{down.height:,} cases regressed{grave}, {up:,} improved"
    named = [
        f"{row['severity'] + ' ' if row['severity'] else ''}case {row['case']} "
        f"{'fails' if row['candidate_passes'] == 0 else 'mostly fails'} "
        f"({row['candidate_passes']}/{row['candidate_trials']}, was {row['baseline_passes']}/{row['baseline_trials']})"
        for row in first.iter_rows(named=True)
    ]
    rest = down.height - first.height
    return ", ".join(named) + (f" and {rest} more" if rest else "")


def _cases(flips: pl.DataFrame) -> str:
    named = [
        f"{row['severity'] + ' ' if row['severity'] else ''}case {row['case']}"
        for row in flips.head(_MOST).iter_rows(named=True)
    ]
    rest = flips.height - len(named)
    text = ", ".join(named) + (f" and {rest} more" if rest else "")
    return text[0].upper() + text[1:]
