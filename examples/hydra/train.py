"""Handwritten digits in a Hydra app. The monitor is wired in conf/config.yaml; nothing here has to
know of it, except what a curve shall show."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

from argus_tasks import emit


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float:
    """Train a linear model, an epoch at a time; return its accuracy."""
    images, labels = load_digits(return_X_y=True)
    train_x, valid_x, train_y, valid_y = train_test_split(
        images / 16, labels, random_state=cfg.seed
    )
    model = SGDClassifier(alpha=cfg.alpha, random_state=cfg.seed)
    score = 0.0
    for epoch in range(cfg.epochs):
        model.partial_fit(train_x, train_y, classes=range(10))
        score = float(model.score(valid_x, valid_y))
        emit("job_epoch", epoch=epoch, val_accuracy=score)
    return score


if __name__ == "__main__":
    main()
