"""Show whether the default intervals cover what they promise, and how often they cry wolf.

A seeded study on made-up scores whose truth is known: 5 criteria on 1 to 5, cut from a normal latent score that is
the sum of a version's level, the case, the case in this version, the run and the criterion; a trial passes when its
mean is at least 4 and no criterion is below 3. What other tools do stands beside it.

    python benchmarks/coverage.py            # the whole study, a few minutes
    python benchmarks/coverage.py --fast     # what the tests run
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from scipy.special import bdtr, ndtri, stdtr, stdtrit

from evalkit import stats
from evalkit.compare.estimates import adjust_scopes
from evalkit.compare.ranks import significant_pairs
from evalkit.compare.verdicts import verdict_of

CRITERIA = 5
SIZES = (9, 20, 50, 200)
EPOCHS = (1, 5)
LEVELS = (0.5, 0.73, 0.85, 0.94, 0.97)
SHIFTS = (0.0, -0.25)
SD = {"case": 0.55, "case in version": 0.25, "run": 0.4, "criterion": 0.55}
PROMISED = 0.925
ALARMS = 0.05


def draw(
    rng: np.random.Generator, reps: int, n: int, k: int, levels: list[float], *, own: float | None = None
) -> np.ndarray:
    """Return scores 1 to 5 as (rep, version, case, run, criterion); `own` is the spread of a case in a version."""
    own = SD["case in version"] if own is None else own
    shape = (reps, len(levels), n, k)
    latent = np.array(levels, dtype=np.float32)[None, :, None, None] + np.zeros(shape, dtype=np.float32)
    latent += SD["case"] * rng.standard_normal((reps, 1, n, 1), dtype=np.float32)
    if own:
        latent += own * rng.standard_normal((reps, len(levels), n, 1), dtype=np.float32)
    latent += SD["run"] * rng.standard_normal(shape, dtype=np.float32)
    noise = SD["criterion"] * rng.standard_normal((*shape, CRITERIA), dtype=np.float32)
    return np.clip(np.rint(latent[..., None] + noise), 1, 5).astype(np.int8)


def passed(scores: np.ndarray) -> np.ndarray:
    """Apply the pass rule; whole scores need no tolerance."""
    return (scores.sum(axis=-1) >= 4 * CRITERIA) & (scores.min(axis=-1) >= 3)


@cache
def truth(level: float) -> tuple[float, float]:
    """Return the pass rate and the mean score of a version in the long run."""
    rng = np.random.default_rng(7)
    rates, means = [], []
    for _ in range(20):
        scores = draw(rng, 1, 100_000, 1, [level])
        rates.append(passed(scores).mean())
        means.append(scores.mean())
    return float(np.mean(rates)), float(np.mean(means))


@cache
def latent_level(rate: float) -> float:
    """Return the latent level at which a version passes at this rate."""
    rng = np.random.default_rng(8)
    base = draw_latent(rng, 60_000)
    low, high = 2.0, 8.0
    for _ in range(18):
        middle = (low + high) / 2
        scores = np.clip(np.rint(base + middle), 1, 5)
        low, high = (middle, high) if passed(scores).mean() < rate else (low, middle)
    return round((low + high) / 2, 4)


def draw_latent(rng: np.random.Generator, n: int) -> np.ndarray:
    spread = np.sqrt(SD["case"] ** 2 + SD["case in version"] ** 2 + SD["run"] ** 2)
    return spread * rng.standard_normal((n, 1)) + SD["criterion"] * rng.standard_normal((n, CRITERIA))


@dataclass
class Cell:
    """One design under one truth: how often each interval held the true difference."""

    n: int
    k: int
    rate: float
    shift: float
    reps: int
    covered: dict[str, float] = field(default_factory=dict)
    unknown: float = 0.0


METHODS = {
    "Tango": "pass rate: Tango, n_eff (ours)",
    "paired t": "mean score: paired t (ours)",
    "CLT": "pass rate: CLT over cases",
    "row bootstrap": "pass rate: bootstrap of rows",
    "unpaired z": "pass rate: unpaired z on rows",
    "row CLT": "mean score: CLT over rows",
    "percentile": "mean score: bootstrap of cases",
}
OURS = ("Tango", "paired t")


def study_coverage(*, reps: int, seed: int = 1, levels=LEVELS, shifts=SHIFTS, sizes=SIZES) -> list[Cell]:
    cells = []
    for n in sizes:
        for k in EPOCHS:
            for rate in levels:
                for shift in shifts:
                    cells.append(cover(n, k, rate, shift, reps=reps, seed=seed))
    return cells


def cover(n: int, k: int, rate: float, shift: float, *, reps: int, seed: int) -> Cell:
    rng = np.random.default_rng([seed, n, k, round(1000 * rate), round(-1000 * shift)])
    old_level = latent_level(rate)
    (p_old, m_old), (p_new, m_new) = truth(old_level), truth(old_level + shift)
    true_rate, true_mean = (p_new - p_old, m_new - m_old) if shift else (0.0, 0.0)
    held: dict[str, list[np.ndarray]] = {name: [] for name in METHODS}
    unknown = 0
    step = max(1, 500_000 // (n * k))
    for start in range(0, reps, step):
        scores = draw(rng, min(step, reps - start), n, k, [old_level, old_level + shift])
        verdicts, means = passed(scores), scores.mean(axis=(3, 4), dtype=np.float64)
        fractions = verdicts.mean(axis=3)
        ours, nothing = _ours(fractions, means, k, true_rate, true_mean)
        unknown += nothing
        for name, hits in {
            **ours,
            **_others(rng, scores, verdicts, fractions, means, true_rate, true_mean),
        }.items():
            held[name].append(hits)
    covered = {name: float(np.concatenate(hits).mean()) for name, hits in held.items() if hits}
    return Cell(n, k, rate, shift, reps, covered, unknown / reps)


def _ours(fractions, means, k, true_rate, true_mean) -> tuple[dict[str, np.ndarray], int]:
    rate, mean = tango_many(fractions, k), t_many(means)
    check(rate, mean, fractions, means, k)
    known = mean.known
    return {
        "Tango": (rate.low <= true_rate) & (true_rate <= rate.high),
        "paired t": (mean.low <= true_mean)[known] & (true_mean <= mean.high)[known],
    }, int((~known).sum())


@dataclass
class Many:
    """Intervals and p-values of many data sets; `known` is where there is an interval."""

    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    known: np.ndarray


def tango_many(fractions: np.ndarray, k: int, *, level: float = 0.95) -> Many:
    """Do what `stats.tango_n_eff` does for (data set, version, case) at once; `check` holds it to that."""
    old, new = fractions[:, 0].astype(float), fractions[:, 1].astype(float)
    d, (low, high) = new - old, limits_many(old, new, k, level)
    return Many(low, high, mid_p(d) if k == 1 else flipped(d), np.ones(len(d), dtype=bool))


def rates_many(fractions: np.ndarray, k: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Do what `stats.limits.rate_limits` does."""
    ones = np.ones_like(fractions)
    return 1 + low_many(ones, fractions, k, level), -low_many(fractions, 0 * ones, k, level)


def limits_many(old, new, k: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    return low_many(old, new, k, level), -low_many(new, old, k, level)


def low_many(old: np.ndarray, new: np.ndarray, k: int, level: float, *, size: int = 1) -> np.ndarray:
    """Do what `stats.limits.PairedLimits.low` does; cases of a cluster of `size` are neighbours."""
    n = old.shape[1]
    b, c = (new * (1 - old)).sum(axis=1), (old * (1 - new)).sum(axis=1)
    sides = np.stack([old, new])
    within = (sides * (1 - sides)).sum(axis=(0, 2))
    clusters = sides.reshape(2, len(old), -1, size).mean(axis=3)
    among = size * (clusters * (1 - clusters)).sum(axis=(0, 2)) - within
    least = np.minimum(1, np.maximum((1 + (k - 1) * 0.25) / k, 1 - within / size / 8))
    least *= np.minimum(size, np.maximum(1 + (size - 1) * 0.25, size - among / 8))
    z, estimate = float(ndtri((1 + level) / 2)), (b - c) / n
    sums = (new - old).reshape(len(old), -1, size).sum(axis=2)
    groups = sums.shape[1]
    sums = np.sort(np.concatenate([sums, np.minimum(0, sums.min(axis=1))[:, None]], axis=1), axis=1)[:, ::-1]
    quantile = float(stdtrit(groups - 1, (1 + level) / 2)) if groups > 1 else np.inf
    factor = quantile * np.sqrt((groups + 1) / (groups + quantile**2))
    inside, outside = estimate, np.full_like(estimate, -1.0)
    for _ in range(36):
        middle = (inside + outside) / 2
        score = score_many(b, c, n, middle)
        beyond = score > z * np.sqrt(size)
        if np.max(k) > 1 or size > 1:
            beyond |= (score > z * np.sqrt(least)) & (excess_many(sums, size, middle, factor) > 0)
        inside, outside = np.where(beyond, inside, middle), np.where(beyond, middle, outside)
    return (inside + outside) / 2


def score_many(b, c, n, difference):
    second = -b - c + (2 * n - b + c) * difference
    third = -c * difference * (1 - difference)
    q = (np.sqrt(np.maximum(0, second**2 - 8 * n * third)) - second) / (4 * n)
    variance = n * (2 * np.maximum(0, q) + difference * (1 - difference))
    return (b - c - n * difference) / np.sqrt(np.maximum(variance, 1e-300))


def excess_many(sums: np.ndarray, size: int, difference: np.ndarray, factor: float) -> np.ndarray:
    u, top = sums - size * difference[:, None], size * (1 - difference[:, None])
    gain = np.maximum(top**2 - u**2, 0)
    squares = (u**2).sum(axis=1)
    before = squares[:, None] + np.cumsum(gain, axis=1) - gain
    target = (factor * np.maximum(top + u, 0) / 2) ** 2
    raised = np.clip((target - before) / np.where(gain > 1e-15, gain, np.inf), 0, 1)
    total = u.sum(axis=1) + (raised * (top - u)).sum(axis=1)
    return total - factor * np.sqrt(squares + (raised * gain).sum(axis=1))


def mid_p(d: np.ndarray) -> np.ndarray:
    b, c = (d > 0).sum(axis=1), (d < 0).sum(axis=1)
    fewer = np.minimum(b, c)
    below = np.where(fewer > 0, bdtr(np.maximum(fewer - 1, 0), b + c, 0.5), 0.0)
    return np.where(b + c > 0, np.minimum(1.0, bdtr(fewer, b + c, 0.5) + below), 1.0)


@cache
def signs(n: int) -> np.ndarray:
    return np.random.default_rng(5).choice(np.array([-1.0, 1.0], dtype=np.float32), (1999, n))


def flipped(d: np.ndarray) -> np.ndarray:
    """Return the p-values of the sign-flip permutation, all data sets by the same signs."""
    sums = np.abs(d.astype(np.float32) @ signs(d.shape[1]).T)
    hits = (sums >= np.abs(d.sum(axis=1))[:, None] - 1e-4).sum(axis=1)
    return (1 + hits) / 2000


def t_many(means: np.ndarray) -> Many:
    return t_of((means[:, 1] - means[:, 0]).astype(float))


def t_of(d: np.ndarray) -> Many:
    n = d.shape[1]
    error = d.std(axis=1, ddof=1) / np.sqrt(n)
    known = error > 1e-9
    centre, reach = d.mean(axis=1), stdtrit(n - 1, 0.975) * error
    p = 2 * stdtr(n - 1, -np.abs(centre) / np.where(known, error, 1))
    return Many(centre - reach, centre + reach, np.where(known, p, 1.0), known)


def check(rate: Many, mean: Many, fractions, means, k: int) -> None:
    """Hold the shortcuts to the library on the first data set."""
    for at in range(min(1, len(fractions))):
        a = stats.tango_n_eff(fractions[at, 1], fractions[at, 0], k)
        np.testing.assert_allclose([rate.low[at], rate.high[at]], [a.low, a.high], atol=1e-6)
        np.testing.assert_allclose(rate.p[at], a.p_value, atol=1e-9 if k == 1 else 0.07)
        b = stats.paired_t(means[at, 1].astype(float) - means[at, 0])
        if b.status == "ok":
            np.testing.assert_allclose(
                [mean.low[at], mean.high[at], mean.p[at]], [b.low, b.high, b.p_value], atol=1e-6
            )


def _others(rng, scores, verdicts, fractions, means, true_rate, true_mean) -> dict[str, np.ndarray]:
    reps, _, n, k = verdicts.shape
    z = 1.959963984540054

    def holds(estimate, error, value):
        return np.abs(estimate - value) <= z * error + 1e-12

    d = fractions[:, 1] - fractions[:, 0]
    rows = verdicts[:, 1].reshape(reps, -1).astype(int) - verdicts[:, 0].reshape(reps, -1).astype(int)
    size = n * k
    kinds = np.stack([(rows == value).mean(axis=1) for value in (-1, 0, 1)], axis=1)
    # Resampling rows that are -1, 0 or 1 is drawing their counts.
    counts = rng.multinomial(size, kinds[:600, None, :].repeat(300, axis=1))
    replicates = (counts[..., 2] - counts[..., 0]) / size
    low, high = np.quantile(replicates, [0.025, 0.975], axis=1)
    p_old, p_new = (verdicts[:, side].mean(axis=(1, 2)) for side in (0, 1))
    unpaired = np.sqrt((p_old * (1 - p_old) + p_new * (1 - p_new)) / size)
    score_rows = (scores[:, 1].astype(np.float32) - scores[:, 0]).reshape(reps, -1)
    found = {
        "CLT": holds(d.mean(axis=1), d.std(axis=1, ddof=1) / np.sqrt(n), true_rate),
        "row bootstrap": (low <= true_rate + 1e-12) & (true_rate - 1e-12 <= high),
        "unpaired z": holds(p_new - p_old, unpaired, true_rate),
        "row CLT": holds(
            score_rows.mean(axis=1), score_rows.std(axis=1, ddof=1) / np.sqrt(score_rows.shape[1]), true_mean
        ),
    }
    if n <= 20:
        change = (means[:, 1] - means[:, 0])[: min(reps, 300)]
        drawn = rng.integers(0, n, (len(change), 300, n))
        ends = np.quantile(
            np.take_along_axis(change[:, None, :], drawn, axis=2).mean(axis=2), [0.025, 0.975], axis=1
        )
        found["percentile"] = (ends[0] <= true_mean) & (true_mean <= ends[1])
    return found


@dataclass
class Alarm:
    """How often something was called a change where there was none."""

    what: str
    how: str
    metric: str
    reps: int
    share: float
    naive: float | None = None

    @property
    def most(self) -> float:
        """What the share may reach by luck when the true one is 5%: three standard errors."""
        return ALARMS + 3 * np.sqrt(ALARMS * (1 - ALARMS) / self.reps)


RESULTS = ("pass_rate", "mean_score")


def compared(fractions: np.ndarray, means: np.ndarray, k: int) -> list[Many]:
    """Compare two versions as `compare` does, in many data sets: pass rates, mean scores."""
    made = [tango_many(fractions, k), t_many(means)]
    check(*made, fractions, means, k)
    return made


def called(tests: list[Many], adjust: str) -> np.ndarray:
    """Say for each data set whether a change was called, and whether p < .05 alone would have called one."""
    found = []
    for at in range(len(tests[0].p)):
        rows = [
            {
                "metric": "pass_rate",
                "p_value": float(test.p[at]),
                "interval": (test.low[at], test.high[at]) if test.known[at] else (None, None),
            }
            for test in tests
        ]
        naive = min(row["p_value"] for row in rows) < 0.05
        done = adjust_scopes(rows, adjust, level=0.95)
        verdicts = [verdict_of(*row["interval"], p_value=row["p_adjusted"]) for row in done]
        found.append((any(verdict in ("improved", "regressed") for verdict in verdicts), naive))
    return np.array(found, dtype=float)


def study_alarms(*, reps: int, seed: int = 2) -> list[Alarm]:
    found = []
    for k in EPOCHS:
        for tag, (what, how, n, versions, split) in enumerate(FAMILIES):
            found += alarms_of_family(
                f"{what}, K={k}", how, n, k, versions, split, reps=reps, seed=[seed, tag, k]
            )
        found += alarms_of_ties(max(1, reps // 2), k, [seed, 90, k])
    return found + alarms_of_looks(reps, [seed, 91])


def by_nothing(scores: np.ndarray):
    yield passed(scores).mean(axis=3), scores.mean(axis=(3, 4))


def by_criterion(scores: np.ndarray):
    for at in range(CRITERIA):
        yield (scores[..., at] >= 4).mean(axis=3), scores[..., at].mean(axis=3)


def by_slice(scores: np.ndarray):
    for at in range(20):
        yield from by_nothing(scores[:, :, 20 * at : 20 * at + 20])


def by_criterion_and_severity(scores: np.ndarray):
    for severity in range(4):
        yield from by_criterion(scores[:, :, severity::4])


def by_version(scores: np.ndarray):
    for at in range(1, scores.shape[1]):
        yield from by_nothing(scores[:, [0, at]])


FAMILIES = (
    ("one comparison, 50 cases", "none", 50, 2, by_nothing),
    ("5 criteria, 50 cases", "holm", 50, 2, by_criterion),
    ("20 slices of 20 cases", "holm", 400, 2, by_slice),
    ("5 criteria x 4 severities, 80 cases", "bh", 80, 2, by_criterion_and_severity),
    ("10 versions against one, 50 cases", "holm", 50, 10, by_version),
)


def alarms_of_family(what, how, n, k, versions, split, *, reps: int, seed: list[int]) -> list[Alarm]:
    rng = np.random.default_rng(seed)
    levels = [latent_level(0.73)] * versions
    results: dict[str, list[np.ndarray]] = {metric: [] for metric in RESULTS}
    step = max(1, 4_000_000 // (n * k * versions * CRITERIA))
    for start in range(0, reps, step):
        scores = draw(rng, min(step, reps - start), n, k, levels)
        tests = [compared(*part, k) for part in split(scores)]
        for at, metric in enumerate(RESULTS):
            results[metric].append(called([test[at] for test in tests], how))
    made = []
    for metric, parts in results.items():
        share, naive = np.concatenate(parts).mean(axis=0)
        made.append(Alarm(what, how, metric, reps, float(share), float(naive)))
    return made


def alarms_of_ties(reps: int, k: int, seed: list[int]) -> list[Alarm]:
    """Ten versions alike, all 45 pairs tested with Holm: is any pair told apart."""
    rng = np.random.default_rng(seed)
    levels = [latent_level(0.73)] * 10
    hits: dict[str, list[np.ndarray]] = {metric: [] for metric in RESULTS}
    step = max(1, 80_000 // (50 * k))
    for start in range(0, reps, step):
        scores = draw(rng, min(step, reps - start), 50, k, levels)
        tables = {"pass_rate": passed(scores).mean(axis=3), "mean_score": scores.mean(axis=(3, 4))}
        for metric, table in tables.items():
            single = metric == "pass_rate" and k == 1
            test = mid_p if single else flipped if metric == "pass_rate" else lambda d: t_of(d).p
            values = [test(table[:, i] - table[:, j]) for i in range(10) for j in range(i)]
            apart = np.min(values, axis=0) * 45 < 0.05
            hits[metric].append(apart)
            if start == 0:
                ours = significant_pairs(table[0].T, rate=single, alpha=0.05, seed=0).any()
                assert ours == apart[0] or 0.0005 < np.min(values, axis=0)[0] < 0.002
    what = f"10 versions, any two told apart, 50 cases, K={k}"
    return [
        Alarm(what, "holm, 45 pairs", metric, reps, float(np.concatenate(parts).mean()))
        for metric, parts in hits.items()
    ]


def alarms_of_looks(reps: int, seed: list[int]) -> list[Alarm]:
    """Ten looks: each adds 20 new cases, or one more run of the same 50 cases by two identical versions."""
    level = latent_level(0.73)
    made = []
    for name in ("new cases at each look", "the same cases again at each look"):
        rng = np.random.default_rng([*seed, len(name)])
        if name.startswith("new"):
            verdicts = passed(draw(rng, reps, 200, 1, [level] * 2))[..., 0].astype(float)
            parts = [(verdicts[:, :, : 20 * look], 1) for look in range(1, 11)]
            flips, each = verdicts[:, 1] - verdicts[:, 0], 20
        else:
            runs = passed(draw(rng, reps, 50, 10, [level] * 2, own=0.0)).astype(float)
            parts = [(runs[..., :look].mean(axis=3), look) for look in range(1, 11)]
            flips, each = (runs[:, 1] - runs[:, 0]).transpose(0, 2, 1).reshape(reps, -1), 50
        ends = np.arange(1, 11) * each - 1
        watched = np.mean([bool((stats.e_path(row)[ends] >= 20 - 1e-9).any()) for row in flips])
        shares = []
        for wanted in (0.95, 1 - stats.pocock_alpha(10)):
            looks = [tango_many(f, k, level=wanted) for f, k in parts]
            shares.append(float(np.any([(e.low > 0) | (e.high < 0) for e in looks], axis=0).mean()))
        made.append(Alarm(f"10 looks, {name}", "e-value", "pass_rate", reps, float(watched), shares[0]))
        made.append(Alarm(f"10 looks, {name}", "Pocock", "pass_rate", reps, shares[1], shares[0]))
    return made


def failures(cells: list[Cell], alarms: list[Alarm], *, slack: float = 0.0) -> list[str]:
    """Name every promise that was not kept; `slack` standard errors are forgiven the coverage."""
    said = []
    for cell in cells:
        for name in OURS:
            error = slack * np.sqrt(PROMISED * (1 - PROMISED) / cell.reps)
            if cell.covered[name] < PROMISED - error:
                said.append(
                    f"{METHODS[name]} covers {cell.covered[name]:.1%} at n={cell.n}, K={cell.k}, pass rate {cell.rate}, shift {cell.shift}"
                )
    said += [
        f"{a.what} ({a.how}, {a.metric}): {a.share:.1%} false alarms" for a in alarms if a.share > a.most
    ]
    return said


def show(cells: list[Cell], alarms: list[Alarm]) -> None:
    reps = cells[0].reps
    print(
        f"Coverage of nominal 95% intervals of the difference, {reps} data sets a cell: worst / mean over truths"
    )
    print(f"  {'':34}" + "".join(f"{f'n={n} K={k}':>15}" for n in SIZES for k in EPOCHS))
    for name, words in METHODS.items():
        line = ""
        for n in SIZES:
            for k in EPOCHS:
                mine = [c.covered[name] for c in cells if (c.n, c.k) == (n, k) and name in c.covered]
                line += f"{f'{min(mine) * 100:.1f} / {np.mean(mine) * 100:.1f}' if mine else '':>15}"
        print(f"  {words:34}{line}")
    gone = max(c.unknown for c in cells)
    print(f"  no interval (all differences alike), at most: {gone:.1%} of the data sets of a cell")
    print(
        "\nFalse alarms where nothing changed (pass rate .73); 5% is the promise, 'bare' is p < .05 or peeking"
    )
    for a in alarms:
        bare = "" if a.naive is None else f"{a.naive:.1%}"
        print(f"  {a.what:52}{a.how:16}{a.metric:12}{a.share:>7.1%}   bare {bare:>6}   ({a.reps} data sets)")


def main(fast: bool) -> int:
    began = time.perf_counter()
    cells = study_coverage(reps=300 if fast else 4000)
    alarms = study_alarms(reps=200 if fast else 4000)
    show(cells, alarms)
    broken = failures(cells, alarms, slack=3.0 if fast else 0.0)
    print(
        f"\n{time.perf_counter() - began:.0f} s. " + ("Every promise is kept." if not broken else "Not kept:")
    )
    for line in broken:
        print(f"  {line}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main("--fast" in sys.argv))
