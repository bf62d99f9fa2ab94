"""Whether less or more of a metric is better, as far as its name tells."""

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


def guess_direction(metric: str) -> Direction | None:
    """`"min"` or `"max"` where the name has a word that is known; else None.

    Of several known words the last counts (`error_score` is a score); `neg_` turns it round.
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
    """The word itself, or one that ends in a long enough known one: `valloss`."""
    return word in known or any(len(end) >= 4 and word.endswith(end) for end in known)
