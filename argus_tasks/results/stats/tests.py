"""One-sided t tests of many cells at once, corrected for their number.

All arrays are (..., cells): one comparison has one row of cells, a simulation has thousands. An
`effect` is a mean difference, `variance` that of a single difference (or value) with `df` degrees
of freedom, and `share` is what of that variance the effect has: 1/n for n pairs, 1/n + 1/m for two
samples.

The cells of a benchmark are few repeats each, and their noise is alike more often than not. So each
cell's variance is drawn towards the others' as far as those agree (Smyth, Linear models and
empirical Bayes methods for assessing differential expression, 2004), but never below its own: a
cell that is noisier than the others must not raise an alarm for that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Floats = NDArray[np.float64]

ALPHA = 0.05
"""The rate, in each direction, at which unchanged code is called changed, over all cells
together."""
LEAST_CELLS = 4
"""Cells that are needed to estimate noise from the other cells, too."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The tests' results for each cell.

    Attributes:
        p_up: adjusted p-value of "it has not gone up": at most ALPHA where it has.
        p_down: the same for "it has not gone down".
        low: lower end of the interval; above 0 exactly where p_up is at most `alpha`.
        high: upper end; below 0 exactly where p_down is.
    """

    p_up: Floats
    p_down: Floats
    low: Floats
    high: Floats


def judge(
    effect: Floats, variance: Floats, df: Floats, share: Floats, alpha: float = ALPHA
) -> Judged:
    """Test every cell in both directions; variances must be above 0."""
    spread, freedom = shared_variance(variance, df)
    error = np.sqrt(spread * share)
    t = effect / error
    up, down = stats.t.sf(t, freedom), stats.t.cdf(t, freedom)
    p_up, up_level = holm(up, alpha)
    p_down, down_level = holm(down, alpha)
    return Judged(
        p_up,
        p_down,
        effect - stats.t.isf(up_level, freedom) * error,
        effect + stats.t.isf(down_level, freedom) * error,
    )


def shared_variance(variance: Floats, df: Floats) -> tuple[Floats, Floats]:
    """Each cell's variance, estimated with the other cells, and its degrees of freedom."""
    cells = variance.shape[-1]
    df = np.broadcast_to(df, variance.shape).astype(float)
    if cells < LEAST_CELLS:
        return variance, df
    logs = np.log(variance) - special.digamma(df / 2) + np.log(df / 2)
    centre = logs.mean(axis=-1, keepdims=True)
    # The variance of the logarithms beyond what the few degrees of freedom explain.
    beyond = logs.var(axis=-1, ddof=1, keepdims=True) - special.polygamma(1, df / 2).mean(
        axis=-1, keepdims=True
    )
    differ = beyond > 1e-9
    prior_df = 2 * _inverse_trigamma(np.where(differ, beyond, 1.0))
    prior = np.exp(centre + special.digamma(prior_df / 2) - np.log(prior_df / 2))
    total = df.sum(axis=-1, keepdims=True)
    pooled = (variance * df).sum(axis=-1, keepdims=True) / total
    drawn = np.where(differ, (prior_df * prior + df * variance) / (prior_df + df), pooled)
    freedom = np.where(differ, np.minimum(prior_df + df, total), total)
    return np.maximum(drawn, variance), freedom


def holm(p: Floats, alpha: float) -> tuple[Floats, Floats]:
    """Holm's correction: adjusted p-values, and the level of each cell's test."""
    cells = p.shape[-1]
    order = np.argsort(p, axis=-1)
    ascending = np.take_along_axis(p, order, axis=-1)
    left = cells - np.arange(cells)
    adjusted = np.minimum(np.maximum.accumulate(ascending * left, axis=-1), 1.0)
    rejected = (adjusted <= alpha).sum(axis=-1, keepdims=True)
    steps = alpha / left
    last = alpha / np.maximum(cells - rejected, 1)
    level = np.where(np.arange(cells) < rejected, steps, last)
    return _unsorted(adjusted, order), _unsorted(level, order)


def _unsorted(values: Floats, order: NDArray[np.intp]) -> Floats:
    out = np.empty_like(values)
    np.put_along_axis(out, order, values, axis=-1)
    return out


def _inverse_trigamma(value: Floats) -> Floats:
    """x with trigamma(x) = value, by Newton's method on 1/trigamma, which is nearly a line."""
    x = 0.5 + 1 / value
    for _ in range(8):
        trigamma = special.polygamma(1, x)
        x = x + trigamma * (1 - trigamma / value) / special.polygamma(2, x)
    return np.asarray(x)
