"""Handwritten digits with Keras, watched by a monitor: the callback is all it takes."""

from __future__ import annotations

import keras
from sklearn.datasets import load_digits

from argus_tasks.integrations.keras import ArgusCallback


def main() -> None:
    """Train for eight epochs."""
    keras.utils.set_random_seed(0)
    images, labels = load_digits(return_X_y=True)
    model = keras.Sequential(
        [
            keras.layers.Input((64,)),
            keras.layers.Rescaling(1 / 16),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(10),
        ],
        name="mlp",
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.005), loss, metrics=["accuracy"])
    with ArgusCallback("digits", dataset="digits") as callback:
        model.fit(
            images, labels, epochs=8, batch_size=64, validation_split=0.2, callbacks=[callback]
        )


if __name__ == "__main__":
    main()
