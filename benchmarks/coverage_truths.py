"""Measure the intervals in truths that are hard: whole cases or clusters break, scores are missing, cases are re-run.

Each table is seeded; its Monte Carlo error stands beside it. Differences and rates are computed as in `coverage.py`,
which holds its arrays to the library.

    python benchmarks/coverage_truths.py            # 3 to 5 minutes on one core
    python benchmarks/coverage_truths.py --fast
"""

from __future__ import annotations

import sys
import time
from itertools import product

import numpy as np
from scipy.special import ndtr

import coverage as study  # the file beside this one: the folder of a script comes first
from evalkit import stats
from evalkit.agreement.estimates import estimate_agreement

SIZES = (5, 9, 20, 50, 200)
EPOCHS = (1, 6, 20)
# (share of cases that pass at 1, the others at .7; share that breaks to 0; share that is repaired from 0 to 1)
BROKEN = {
    "5% of cases break": (1.0, 0.05, 0.0),
    "10% break": (1.0, 0.1, 0.0),
    "20% break": (1.0, 0.2, 0.0),
    "10% break, 1 of 10 cases flaky": (0.9, 0.1, 0.0),
    "20% break, half of the cases flaky": (0.5, 0.2, 0.0),
    "10% break, 10% repaired": (0.9, 0.1, 0.1),
    "20% break, 10% repaired": (1.0, 0.2, 0.1),
}
# (mean, sd between cases, sd of a case in a version, shift) of a probit of the pass probability
GRADED = {
    "no change, 70%": (0.75, 1.0, 0.4, 0.0),
    "no change, 95%": (2.3, 1.0, 0.4, 0.0),
    "all cases a little worse": (1.2, 1.0, 0.3, -0.4),
}
TRUTHS = (*BROKEN, *GRADED)


def draw(rng: np.random.Generator, truth: str, reps: int, n: int, *, size: int = 1):
    """Return pass probabilities under both versions as (data set, case), and the true difference; clusters of `size`."""
    shape = (reps, n // size)
    if truth in BROKEN:
        sure, breaks, repaired = BROKEN[truth]
        old = np.where(rng.random((reps, n)) < sure, 1.0, 0.7)
        fate = np.repeat(rng.random(shape), size, axis=1)
        new = np.where(fate < breaks, 0.0, np.where(fate > 1 - repaired, 1.0, old))
        old = np.where(fate > 1 - repaired, 0.0, old)
        return old, new, -breaks * (sure + 0.7 * (1 - sure)) + repaired
    mean, between, own, shift = GRADED[truth]
    case = mean + between * np.repeat(rng.standard_normal(shape), size, axis=1)
    old, new = (ndtr(case + own * rng.standard_normal((reps, n)) + move) for move in (0.0, shift))
    scale = np.sqrt(1 + between**2 + own**2)
    return old, new, float(ndtr((mean + shift) / scale) - ndtr(mean / scale))


def reps_of(n: int, reps: int) -> int:
    return reps if n < 100 else max(100, reps // 4)


def differences(reps: int, *, size: int = 1, sizes=SIZES) -> list[tuple]:
    """Coverage of the difference, P("no worse than the margin") at a true loss of the margin, width."""
    rows = []
    for truth, n, k in product(TRUTHS, sizes, EPOCHS):
        rng = np.random.default_rng([11, TRUTHS.index(truth), n, k, size])
        p_old, p_new, true = draw(rng, truth, reps_of(n, reps), n, size=size)
        old, new = rng.binomial(k, p_old) / k, rng.binomial(k, p_new) / k
        low, high = (
            study.low_many(old, new, k, 0.95, size=size),
            -study.low_many(new, old, k, 0.95, size=size),
        )
        held = (low <= true + 1e-9) & (true - 1e-9 <= high)
        no_worse = study.low_many(old, new, k, 0.90, size=size) > true
        rows.append((truth, n, k, held.mean(), no_worse.mean() if true < 0 else np.nan, (high - low).mean()))
    return rows


def rates(reps: int) -> list[tuple]:
    """Coverage of a pass rate: of the candidate of each truth."""
    rows = []
    for truth, n, k in product(TRUTHS, SIZES, EPOCHS):
        rng = np.random.default_rng([12, TRUTHS.index(truth), n, k])
        p = draw(rng, truth, reps_of(n, reps), n)[1]
        true = float(draw(np.random.default_rng(5), truth, 400, 2000)[1].mean())
        low, high = study.rates_many(rng.binomial(k, p) / k, k, 0.95)
        rows.append(
            (truth, n, k, ((low <= true + 1e-9) & (true - 1e-9 <= high)).mean(), np.nan, (high - low).mean())
        )
    return rows


def mean_scores(reps: int) -> list[tuple]:
    """Coverage of a mean-score difference: 1 + 3.5 p and judge noise of .3 points a run."""
    rows = []
    for truth, n, k in product(TRUTHS, SIZES, EPOCHS):
        rng = np.random.default_rng([13, TRUTHS.index(truth), n, k])
        p_old, p_new, true = draw(rng, truth, reps_of(n, reps), n)
        d = 3.5 * (rng.binomial(k, p_new) - rng.binomial(k, p_old)) / k
        d = d + 0.3 * np.sqrt(2 / k) * rng.standard_normal(d.shape)
        t = study.t_of(d)
        held = (t.low <= 3.5 * true) & (3.5 * true <= t.high)
        rows.append((truth, n, k, held.mean(), np.nan, (t.high - t.low).mean()))
    return rows


MISSING = (
    "at random, 30%",
    "in the candidate only, 30%",
    "of failing trials 30%, of passing 5%",
    "10 points more of the candidate's fails",
)


def missing(reps: int) -> list[tuple]:
    """Count false "regressed" or "improved" of identical versions with missing scores, and coverage of no change."""
    rows = []
    for how, n, k, truth in product(MISSING, (9, 20, 50), (1, 6), ("no change, 70%", "no change, 95%")):
        rng = np.random.default_rng([14, MISSING.index(how), n, k, TRUTHS.index(truth)])
        p_old, p_new, _ = draw(rng, truth, reps, n)
        sides = []
        for side, p in enumerate((p_old, p_new)):
            passed = rng.random((reps, n, k)) < p[..., None]
            lost = {
                MISSING[0]: np.full(passed.shape, 0.3),
                MISSING[1]: np.full(passed.shape, 0.3 * side),
                MISSING[2]: np.where(passed, 0.05, 0.3),
                MISSING[3]: np.where(passed, 0.05, 0.05 + 0.1 * side),
            }[how]
            seen = rng.random(passed.shape) >= lost
            count = seen.sum(axis=2)
            sides.append(((passed & seen).sum(axis=2) / np.maximum(count, 1), count))
        (old, k_old), (new, k_new) = sides
        alarms, held = [], []
        both = (k_old > 0) & (k_new > 0)
        order = np.argsort(~both, axis=1, kind="stable")
        for kept in np.unique(both.sum(axis=1)):
            if kept < 2:
                continue
            mine = both.sum(axis=1) == kept
            pick = [
                np.take_along_axis(x[mine], order[mine], axis=1)[:, :kept] for x in (old, new, k_old, k_new)
            ]
            runs = kept / ((1 / pick[2] + 1 / pick[3]) / 2).sum(axis=1)
            low, high = study.limits_many(pick[0], pick[1], runs, 0.95)
            d = pick[1] - pick[0]
            p_value = study.mid_p(d) if k == 1 else study.flipped(d)
            alarms.append(((low > 0) | (high < 0)) & (p_value < 0.05))
            held.append((low <= 1e-9) & (high >= -1e-9))
        rows.append(
            (f"{how}, {truth}", n, k, np.concatenate(held).mean(), np.concatenate(alarms).mean(), np.nan)
        )
    return rows


def kappas(reps: int) -> list[tuple]:
    """Coverage of kappa of two raters: quadratic on 1 to 5, and of pass/fail."""
    rows = []
    for kind, one, other in (
        ("1 to 5", 3.4, 0.6),
        ("1 to 5", 3.4, 0.3),
        ("1 to 5", 4.4, 0.6),
        ("pass/fail", 0.7, 0.85),
        ("pass/fail", 0.9, 0.9),
    ):
        rate, points = (grades, np.arange(1.0, 6)) if kind == "1 to 5" else (verdicts, np.arange(2.0))
        many = [
            np.searchsorted(points, side) for side in rate(np.random.default_rng(1), 1_000_000, one, other)
        ]
        q = points.size
        table = np.bincount(q * many[1] + many[0], minlength=q * q).reshape(q, q)
        true = float(stats.kappa_of_tables(table, stats.disagreement_weights(points)))
        for n in (9, 20, 50, 100):
            rng, held, width = np.random.default_rng([15, n, int(100 * true)]), [], []
            for _ in range(reps):
                sides = rate(rng, n, one, other)
                found, _ = estimate_agreement(*sides, np.arange(n), points=points, level=0.95, seed=0)
                e = found["kappa"]
                if e.low is not None:
                    held.append(e.low <= true <= e.high)
                    width.append(e.high - e.low)
            truth = f"{kind}, {one}, {other}: kappa {true:.2f}"
            rows.append((truth, n, 1, np.mean(held), 1 - len(held) / reps, np.mean(width)))
    return rows


def grades(rng: np.random.Generator, n: int, center: float, noise: float) -> list[np.ndarray]:
    """Return the ratings of two raters who see a normal quality with noise."""
    quality = center + rng.standard_normal(n)
    return [np.clip(np.rint(quality + noise * rng.standard_normal(n)), 1, 5) for _ in range(2)]


def verdicts(rng: np.random.Generator, n: int, share: float, right: float) -> list[np.ndarray]:
    """Return the verdicts of two raters, each right with the same chance."""
    passes = rng.random(n) < share
    return [np.where(rng.random(n) < right, passes, ~passes).astype(float) for _ in range(2)]


def corrections(reps: int) -> list[tuple]:
    """Coverage of the corrected pass rate: m labels of 1,000 judged answers."""
    rows = []
    for (true, right_pass, right_fail), m in product(((0.7, 0.9, 0.8), (0.95, 0.95, 0.6)), (20, 50, 200)):
        rng, held, width = np.random.default_rng([16, m, int(100 * true)]), [], []
        for _ in range(reps):
            human = rng.random(1000) < true
            judge = np.where(human, rng.random(1000) < right_pass, rng.random(1000) >= right_fail)
            h, j = human[:m], judge[:m]
            cells = [int((a & b).sum()) for a, b in ((h, j), (~h, j), (h, ~j), (~h, ~j))]
            e = stats.post_stratified(*cells, passes=int(judge.sum()), n=1000, draws=2000)
            held.append(e.low <= true <= e.high)
            width.append(e.high - e.low)
        rows.append(
            (
                f"true rate {true}, judge right on {right_pass} / {right_fail}",
                m,
                1,
                np.mean(held),
                np.nan,
                np.mean(width),
            )
        )
    return rows


def ranks(reps: int) -> list[tuple]:
    """How often the version that is first is truly best, where it is first in 70 to 90% of the resampled suites."""
    rows = []
    for versions, spread in ((3, 0.1), (5, 0.1), (10, 0.1), (5, 0.4)):
        rng = np.random.default_rng([17, versions, int(10 * spread)])
        stated, shrunk, best = [], [], []
        for _ in range(reps):
            level = 0.6 + spread * rng.standard_normal(versions)
            case = rng.standard_normal((50, 1))
            passes = (level + case + 0.8 * rng.standard_normal((50, versions)) > 0).astype(float)
            found = stats.bootstrap_ranks(passes, resamples=400)
            first = int(np.argmax(found.p_best))
            stated.append(found.p_best[first])
            shrunk.append(found.p_best_shrunk[first])
            best.append(first == int(np.argmax(level)))
        stated, shrunk, best = (np.array(x) for x in (stated, shrunk, best))
        at = (stated >= 0.7) & (stated < 0.9)
        rows.append((versions, spread, int(at.sum()), stated[at].mean(), shrunk[at].mean(), best[at].mean()))
    return rows


def looks(reps: int) -> list[tuple]:
    """Count stops of the e-value in 10 looks at the same 50 cases, versions equal on average; cases differ by `own`."""
    rows = []
    for own in (0.0, 0.25, 0.5, 1.0):
        rng = np.random.default_rng([18, int(100 * own)])
        case = 0.8 + rng.standard_normal((reps, 1, 50, 1))
        level = case + own * rng.standard_normal((reps, 2, 50, 1))
        runs = (level + rng.standard_normal((reps, 2, 50, 10)) > 0).astype(float)
        flips = (runs[:, 1] - runs[:, 0]).transpose(0, 2, 1).reshape(reps, -1)
        ends = np.arange(1, 11) * 50 - 1
        rows.append((own, np.mean([bool((stats.e_path(row)[ends] >= 20 - 1e-9).any()) for row in flips])))
    return rows


def table(title: str, rows: list[tuple], reps: int, columns: tuple = EPOCHS) -> float:
    """Print the worst (and mean) coverage of each n and K, and the worst other share; return the worst coverage."""
    print(f"\n## {title}\n")
    print(
        "| n | K | worst coverage | in | mean | mean width | largest error |\n|---|---|---|---|---|---|---|"
    )
    for n, k in sorted({(row[1], row[2]) for row in rows}):
        mine = [row for row in rows if (row[1], row[2]) == (n, k)]
        worst = min(mine, key=lambda row: row[3])
        errors = [row for row in mine if not np.isnan(row[4])]
        bad = max(errors, key=lambda row: row[4]) if errors else None
        error = f"{bad[4] * 100:.1f}% ({bad[0]})" if bad else ""
        widths = [row[5] for row in mine if not np.isnan(row[5])]
        width = f"{np.mean(widths):.2f}" if widths else ""
        print(
            f"| {n} | {k} | {worst[3] * 100:.1f}% | {worst[0]} | {np.mean([r[3] for r in mine]) * 100:.1f}% | {width} | {error} |"
        )
    spread = 100 * np.sqrt(0.05 * 0.95 / reps)
    print(
        f"\nMonte Carlo error of one cell: {spread:.1f} points ({reps} data sets; a quarter of them at n = 200)."
    )
    return min(row[3] for row in rows)


def check() -> None:
    """Hold the arrays to the library: cases, clusters, rates."""
    rng = np.random.default_rng(3)
    for truth, k, size in product(("10% break", "no change, 70%"), EPOCHS, (1, 5)):
        p_old, p_new, _ = draw(rng, truth, 3, 20, size=size)
        old, new = rng.binomial(k, p_old) / k, rng.binomial(k, p_new) / k
        low = study.low_many(old, new, k, 0.95, size=size)
        for at in range(3):
            ours = stats.tango_clustered(new[at], old[at], np.arange(20) // size, k=k)
            np.testing.assert_allclose(low[at], ours.low, atol=1e-6)
        if size == 1:
            rate = study.rates_many(new, k, 0.95)
            one = stats.wilson_n_eff(new[0], k)
            np.testing.assert_allclose([rate[0][0], rate[1][0]], [one.low, one.high], atol=1e-6)


def main(fast: bool) -> int:
    began, reps = time.perf_counter(), 200 if fast else 2000
    check()
    table(
        'Differences of pass rates (error: "no worse than the margin" at a true loss of the margin)',
        differences(reps),
        reps,
    )
    table(
        "Differences over clusters of 5 cases, which break whole",
        differences(reps, size=5, sizes=(20, 50, 100)),
        reps,
    )
    table("Pass rates", rates(reps), reps)
    table("Differences of mean scores, paired t", mean_scores(reps), reps)
    table("Missing scores, identical versions (error: called better or worse)", missing(reps), reps)
    table("Kappa (error: no interval)", kappas(reps // 4), reps // 4)
    table("Corrected pass rate (n: labels)", corrections(reps // 2), reps // 2)
    print(
        "\n## Ranks\n\n| versions | spread | data sets | first in | shrunk | truly best |\n|---|---|---|---|---|---|"
    )
    for versions, spread, count, stated, shrunk, best in ranks(reps // 2):
        print(f"| {versions} | {spread} | {count} | {stated:.2f} | {shrunk:.2f} | {best:.2f} |")
    print("\n## Looks at re-run cases\n\n| cases differ by | stops of the e-value |\n|---|---|")
    for own, share in looks(reps):
        print(f"| {own} | {share * 100:.1f}% |")
    print(f"\n{time.perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main("--fast" in sys.argv))
