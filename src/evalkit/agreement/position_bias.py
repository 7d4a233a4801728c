"""Position bias: pairs of answers judged in both orders."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import polars as pl

from evalkit import stats
from evalkit.agreement.estimates import estimate_bias, unit_means
from evalkit.agreement.ratings import ITEM, AnswerFacts
from evalkit.agreement.results import Row, bias_row, estimate_text, missing_row
from evalkit.grading.version_order import natural_key
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAIR: Final = ["grader", *ITEM]
NEEDED: Final = (
    "No pair was judged in both orders. Needed: the same pair judged twice by one judge, with metadata "
    '{"order": "AB"} and {"order": "BA"} (or "position"), and the winner "A" or "B" as the label.'
)


def position_rows(judged: pl.DataFrame, facts: AnswerFacts, *, level: float) -> list[Row]:
    """Return how many winners changed with the order, and towards which position.

    Ties are left out. With scores and no winners: the shift of the score between the orders.
    """
    orders = pl.Series("order", [_order(text) for text in judged["metadata"]], dtype=pl.String)
    label = pl.col("label").str.strip_chars().str.to_uppercase()
    ordered = judged.with_columns(orders, winner=pl.when(label.is_in(["A", "B"])).then(label))
    ab, ba = (
        ordered.filter(pl.col("order") == order)
        .unique(_PAIR, keep="first", maintain_order=True)
        .select(*_PAIR, pl.col("winner", "score").name.suffix(f"_{order}"))
        for order in ("AB", "BA")
    )
    both = ab.join(ba, on=_PAIR, maintain_order="left")
    groups = both.partition_by("grader", "criterion", as_dict=True, maintain_order=True)
    rows: list[Row] = []
    for (grader, criterion), pairs in sorted(groups.items(), key=lambda item: natural_key(item[0])):
        rows += _rows(f"{grader or 'the judge'} · {criterion}", facts.describe(pairs), level)
    return rows or [missing_row("position", NEEDED)]


def _rows(scope: str, pairs: pl.DataFrame, level: float) -> Iterator[Row]:
    decided = pairs.drop_nulls(["winner_AB", "winner_BA"])
    scored = pairs.drop_nulls(["score_AB", "score_BA"])
    if decided.height:
        yield _winner_row(scope, decided, level)
    elif scored.height:
        shift = (scored["score_AB"] - scored["score_BA"]).to_numpy()
        e = estimate_bias(shift, scored["unit"].to_numpy(), level)
        text = f"The score in order AB is {estimate_text(e)} above that in order BA."
        yield bias_row("position shift", scope, e, scored, text)


def _winner_row(scope: str, pairs: pl.DataFrame, level: float) -> Row:
    n, cases = pairs.height, pairs["unit"].n_unique()
    winners = pairs["winner_AB"] + pairs["winner_BA"]
    first, second = (winners == "AB").cast(pl.Int64), (winners == "BA").cast(pl.Int64)
    first_n, second_n = int(first.sum()), int(second.sum())
    if cases == n:
        e = stats.tango(first_n, second_n, n, level=level)
        p, method = stats.mcnemar(first_n, second_n).mid_p, f"{e.method}; McNemar mid-p"
    else:
        # Several pairs of a case are not independent: the case is the unit of the interval and of the test.
        means = unit_means((first - second).to_numpy(), pairs["unit"].to_numpy())
        e = stats.paired_t(means, level=level)
        p, method = stats.sign_flip(means), "paired t on case means; sign-flip p"
    text = (
        f"Of {plural(n, 'pair')} judged in both orders {first_n + second_n} changed winner: "
        f"the first shown won twice in {first_n}, the second in {second_n}."
    )
    # The winners are counted whether or not they have an interval.
    return {**bias_row("position", scope, e, pairs, text), "method": method, "p_value": p, "text": text}


def _order(metadata: str | None) -> str | None:
    try:
        facts = json.loads(metadata or "null")
    except ValueError:
        return None
    if not isinstance(facts, dict):
        return None
    values = (str(facts.get(key, "")).strip().upper() for key in ("order", "position"))
    return next((value for value in values if value in ("AB", "BA")), None)
