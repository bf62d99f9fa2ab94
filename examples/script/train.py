"""A training script as people have it: arguments in, lines out. It knows nothing of sweeps.

It fits y = a x + b to noisy points by gradient descent.
"""

from __future__ import annotations

import argparse
import random

TRUE_A, TRUE_B, NOISE, POINTS = 2.0, -1.0, 0.1, 40


def main() -> None:
    """Train, and say how it goes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--optim", choices=("sgd", "momentum"), default="sgd")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    noise = random.Random(args.seed)
    points = [
        (x, TRUE_A * x + TRUE_B + noise.gauss(0, NOISE))
        for x in (i / POINTS * 2 - 1 for i in range(POINTS))
    ]
    keep = 0.8 if args.optim == "momentum" else 0.0
    a = b = step_a = step_b = 0.0
    for epoch in range(args.epochs):
        errors = [(a * x + b - y, x) for x, y in points]
        print(f"METRIC loss={sum(e * e for e, _ in errors) / POINTS} step={epoch}")
        step_a = keep * step_a - args.lr * sum(2 * e * x for e, x in errors) / POINTS
        step_b = keep * step_b - args.lr * sum(2 * e for e, _ in errors) / POINTS
        a, b = a + step_a, b + step_b
    mse = sum((a * x + b - y) ** 2 for x, y in points) / POINTS
    print(f"METRIC mse={mse} error_a={abs(a - TRUE_A)}")


if __name__ == "__main__":
    main()
