"""Format numbers as text. A missing number is "unknown"; the minus sign is U+2212."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

UNKNOWN: Final = "unknown"
MINUS: Final = "\N{MINUS SIGN}"


def rounded(value: float, digits: int) -> float:
    """Round half to even, after rounding to 10 decimals; zero is never negative.

    >>> rounded(0.145, 2), rounded(0.14499999999999999, 2), rounded(-0.001, 2)
    (0.14, 0.14, 0.0)
    """
    step = Decimal(1).scaleb(-digits)
    exact = Decimal(f"{value:.10f}").quantize(step, rounding=ROUND_HALF_EVEN)
    return float(exact) + 0.0


def number(value: float | None, digits: int = 2, *, sign: bool = False) -> str:
    """Format a number with a fixed number of decimals.

    >>> number(3.25), number(-0.25, sign=True), number(0.25, sign=True), number(None)
    ('3.25', '−0.25', '+0.25', 'unknown')
    """
    if value is None:
        return UNKNOWN
    return f"{rounded(value, digits):{'+' if sign else ''},.{digits}f}".replace("-", MINUS)


def percent(rate: float | None, digits: int = 1) -> str:
    """Format a rate as a percentage; only 1 prints as 100% and only 0 as 0%.

    >>> percent(0.963), percent(0.9999), percent(1.0), percent(0.0001), percent(0.5, 0)
    ('96.3%', '>99.9%', '100.0%', '<0.1%', '50%')
    """
    if rate is None:
        return UNKNOWN
    value, least = rounded(rate * 100, digits), 10.0**-digits
    if value >= 100 and rate < 1 - 1e-12:
        return f">{100 - least:.{digits}f}%"
    if value == 0 and rate > 1e-12:
        return f"<{least:.{digits}f}%"
    return f"{number(value, digits)}%"


def points(difference: float | None, *, sign: bool = True) -> str:
    """Format a difference of two rates in percentage points.

    >>> points(-0.0741), points(0.05, sign=False)
    ('−7.4 points', '5.0 points')
    """
    return UNKNOWN if difference is None else f"{number(difference * 100, 1, sign=sign)} points"


def difference_of(value: float | None, metric: str, *, sign: bool = True) -> str:
    """Format a difference of a metric: points for rates, a plain number for scores.

    >>> difference_of(-0.0741, "pass_rate"), difference_of(-0.25, "mean_score")
    ('−7.4 points', '−0.25')
    """
    return points(value, sign=sign) if metric == "pass_rate" else number(value, sign=sign)


def interval(
    low: float | None,
    high: float | None,
    *,
    percent: bool = False,
    points: bool = False,
    digits: int | None = None,
    sign: bool = False,
) -> str:
    """Format an interval, or "unknown".

    >>> interval(0.804, 0.994, percent=True), interval(-0.39, 0.21, points=True), interval(3.1, 4.25)
    ('[80.4%, 99.4%]', '[−39.0, +21.0]', '[3.10, 4.25]')
    """
    if low is None or high is None:
        return UNKNOWN
    if percent:
        texts = [_percent(end, 1 if digits is None else digits) for end in (low, high)]
    elif points:
        texts = [number(end * 100, 1 if digits is None else digits, sign=True) for end in (low, high)]
    else:
        texts = [number(end, 2 if digits is None else digits, sign=sign) for end in (low, high)]
    return f"[{texts[0]}, {texts[1]}]"


# `interval` has an argument of the same name.
_percent = percent


def level(confidence: float) -> str:
    """Format a confidence level.

    >>> level(0.95), level(0.999)
    ('95%', '99.9%')
    """
    return f"{rounded(confidence * 100, 6):g}%"


def p_value(p: float | None, *, label: bool = True) -> str:
    """Format a p-value; without `label` for a column whose head says p.

    >>> p_value(0.01532), p_value(0.00001), p_value(0.9999)
    ('p = 0.015', 'p < 0.001', 'p > 0.999')
    >>> p_value(0.01532, label=False), p_value(0.00001, label=False)
    ('0.015', '< 0.001')
    """
    if p is None:
        return "p unknown" if label else UNKNOWN
    sign, value = "=", number(p, 3)
    if p < 0.001 or p > 0.999:
        sign, value = ("<", "0.001") if p < 0.001 else (">", "0.999")
    bare = value if sign == "=" else f"{sign} {value}"
    return f"p {sign} {value}" if label else bare


def count(value: int) -> str:
    """Format a count with thousands separated.

    >>> count(12345)
    '12,345'
    """
    return f"{value:,}"


def bytes_size(size: float) -> str:
    """Format a number of bytes.

    >>> bytes_size(1_438_319), bytes_size(10_604), bytes_size(3), bytes_size(2_500_000_000)
    ('1.4 MB', '11 kB', '1 kB', '2.5 GB')
    """
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} kB"


def money(usd: float | None) -> str:
    """Format US dollars; an unknown cost is never printed as zero.

    >>> money(0.0123), money(1234.5), money(None)
    ('$0.0123', '$1,234.50', 'unknown cost')
    """
    if usd is None:
        return "unknown cost"
    return f"${usd:,.4f}" if abs(usd) < 1 else f"${usd:,.2f}"


def duration(seconds: float | None) -> str:
    """Format a duration.

    >>> duration(3.21), duration(200), duration(7260), duration(90000)
    ('3.2 s', '3 min 20 s', '2 h 1 min', '1 d 1 h')
    """
    if seconds is None:
        return UNKNOWN
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, next_unit, size, next_size in (
        ("d", "h", 86400, 3600),
        ("h", "min", 3600, 60),
        ("min", "s", 60, 1),
    ):
        if whole >= size:
            rest = whole % size // next_size
            return f"{whole // size} {unit}" + (f" {rest} {next_unit}" if rest else "")
    return f"{whole} s"


def shorten(text: str, limit: int) -> str:
    """Cut text to `limit` characters, the last of them an ellipsis.

    >>> shorten("a long sentence", 7), shorten("short", 7)
    ('a long…', 'short')
    """
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"
