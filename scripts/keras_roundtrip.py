"""The Python half of scripts/keras-roundtrip. Its argument is the Rust half, scripts/keras_roundtrip.rs."""

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
    layer = keras.layers.ELU(alpha=alpha, dtype=dtype, activity_regularizer=factors if isinstance(factors, str) else None)
    told = keras.saving.serialize_keras_object(layer)
    if isinstance(factors, dict):
        # Of a layer that was given the object, Keras 3.15 cannot write the configuration.
        layer.activity_regularizer = keras.regularizers.L1L2(**factors)
        told["config"]["activity_regularizer"] = keras.saving.serialize_keras_object(layer.activity_regularizer)
    return layer, told


def keras2(alpha, dtype, factors, legacy):
    if isinstance(factors, dict):
        factors = tf_keras.regularizers.L1L2(**factors)
    layer = tf_keras.layers.ELU(alpha=alpha, dtype=dtype, activity_regularizer=factors, input_shape=(3,))
    told = tf_keras.layers.serialize(layer, use_legacy_format=legacy)
    if factors is not None:
        # tf_keras leaves it out of the configuration.
        told["config"]["activity_regularizer"] = tf_keras.regularizers.serialize(
            layer.activity_regularizer, use_legacy_format=legacy
        )
    return layer, told


def cases():
    for alpha in ALPHAS:
        for dtype in DTYPES:
            for factors in REGULARIZERS:
                yield "Keras 3", *keras3(alpha, dtype, factors), dtype
                yield "tf_keras", *keras2(alpha, dtype, factors, legacy=False), dtype
                yield "tf_keras, 1.x form", *keras2(alpha, dtype, factors, legacy=True), dtype


def run(layer, x, dtype):
    x = tf.cast(tf.constant(x, "float64"), dtype)
    y = layer(x)
    losses = [float(tf.cast(loss, "float64")) for loss in layer.losses]
    return np.array(tf.cast(y, "float64")), losses


def main():
    rng = np.random.default_rng(7)
    rust = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(told, dtype, x):
        asked = {"layer": told, "dtype": dtype, "shape": x.shape, "x": x.ravel().tolist()}
        print(json.dumps(asked), file=rust.stdin, flush=True)
        answer = json.loads(rust.stdout.readline())
        return np.array(answer["y"]).reshape(x.shape), answer["loss"], answer["layer"]

    # Keras' own error: it computes exp(x) - 1, losses in the dtype of the data, and their factors in float32.
    tolerance = {"float32": 2e-7, "float16": 2e-3, "bfloat16": 2e-2, "float64": 1e-15}
    loss_tolerance = {"float32": 1e-6, "float16": 1e-2, "bfloat16": 5e-2, "float64": 3e-8}
    count, worst, worst_loss = {}, {}, {}
    for form, layer, told, dtype in cases():
        for shape in SHAPES:
            x = rng.normal(0, 2, shape)
            x = np.array(tf.cast(tf.cast(tf.constant(x, "float64"), dtype), "float64"))
            expected, losses = run(layer, x, dtype)
            y, loss, again = ask(told, dtype, x)
            scale = np.maximum(1, np.abs(expected))
            error = float(np.max(np.abs(y - expected) / scale, initial=0))
            assert error <= tolerance[dtype], (form, told, error)
            assert (loss is None) == (losses == []), (form, told, loss, losses)
            if loss is not None:
                loss_error = abs(loss - losses[-1]) / max(abs(losses[-1]), 1e-30)
                assert loss == losses[-1] or loss_error <= loss_tolerance[dtype], (form, told, loss, losses)
                worst_loss[dtype] = max(worst_loss.get(dtype, 0), 0 if loss == losses[-1] else loss_error)

            # And back: what was written here is a layer of Keras 3, which computes the same.
            assert again["config"]["name"] == told["config"]["name"]
            read = keras.saving.deserialize_keras_object(again)
            assert read.alpha == told["config"]["alpha"], (again, told)
            assert read.dtype == dtype
            there, losses = run(read, x, dtype)
            assert np.array_equal(there, expected, equal_nan=True), (form, told, again)
            assert (losses == []) == (loss is None)
            # Once more through here, nothing changes.
            assert ask(again, dtype, x)[2] == again
            # A whole shape is for tf_keras to read.
            if form != "Keras 3":
                whole = json.loads(json.dumps(told))
                whole["config"]["batch_input_shape"] = [4, 3]
                whole = ask(whole, dtype, x)[2]
                read = tf_keras.layers.deserialize(whole)
                assert read.get_config()["batch_input_shape"] == (4, 3)
                assert read.get_config()["dtype"] == dtype
                assert np.array_equal(run(read, x, dtype)[0], expected, equal_nan=True), (form, whole)
            count[form] = count.get(form, 0) + 1
            worst[dtype] = max(worst.get(dtype, 0), error)
    rust.stdin.close()
    assert rust.wait() == 0
    print(f"Keras {keras.__version__}, tf_keras {tf_keras.__version__}, TensorFlow {tf.__version__}")
    for form, cases_of_form in count.items():
        print(f"{form}: {cases_of_form} layers and inputs, there and back")
    for dtype in DTYPES:
        print(f"{dtype}: outputs within {worst[dtype]:.1e} of max(1, |y|), losses within {worst_loss[dtype]:.1e}")


if __name__ == "__main__":
    main()
