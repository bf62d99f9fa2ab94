"""An app as people write them; the callback stands in its config."""

from __future__ import annotations

import os
import signal
import time

import hydra
from omegaconf import DictConfig

from argus_tasks import emit
from argus_tasks.reporting import reporter

reporter.STOP_POLL_S = 0.1  # a test does not wait long for its stop


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float:
    for epoch in range(cfg.epochs):
        emit("job_epoch", epoch=epoch, train_loss=cfg.lr / (epoch + 1))
        time.sleep(cfg.pause_s)
    if cfg.end == "fails" and cfg.lr > 1:
        raise ValueError("too fast")
    if cfg.end == "interrupted":
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` leaves it ignored
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    return float(cfg.lr * 2)


if __name__ == "__main__":
    main()
