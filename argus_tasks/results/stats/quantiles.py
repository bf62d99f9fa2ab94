"""Student's t for 95 % intervals, without SciPy, which the base install lacks."""

from __future__ import annotations

from statistics import NormalDist

# fmt: off
_TABLE = (
    12.70620474, 4.30265273, 3.18244631, 2.77644511, 2.57058184, 2.44691185, 2.36462425,
    2.30600414, 2.26215716, 2.22813885, 2.20098516, 2.17881283, 2.16036866, 2.14478669,
    2.13144955, 2.11990530, 2.10981558, 2.10092204, 2.09302405, 2.08596345,
)
# fmt: on


def t_975(df: int) -> float:
    """The 97.5 % quantile of Student's t with `df` degrees of freedom (1 or more)."""
    if df <= len(_TABLE):
        return _TABLE[df - 1]
    # The Cornish-Fisher expansion: from here on its error is below 1e-5.
    z = NormalDist().inv_cdf(0.975)
    return (
        z
        + (z**3 + z) / (4 * df)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * df**3)
    )
