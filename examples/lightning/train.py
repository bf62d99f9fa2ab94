"""Handwritten digits with Lightning, watched by a monitor: the callback is all it takes."""

from __future__ import annotations

import lightning
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split

from argus_tasks.integrations.lightning import ArgusCallback


class Digits(lightning.LightningModule):  # type: ignore[misc, unused-ignore]
    """A small network for images of 8 by 8 points."""

    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10)
        )

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        images, labels = batch
        loss = torch.nn.functional.cross_entropy(self.net(images), labels)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[torch.Tensor], _: int) -> None:
        images, labels = batch
        scores = self.net(images)
        self.log("val_loss", torch.nn.functional.cross_entropy(scores, labels))
        self.log("val_accuracy", (scores.argmax(1) == labels).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.005)


def main() -> None:
    """Train for eight epochs on the processor."""
    lightning.seed_everything(0)
    images, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
    train, valid = random_split(data, [0.8, 0.2])
    trainer = lightning.Trainer(
        max_epochs=8,
        accelerator="cpu",
        default_root_dir="examples/lightning/results",
        callbacks=[ArgusCallback("digits", dataset="digits")],
    )
    trainer.fit(Digits(), DataLoader(train, 64, shuffle=True), DataLoader(valid, 256))


if __name__ == "__main__":
    main()
