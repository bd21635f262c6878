"""Replacing the activations of a model."""

import keras
import numpy as np
import pytest
from backends import BACKEND, array

from wgpu_elu.keras import ELU, replace

layers = keras.layers
X = np.linspace(-3, 3, 24, dtype=np.float32).reshape(4, 6)


def sequential():
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, activation="elu"),
            layers.ELU(alpha=0.3, name="mine", activity_regularizer="l2"),
            layers.Dense(4, activation="relu"),
            layers.Activation("elu"),
        ]
    )


def functional():
    x = keras.Input((6,))
    shared = layers.Dense(6, activation=keras.activations.elu)
    y = shared(shared(x))
    y = layers.Add()([keras.ops.elu(y, alpha=0.5), x])
    y = keras.activations.elu(y)
    return keras.Model(x, [y, layers.BatchNormalization()(y)])


def nested():
    x = keras.Input((6,))
    y = sequential()(x)
    return keras.Model(x, functional_of(4)(y))


def functional_of(size):
    x = keras.Input((size,))
    return keras.Model(x, layers.ELU()(layers.Dense(3)(x)))


def wrapped():
    x = keras.Input((6,))
    y = layers.Reshape((3, 2))(x)
    y = layers.TimeDistributed(layers.Dense(4, activation="elu"))(y)
    y = layers.Bidirectional(layers.SimpleRNN(3, activation="elu", return_sequences=True))(y)
    y = layers.RNN([layers.SimpleRNNCell(3, activation="elu"), layers.SimpleRNNCell(2, activation="elu")])(y)
    return keras.Model(x, y)


class Block(layers.Layer):
    """A layer of layers."""

    def __init__(self):
        super().__init__()
        self.parts = [layers.Dense(4, activation="elu"), {"last": layers.ELU(0.5)}]

    def build(self, shape):
        self.parts[0].build(shape)

    def call(self, x):
        return self.parts[1]["last"](self.parts[0](x))


def custom():
    x = keras.Input((6,))
    return keras.Model(x, Block()(x))


def values(model):
    y = model(X)
    return [array(part) for part in (y if isinstance(y, (list, tuple)) else [y])]


def count(model):
    """Return the numbers of layers of this package and of Keras."""
    found = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.ELU)]
    return sum(type(layer) is ELU for layer in found), sum(type(layer) is keras.layers.ELU for layer in found)


@pytest.mark.parametrize(
    ("make", "replaced"), [(sequential, 3), (functional, 3), (nested, 4), (wrapped, 5), (custom, 2)]
)
def test_every_elu_is_replaced_and_weights_are_shared(make, replaced, tmp_path):
    keras.utils.set_random_seed(1)
    model = make()
    before, config = values(model), model.get_config()
    copy = replace(model)
    assert count(copy) == (replaced, 0)
    for one, other in zip(values(copy), before):
        assert np.allclose(one, other, atol=1e-6)

    assert [id(v) for v in copy.trainable_variables] == [id(v) for v in model.trainable_variables]
    assert [id(v) for v in copy.variables] == [id(v) for v in model.variables]
    copy.compile("sgd", "mse")
    copy.fit(X, [np.zeros_like(y) for y in before] if len(before) > 1 else np.zeros_like(before[0]), verbose=0)
    after = values(copy)
    assert not np.allclose(after[0], before[0], atol=1e-6)
    for one, other in zip(after, values(model)):
        assert np.allclose(one, other, atol=1e-5)  # the same weights

    assert model.get_config() == config
    assert count(model)[0] == 0
    if make is not custom:
        copy.save(tmp_path / "copy.keras")
        loaded = keras.saving.load_model(tmp_path / "copy.keras")
        assert count(loaded) == (replaced, 0)
        for one, other in zip(values(loaded), after):
            assert np.array_equal(one, other)


def test_what_has_no_elu_is_kept():
    model = sequential()
    copy = replace(model)
    assert copy.layers[2] is model.layers[2]
    mine = copy.layers[1]
    assert (mine.name, mine.alpha, mine.activity_regularizer) == ("mine", 0.3, model.layers[1].activity_regularizer)
    assert copy.name == model.name
    assert replace(functional()).inputs[0].shape == (None, 6)


def test_a_compiled_model_stays_compiled():
    model = sequential()
    model.compile("adam", "mse")
    copy = replace(model)
    assert copy.compiled and type(copy.optimizer) is type(model.optimizer)


def test_the_copy_is_more_accurate():
    x = keras.Input((1,))
    model = keras.Model(x, layers.ELU()(x))
    x = np.array([[-1e-8]], np.float32)
    assert array(replace(model)(x)) == x


def test_other_models_are_refused():
    class Subclass(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match="only supported for Sequential models or Functional models"):
        replace(Subclass())
    with pytest.raises(ValueError) as error:
        replace(keras.Sequential([layers.Dense(2, activation="elu", name="first")]))
    assert str(error.value) == "replace: layer 'first' has no weights to share yet: build the model first"


@pytest.mark.skipif(BACKEND != "tensorflow", reason="only TensorFlow has XLA and SavedModel")
@pytest.mark.parametrize("make", [sequential, functional, nested, wrapped, custom])
def test_xla_and_saved_models_are_refused(make, tmp_path):
    copy = replace(make())
    copy.compile("sgd", "mse")
    assert not copy.jit_compile
    with pytest.raises(ValueError, match="cannot be part of a SavedModel, because it calls Python"):
        copy.export(tmp_path / "model", verbose=False)
