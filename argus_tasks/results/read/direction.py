"""Guesses from a metric's name whether less or more of it is better."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

Direction: TypeAlias = Literal["min", "max"]

# fmt: off
_LESS = frozenset(
    {
        "loss", "mse", "mae", "rmse", "mape", "smape", "mase", "wape", "nrmse", "msle",
        "error", "err", "nll", "ppl", "perplexity", "crps", "deviance", "regret",
        "latency", "time", "duration", "seconds", "sec", "fid", "cer", "wer", "brier",
        "ece", "memory", "ram",
    }
)
_MORE = frozenset(
    {
        "acc", "accuracy", "f1", "auc", "auroc", "auprc", "r2", "skill", "score",
        "precision", "recall", "map", "ndcg", "mrr", "bleu", "rouge", "pcc", "corr",
        "correlation", "psnr", "ssim", "iou", "dice", "reward", "throughput",
        "likelihood", "elbo",
    }
)
# fmt: on
_TURNED = frozenset({"neg", "negative", "minus"})


def better_is(direction: Direction) -> str:
    """`lower is better`, or `higher is better`."""
    return f"{'lower' if direction == 'min' else 'higher'} is better"


def guess_direction(metric: str) -> Direction | None:
    """`"min"` or `"max"` if the name has a known word; else None.

    Of several known words the last counts (`error_score` is a score); `neg_` reverses it.
    """
    words = [word for word in re.split(r"[^a-z0-9]+", metric.lower()) if word]
    found: Direction | None = None
    for word in words:
        if _known(word, _LESS):
            found = "min"
        elif _known(word, _MORE):
            found = "max"
    if found and not _TURNED.isdisjoint(words):
        return "max" if found == "min" else "min"
    return found


def _known(word: str, known: frozenset[str]) -> bool:
    """The known word that this word is or ends in (`valloss` ends in `loss`)."""
    return word in known or any(len(end) >= 4 and word.endswith(end) for end in known)
