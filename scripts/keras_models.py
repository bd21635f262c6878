"""The models of scripts/keras-roundtrip.

Keras 3 and tf_keras write models in every form that they have. The Rust half finds the ELUs of a model, changes the
alpha of each layer of the class ELU and puts the layers back. Keras must load the changed model, and compute the same
output as the Rust half.
"""

import itertools
import json
import tempfile
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import tf_keras

LIBRARIES = {"Keras 3": keras, "tf_keras": tf_keras}


def sequential(library):
    """Returns a Sequential model, and a function that computes the same with `elu(path, x)`."""
    layers = library.layers
    model = library.Sequential(
        [
            library.Input((4,)),
            layers.ELU(0.5, name="first"),
            layers.Dense(3, activation="elu", name="dense"),
            library.Sequential([layers.ELU(0.75, name="deep")], name="sub"),
            layers.ELU(2.0, name="last", activity_regularizer="l2"),
        ],
        name="net",
    )

    def compute(elu, x):
        kernel, bias = model.get_layer("dense").get_weights()
        x = elu("net/dense", elu("net/first", x) @ kernel + bias)
        return elu("net/last", elu("net/sub/deep", x))

    return model, compute


def functional(library):
    """Returns a Functional model with a branch, a layer that is used twice and a wrapper, and a function like above."""
    layers = library.layers
    x = inputs = library.Input((2, 4), name="x")
    x = layers.TimeDistributed(layers.ELU(0.25, name="inner"), name="steps")(x)
    shared = layers.ELU(0.5, name="shared")
    left = shared(x)
    x = layers.Add(name="add")([left, layers.Activation("elu", name="act")(shared(left))])
    x = library.Sequential([layers.ELU(0.75, name="deep")], name="sub")(x)
    model = library.Model(inputs, layers.ELU(2.0, name="last")(x), name="net")

    def compute(elu, x):
        left = elu("net/shared", elu("net/steps/inner", x))
        x = left + elu("net/act", elu("net/shared", left))
        return elu("net/last", elu("net/sub/deep", x))

    return model, compute


def through_json(library, model, change, _):
    """Changes the result of model.to_json(), and loads it."""
    changed = change(model.to_json())
    loaded = library.models.model_from_json(changed)
    loaded.set_weights(model.get_weights())
    return changed, loaded


def through_keras(library, model, change, folder):
    """Changes the file config.json in a .keras file, and loads the file."""
    path, changed_path = folder / "model.keras", folder / "changed.keras"
    model.save(path)
    with zipfile.ZipFile(path) as file, zipfile.ZipFile(changed_path, "w") as changed_file:
        changed = change(file.read("config.json").decode())
        for name in file.namelist():
            changed_file.writestr(name, changed if name == "config.json" else file.read(name))
    return changed, library.models.load_model(changed_path)


def through_hdf5(library, model, change, folder):
    """Changes the attribute model_config of an HDF5 file, and loads the file."""
    path = folder / "model.h5"
    model.save(path)
    with h5py.File(path, "r+") as file:
        changed = change(file.attrs["model_config"])
        file.attrs["model_config"] = changed
    return changed, library.models.load_model(path, compile=False)


def comparable(text, factor):
    """Returns the JSON of a model with each alpha multiplied by a factor."""
    # A loaded model can have these keys where the original does not have them.
    left_out = ("module", "registered_name", "build_config")

    def change(pairs):
        return {key: value * factor if key == "alpha" else value for key, value in pairs if key not in left_out}

    return json.loads(text, object_pairs_hook=change)


def check_model(ask, library, build, save_and_load, x, folder):
    """Checks one model in one form."""
    model, compute = build(library)
    original = None

    def change(text):
        nonlocal original
        original = text
        return ask({"model": text})["changed"]

    changed, loaded = save_and_load(library, model, change, folder)
    # The Rust half finds the same ELUs before and after. The alpha of each layer of the class ELU is half as large.
    before, after = (ask({"model": text})["found"] for text in (original, changed))
    assert [found["path"] for found in before] == [found["path"] for found in after], changed
    for found, halved in zip(before, after):
        assert halved["alpha"] == found["alpha"] / (2 if found["class"] == "ELU" else 1), changed
    called = set()

    def elu_in(text):
        def elu(path, x):
            called.add(path)
            request = {"model": text, "path": path, "dtype": "float32", "shape": x.shape, "x": x.ravel().tolist()}
            return np.array(ask(request)["y"], np.float32).reshape(x.shape)

        return elu

    outputs = []
    for text, network in [(original, model), (changed, loaded)]:
        y, expected = np.array(network(x)), compute(elu_in(text), x)
        assert y.shape == expected.shape and np.max(np.abs(y - expected)) <= 2e-6, (text, y, expected)
        outputs.append(y)
    assert np.max(np.abs(outputs[0] - outputs[1])) > 1e-2, "the change has no effect"
    assert called == {found["path"] for found in after}, changed
    # Apart from alpha, the loaded model is the original one.
    assert comparable(loaded.to_json(), 2) == comparable(model.to_json(), 1), changed


def check(ask):
    """Checks all models in all forms."""
    rng = np.random.default_rng(7)
    kinds = {"Sequential": (sequential, (5, 4)), "Functional": (functional, (5, 2, 4))}
    forms = {"to_json()": through_json, ".keras": through_keras, "HDF5": through_hdf5}
    for (version, library), (kind, (build, shape)) in itertools.product(LIBRARIES.items(), kinds.items()):
        for save_and_load in forms.values():
            x = rng.normal(0, 2, shape).astype(np.float32)
            with tempfile.TemporaryDirectory() as folder:
                check_model(ask, library, build, save_and_load, x, Path(folder))
        print(f"{version}: changed layers put back into a {kind} model: {', '.join(forms)}")
