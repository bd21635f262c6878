"""The Python half of scripts/keras-roundtrip, which compares Keras with the Rust half.

The argument is the path of the Rust half, which is the program built from scripts/keras_roundtrip.rs.
"""

import json
import subprocess
import sys
import warnings

import absl.logging
import keras
import keras_models
import numpy as np
import tensorflow as tf
import tf_keras

LIBRARIES = [keras, tf_keras]
ALPHAS = [1.0, 0.3, 2.0, 0.0, -0.5, 1 / 3]
# The names of policies. A mixed policy computes in 16 bits and keeps variables in float32.
POLICIES = ["float32", "float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16"]
FACTORS = [None, "l1", "l2", {"l1": 0.1, "l2": 0.2}]
SHAPES = [(2, 3), (5, 1, 7), (1,), (0, 3)]

# The tolerances cover the errors of Keras, which computes exp(x) - 1, computes losses in the dtype of the data, and
# keeps the factors of losses in float32.
TOLERANCE = {"float32": 2e-7, "float16": 2e-3, "bfloat16": 2e-2, "float64": 1e-15}
LOSS_TOLERANCE = {"float32": 1e-6, "float16": 1e-2, "bfloat16": 5e-2, "float64": 3e-8}


def make(library, alpha, policy, factors, **arguments):
    """Returns a layer of a library."""
    regularizer = library.regularizers.L1L2(**factors) if isinstance(factors, dict) else factors
    return library.layers.ELU(alpha=alpha, dtype=policy, activity_regularizer=regularizer, **arguments)


def forms(alpha, policy, factors, **arguments):
    """Yields the name of each form of JSON, a layer, its JSON in this form, and its get_config dictionary."""
    layer = make(keras, alpha, policy, factors, **arguments)
    # Keras 3.15 cannot write a layer that was created with a regularizer object. So such a layer is written without
    # it, and the regularizer is added to the JSON here.
    plain = layer if not isinstance(factors, dict) else make(keras, alpha, policy, None, name=layer.name, **arguments)
    written, config = keras.saving.serialize_keras_object(plain), plain.get_config()
    if isinstance(factors, dict):
        for keys in (written["config"], config):
            keys["activity_regularizer"] = keras.saving.serialize_keras_object(layer.activity_regularizer)
    yield "Keras 3", layer, written, config

    layer = make(tf_keras, alpha, policy, factors, input_shape=(3,), **arguments)
    for form, legacy in [("tf_keras", False), ("tf_keras, 1.x form", True)]:
        written, config = tf_keras.layers.serialize(layer, use_legacy_format=legacy), layer.get_config()
        if factors is not None:
            # tf_keras omits the regularizer.
            for keys in (written["config"], config):
                keys["activity_regularizer"] = tf_keras.regularizers.serialize(
                    layer.activity_regularizer, use_legacy_format=legacy
                )
        yield form, layer, written, config


def run(layer, x, dtype):
    """Runs a layer in Keras. Returns its output and the loss of this call, or None."""
    y = layer(tf.cast(tf.constant(x, "float64"), dtype))
    losses = [float(tf.cast(loss, "float64")) for loss in layer.losses]
    assert len(losses) <= 1, losses
    return np.array(tf.cast(y, "float64")), losses[0] if losses else None


def state(library, layer):
    """Returns the arguments of a layer, as both libraries and the Rust half have them."""
    policy = layer.dtype_policy if library is keras else layer._dtype_policy
    autocast = layer.autocast if library is keras else layer._autocast
    regularizer = layer.activity_regularizer
    factors = [float(np.float32(getattr(regularizer, key, 0))) for key in ("l1", "l2")] if regularizer else None
    # tf_keras keeps alpha in float32.
    return layer.name, float(np.float32(layer.alpha)), layer.trainable, policy.name, autocast, factors


def read(library, written):
    """Returns the layers that a library reads from the JSON of a layer, and from the get_config dictionary in it."""
    copy = json.loads(json.dumps(written))
    with warnings.catch_warnings():
        # Keras 3 reads this key and warns about it.
        warnings.filterwarnings("ignore", "Do not pass an `input_shape`")
        return [library.saving.deserialize_keras_object(copy), library.layers.ELU.from_config(copy["config"])]


def check_layer(ask, rng, form, layer, written, config):
    """Makes the round trips of one layer, with an input of each shape. Yields the errors of the output and the loss."""
    library = keras if form == "Keras 3" else tf_keras
    policy = state(library, layer)[3]
    dtype = policy.removeprefix("mixed_")
    # tf_keras cannot compute the loss of a scalar.
    for shape in [*SHAPES, ()] if library is keras else SHAPES:
        x = np.array(tf.cast(tf.cast(tf.constant(rng.normal(0, 2, shape), "float64"), dtype), "float64"))
        expected, expected_loss = run(layer, x, dtype)
        data = {"dtype": dtype, "shape": shape, "x": x.ravel().tolist()}
        answer = ask({"layer": written, **data})
        y, loss = np.array(answer["y"]).reshape(shape), answer["loss"]
        error = float(np.max(np.abs(y - expected) / np.maximum(1, np.abs(expected)), initial=0))
        assert error <= TOLERANCE[dtype], (written, error)
        assert (loss is None) == (expected_loss is None), (written, loss, expected_loss)
        loss_error = 0
        if loss != expected_loss:
            loss_error = abs(loss - expected_loss) / max(abs(expected_loss), 0.01)
            assert loss_error <= LOSS_TOLERANCE[dtype], (written, loss, expected_loss)
        yield error, loss_error

        # The Rust half reads the same layer from the get_config dictionary, and from what it wrote itself.
        assert ask({"layer": config, **data}) == answer, config
        ours = answer["layer"]
        assert ask({"layer": ours, **data}) == answer, ours
        assert ours["config"]["dtype"] == policy, ours
        # Both libraries read what the Rust half wrote, and compute what their own layer with these arguments computes.
        alpha = written["config"]["alpha"]
        assert ours["config"]["alpha"] == alpha, (ours, written)
        factors = layer.activity_regularizer and {"l1": 0.0, "l2": 0.0, **config["activity_regularizer"]["config"]}
        for reader in LIBRARIES if shape else [keras]:
            kept = {"trainable": layer.trainable, "autocast": config.get("autocast", True)}
            same = make(reader, alpha, policy, factors, name=layer.name, **kept)
            same_y, same_loss = run(same, x, dtype)
            for copy in read(reader, ours):
                assert state(reader, copy) == state(reader, same), (reader, ours)
                y, loss = run(copy, x, dtype)
                assert np.array_equal(y, same_y, equal_nan=True) and loss == same_loss, (reader, ours)
                if library is tf_keras:
                    assert reader.Sequential([copy]).input_shape == (None, 3), (reader, ours)

    # tf_keras reads a shape with a known batch size, and Keras 3 refuses it.
    if library is tf_keras:
        complete = json.loads(json.dumps(written))
        complete["config"]["batch_input_shape"] = [4, 3]
        ours = ask({"layer": complete, **data})["layer"]
        for copy in read(tf_keras, ours):
            assert copy.get_config()["batch_input_shape"] == (4, 3), ours
        try:
            read(keras, ours)
        except TypeError as error:
            assert "batch_input_shape" in str(error), error
        else:
            raise AssertionError("Keras 3 reads batch_input_shape", ours)


def check_layers(ask):
    """Makes the round trips of layers with all combinations of arguments. Prints the largest errors."""
    rng = np.random.default_rng(7)
    count, max_error, max_loss_error = {}, {}, {}
    arguments = [(alpha, policy, factors) for alpha in ALPHAS for policy in POLICIES for factors in FACTORS]
    cases = [form for combination in arguments for form in forms(*combination)]
    cases += [form for policy in POLICIES for form in forms(0.7, policy, "l2", trainable=False)]
    cases += [form for policy in POLICIES for form in forms(0.7, policy, None, autocast=False)]
    for form, layer, written, config in cases:
        policy = state(keras if form == "Keras 3" else tf_keras, layer)[3]
        for error, loss_error in check_layer(ask, rng, form, layer, written, config):
            count[form] = count.get(form, 0) + 1
            max_error[policy] = max(max_error.get(policy, 0), error)
            max_loss_error[policy] = max(max_loss_error.get(policy, 0), loss_error)
    for form, round_trips in count.items():
        print(f"{form}: {round_trips} round trips of a layer and its input")
    for policy in POLICIES:
        print(
            f"{policy}: outputs within {max_error[policy]:.1e} of max(1, |y|),"
            f" losses within {max_loss_error[policy]:.1e} of max(0.01, |loss|)"
        )


def main():
    # Hides TensorFlow's advice about processors and file formats.
    absl.logging.set_verbosity(absl.logging.ERROR)
    tf.get_logger().setLevel("ERROR")
    warnings.filterwarnings("ignore", "You are saving your model as an HDF5 file")
    rust = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(request):
        """Returns the answer of the Rust half to a request."""
        print(json.dumps(request), file=rust.stdin, flush=True)
        return json.loads(rust.stdout.readline())

    print(f"Keras {keras.__version__}, tf_keras {tf_keras.__version__}, TensorFlow {tf.__version__}")
    check_layers(ask)
    keras_models.check(ask)
    rust.stdin.close()
    assert rust.wait() == 0


if __name__ == "__main__":
    main()
