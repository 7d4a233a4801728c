"""Two answers shown in both orders, and whether the one shown first wins."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from evalkit import stats
from evalkit.agreement.estimates import estimate_agreement
from evalkit.agreement.finding import finding, nothing_found, reach
from evalkit.agreement.ratings import ANSWER
from evalkit.grading.version_order import natural_key
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable

_ITEM: Final = ["grader", *ANSWER, "criterion"]
NEEDED: Final = (
    "No pair was judged in both orders. Needed: the same pair judged twice by one judge, with metadata "
    '{"order": "AB"} and {"order": "BA"} (or "position"), and the winner "A" or "B" as the label.'
)


def find_position(
    judged: pl.DataFrame, dressed: Callable[[pl.DataFrame], pl.DataFrame], *, level: float
) -> list[dict[str, Any]]:
    """Return rows: of the pairs whose winner changed with the order, how many went to the first shown.

    A judge that sees only the answers names the same winner in both orders. Where the winner changes, it was the first
    both times or the second both times: McNemar's mid-p between these two. Ties are left out. Where there are scores
    and no winners, the shift of the score between the orders.
    """
    orders = pl.Series("order", [_order(text) for text in judged["metadata"]], dtype=pl.String)
    winner = pl.col("label").str.strip_chars().str.to_uppercase()
    known = judged.with_columns(orders, winner=pl.when(winner.is_in(["A", "B"])).then(winner)).filter(
        pl.col("order").is_not_null()
    )
    sides = [
        known.filter(pl.col("order") == order)
        .unique(_ITEM, keep="first", maintain_order=True)
        .select(*_ITEM, pl.col("winner").alias(f"winner_{order}"), pl.col("score").alias(f"score_{order}"))
        for order in ("AB", "BA")
    ]
    both = sides[0].join(sides[1], on=_ITEM, maintain_order="left")
    rows = []
    groups = both.partition_by("grader", "criterion", as_dict=True, maintain_order=True)
    for (grader, criterion), part in sorted(groups.items(), key=lambda item: natural_key(item[0])):
        scope = f"{grader or 'the judge'} · {criterion}"
        part = dressed(part)
        decided = part.drop_nulls(["winner_AB", "winner_BA"])
        scored = part.drop_nulls(["score_AB", "score_BA"])
        if decided.height:
            rows.append(_winners(scope, decided, level))
        elif scored.height:
            rows.append(_scores(scope, scored, level))
    if rows:
        return rows
    return [nothing_found("position", NEEDED)]


def _winners(scope: str, part: pl.DataFrame, level: float) -> dict[str, Any]:
    first = int(((part["winner_AB"] == "A") & (part["winner_BA"] == "B")).sum())
    second = int(((part["winner_AB"] == "B") & (part["winner_BA"] == "A")).sum())
    n, cases = part.height, part["unit"].n_unique()
    moved = ((part["winner_AB"] == "A") & (part["winner_BA"] == "B")).cast(pl.Int64) - (
        (part["winner_AB"] == "B") & (part["winner_BA"] == "A")
    ).cast(pl.Int64)
    if cases == n:
        e, p, method = stats.tango(first, second, n, level=level), stats.mcnemar(first, second).mid_p, ""
        method = f"{e.method}; McNemar mid-p"
    else:
        # Several pairs of a case are not independent: the case is the unit of the interval and of the test.
        codes = np.unique(part["unit"].to_numpy(), return_inverse=True)[1]
        means = np.bincount(codes, moved.to_numpy()) / np.bincount(codes)
        e = stats.paired_t(means, level=level)
        p, method = stats.sign_flip(means), "paired t on case means; sign-flip p"
    text = (
        f"Of {plural(n, 'pair')} judged in both orders {first + second} changed winner: "
        f"the first shown won twice in {first}, the second in {second}."
    )
    shown = finding("position", scope, e, n, cases, text)
    # The winners are plural whether or not they have an interval.
    return {**shown, "method": method, "p_value": p, "text": text}


def _scores(scope: str, part: pl.DataFrame, level: float) -> dict[str, Any]:
    ab, ba, units = (part[name].to_numpy() for name in ("score_AB", "score_BA", "unit"))
    e = estimate_agreement(ab, ba, units, points=None, level=level, seed=0)[0]["bias"]
    text = f"The score in order AB is {reach(e.estimate, e.low, e.high)} above that in order BA."
    return finding("position shift", scope, e, part.height, part["unit"].n_unique(), text)


def _order(metadata: str | None) -> str | None:
    """Return "AB" or "BA" where the metadata say so."""
    try:
        made = json.loads(metadata or "null")
    except ValueError:
        return None
    if not isinstance(made, dict):
        return None
    for key in ("order", "position"):
        value = str(made.get(key, "")).strip().upper()
        if value in ("AB", "BA"):
            return value
    return None
