"""Writes the models in this folder: python models.py FOLDER. Needs keras 3.15.1, tf_keras 2.21.0, tensorflow-cpu 2.21.0.

Each model is the same network, written by Keras 3 and by tf_keras. It contains ELU in every place where Keras allows it.
"""

import json
import sys
import tempfile
import zipfile
from pathlib import Path

import h5py
import keras
import tf_keras


def network(k):
    layers = k.layers
    x = inputs = k.Input((5, 3), name="x")
    x = layers.TimeDistributed(layers.ELU(0.25, name="inner"), name="steps")(x)
    lstm = layers.LSTM(2, activation="elu", recurrent_activation="selu", return_sequences=True, name="lstm")
    x = layers.Bidirectional(lstm, name="both")(x)
    x = k.Sequential([layers.ELU(0.75, name="deep"), layers.Dense(2, activation="selu", name="dense")], name="sub")(x)
    x = layers.Activation("elu", name="act")(x)
    x = layers.ReLU(name="relu")(x)
    return k.Model(inputs, layers.ELU(0.5, name="last")(x), name="net")


def write(path, text):
    path.write_text(json.dumps(json.loads(text), indent=1) + "\n")


def main(folder):
    with tempfile.TemporaryDirectory() as temporary:
        model = network(keras)
        write(folder / "keras3.json", model.to_json())
        saved = Path(temporary) / "model.keras"
        model.save(saved)
        # The same file without the weights.
        with zipfile.ZipFile(saved) as full, zipfile.ZipFile(folder / "keras3.keras", "w", zipfile.ZIP_DEFLATED) as small:
            for name in ["metadata.json", "config.json"]:
                small.writestr(name, full.read(name))
        model = network(tf_keras)
        write(folder / "tf_keras.json", model.to_json())
        saved = Path(temporary) / "model.h5"
        model.save(saved)
        write(folder / "tf_keras_h5.json", h5py.File(saved).attrs["model_config"])


main(Path(sys.argv[1]))
