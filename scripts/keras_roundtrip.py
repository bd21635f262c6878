"""The Python half of scripts/keras-roundtrip, which compares Keras with the Rust half.

The argument is the path of the Rust half, which is the program built from scripts/keras_roundtrip.rs.
"""

import json
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf
import tf_keras

ALPHAS = [1.0, 0.3, 2.0, 0.0, -0.5, 1 / 3]
DTYPES = ["float32", "float16", "bfloat16", "float64"]
REGULARIZERS = [None, "l1", "l2", {"l1": 0.1, "l2": 0.2}]
SHAPES = [(2, 3), (5, 1, 7), (1,), (0, 3)]


def keras3(alpha, dtype, factors):
    """Returns a layer of Keras 3, and its configuration as Keras 3 writes it."""
    layer = keras.layers.ELU(alpha=alpha, dtype=dtype, activity_regularizer=factors if isinstance(factors, str) else None)
    config = keras.saving.serialize_keras_object(layer)
    if isinstance(factors, dict):
        # Keras 3.15 cannot write a layer that was created with a regularizer object. So the layer is written without
        # it, and the regularizer is added to both the layer and the configuration here.
        layer.activity_regularizer = keras.regularizers.L1L2(**factors)
        config["config"]["activity_regularizer"] = keras.saving.serialize_keras_object(layer.activity_regularizer)
    return layer, config


def keras2(alpha, dtype, factors, legacy):
    """Returns a layer of tf_keras, and its configuration as tf_keras writes it, in the form of TensorFlow 1.x if legacy."""
    if isinstance(factors, dict):
        factors = tf_keras.regularizers.L1L2(**factors)
    layer = tf_keras.layers.ELU(alpha=alpha, dtype=dtype, activity_regularizer=factors, input_shape=(3,))
    config = tf_keras.layers.serialize(layer, use_legacy_format=legacy)
    if factors is not None:
        # tf_keras omits the regularizer from the configuration.
        config["config"]["activity_regularizer"] = tf_keras.regularizers.serialize(
            layer.activity_regularizer, use_legacy_format=legacy
        )
    return layer, config


def cases():
    """Yields the form, the layer, its configuration and its dtype, for every combination of arguments."""
    for alpha in ALPHAS:
        for dtype in DTYPES:
            for factors in REGULARIZERS:
                yield "Keras 3", *keras3(alpha, dtype, factors), dtype
                yield "tf_keras", *keras2(alpha, dtype, factors, legacy=False), dtype
                yield "tf_keras, 1.x form", *keras2(alpha, dtype, factors, legacy=True), dtype


def run(layer, x, dtype):
    """Runs a layer in Keras. Returns its output and its losses."""
    x = tf.cast(tf.constant(x, "float64"), dtype)
    y = layer(x)
    losses = [float(tf.cast(loss, "float64")) for loss in layer.losses]
    return np.array(tf.cast(y, "float64")), losses


def main():
    rng = np.random.default_rng(7)
    rust = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(config, dtype, x):
        """Runs a layer in the Rust half. Returns its output, its loss, and the layer as the Rust half writes it."""
        request = {"layer": config, "dtype": dtype, "shape": x.shape, "x": x.ravel().tolist()}
        print(json.dumps(request), file=rust.stdin, flush=True)
        answer = json.loads(rust.stdout.readline())
        return np.array(answer["y"]).reshape(x.shape), answer["loss"], answer["layer"]

    # The tolerances cover the errors of Keras, which computes exp(x) - 1, computes losses in the dtype of the data, and
    # keeps the factors of losses in float32.
    tolerance = {"float32": 2e-7, "float16": 2e-3, "bfloat16": 2e-2, "float64": 1e-15}
    loss_tolerance = {"float32": 1e-6, "float16": 1e-2, "bfloat16": 5e-2, "float64": 3e-8}
    count, max_error, max_loss_error = {}, {}, {}
    for form, layer, config, dtype in cases():
        for shape in SHAPES:
            x = rng.normal(0, 2, shape)
            x = np.array(tf.cast(tf.cast(tf.constant(x, "float64"), dtype), "float64"))
            expected, losses = run(layer, x, dtype)
            y, loss, written = ask(config, dtype, x)
            scale = np.maximum(1, np.abs(expected))
            error = float(np.max(np.abs(y - expected) / scale, initial=0))
            assert error <= tolerance[dtype], (form, config, error)
            assert (loss is None) == (losses == []), (form, config, loss, losses)
            if loss is not None:
                loss_error = abs(loss - losses[-1]) / max(abs(losses[-1]), 1e-30)
                assert loss == losses[-1] or loss_error <= loss_tolerance[dtype], (form, config, loss, losses)
                max_loss_error[dtype] = max(max_loss_error.get(dtype, 0), 0 if loss == losses[-1] else loss_error)

            # Keras 3 reads the layer that the Rust half wrote, and computes the same output as before.
            assert written["config"]["name"] == config["config"]["name"]
            read = keras.saving.deserialize_keras_object(written)
            assert read.alpha == config["config"]["alpha"], (written, config)
            assert read.dtype == dtype
            y, losses = run(read, x, dtype)
            assert np.array_equal(y, expected, equal_nan=True), (form, config, written)
            assert (losses == []) == (loss is None)
            # A second round trip through the Rust half changes nothing.
            assert ask(written, dtype, x)[2] == written
            # If the input shape includes the batch size, the Rust half writes the layer in the form of tf_keras.
            # tf_keras must be able to read it.
            if form != "Keras 3":
                complete = json.loads(json.dumps(config))
                complete["config"]["batch_input_shape"] = [4, 3]
                complete = ask(complete, dtype, x)[2]
                read = tf_keras.layers.deserialize(complete)
                assert read.get_config()["batch_input_shape"] == (4, 3)
                assert read.get_config()["dtype"] == dtype
                assert np.array_equal(run(read, x, dtype)[0], expected, equal_nan=True), (form, complete)
            count[form] = count.get(form, 0) + 1
            max_error[dtype] = max(max_error.get(dtype, 0), error)
    rust.stdin.close()
    assert rust.wait() == 0
    print(f"Keras {keras.__version__}, tf_keras {tf_keras.__version__}, TensorFlow {tf.__version__}")
    for form, cases_of_form in count.items():
        print(f"{form}: {cases_of_form} round trips of a layer and its input")
    for dtype in DTYPES:
        print(f"{dtype}: outputs within {max_error[dtype]:.1e} of max(1, |y|), losses within {max_loss_error[dtype]:.1e}")


if __name__ == "__main__":
    main()
