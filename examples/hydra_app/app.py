"""A Hydra app as people have it: a config composed of files, a function that is called with it.

It fits y = a x + b to noisy points by gradient descent.
"""

from __future__ import annotations

import random

import hydra
from omegaconf import DictConfig

TRUE_A, TRUE_B, NOISE, POINTS = 2.0, -1.0, 0.1, 40


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> dict[str, float]:
    """Train, and say how good it is."""
    noise = random.Random(cfg.seed)
    points = [
        (x, TRUE_A * x + TRUE_B + noise.gauss(0, NOISE))
        for x in (i / POINTS * 2 - 1 for i in range(POINTS))
    ]
    a = b = step_a = step_b = 0.0
    for _ in range(cfg.epochs):
        errors = [(a * x + b - y, x) for x, y in points]
        step_a = cfg.optim.keep * step_a - cfg.lr * sum(2 * e * x for e, x in errors) / POINTS
        step_b = cfg.optim.keep * step_b - cfg.lr * sum(2 * e for e, _ in errors) / POINTS
        a, b = a + step_a, b + step_b
    mse = sum((a * x + b - y) ** 2 for x, y in points) / POINTS
    print(f"{cfg.optim.name}: {mse:.4f}")
    return {"mse": mse, "error_a": abs(a - TRUE_A)}


if __name__ == "__main__":
    main()
