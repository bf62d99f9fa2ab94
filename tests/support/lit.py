"""A small model for both packages of Lightning; as a script it trains on two processes."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

BATCHES = 4


def module(package: str, **flaws: Any) -> Any:
    """A module of that package that logs in all the ways there are."""
    import torch

    pl = import_module(package)

    class Tiny(pl.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)
            self.losses: list[list[float]] = []

        def on_train_epoch_start(self) -> None:
            self.losses.append([])

        def training_step(self, batch: Any, index: int) -> Any:
            loss = (self.layer(batch[0]) ** 2).mean()
            self.losses[-1].append(loss.item())
            self.log("train_loss", loss)
            self.log("norm", loss, on_step=True, on_epoch=True)
            if flaws.get("fails_at") == self.current_epoch:
                raise ValueError("a bad batch")
            return loss

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("valid/loss", (self.layer(batch[0]) ** 2).mean())
            self.log("val_acc", float(self.current_epoch))

        def on_train_epoch_end(self) -> None:
            self.log("of_epoch", float(self.current_epoch))

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)]

    return Tiny()


def loader() -> Any:
    import torch

    torch.manual_seed(0)
    data = torch.utils.data.TensorDataset(torch.randn(16 * BATCHES, 4))
    return torch.utils.data.DataLoader(data, batch_size=16)


def trainer(package: str, folder: Path, callback: Any, **options: Any) -> Any:
    pl = import_module(package)
    chosen = {
        "max_epochs": 3,
        "accelerator": "cpu",
        "devices": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": False,
        "log_every_n_steps": 1,
        "default_root_dir": folder,
    }
    return pl.Trainer(callbacks=[callback], **{**chosen, **options})


def main(folder: str) -> None:
    """An endless training on two processes."""
    from argus_tasks.integrations.lightning import ArgusCallback

    package = "lightning.pytorch"
    import_module(package)
    options = {"strategy": "ddp", "devices": 2, "max_epochs": -1}
    model = module(package)
    callback = ArgusCallback("on two")
    trainer(package, Path(folder), callback, **options).fit(model, loader(), loader())


if __name__ == "__main__":
    main(sys.argv[1])
