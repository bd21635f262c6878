"""Replacing the activations of a model."""

import keras
import numpy as np
import pytest
from backends import BACKEND, array

import wgpu_elu
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


@keras.saving.register_keras_serializable()
class Block(layers.Layer):
    """A layer of layers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
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


@pytest.mark.parametrize("activation", ["elu", keras.activations.elu, keras.ops.elu])
def test_activations_that_are_functions(activation):
    class Layer(layers.Layer):
        def __init__(self):
            super().__init__()
            self.functions = {"last": [activation if callable(activation) else keras.activations.get(activation)]}

        def call(self, x):
            return self.functions["last"][0](x)

    copy = replace(keras.Sequential([keras.Input((6,)), layers.Dense(3, activation=activation), Layer()]))
    assert count(copy) == (2, 0)


@pytest.mark.parametrize("dtype", ["float16", "mixed_float16", "mixed_bfloat16", "float64"])
def test_dtypes_are_kept(dtype):
    policy = keras.DTypePolicy(dtype)
    x = keras.Input((6,), dtype=policy.compute_dtype)
    y = layers.Dense(4, activation="elu", dtype=policy)(x)
    model = keras.Model(x, [y, keras.ops.elu(y), layers.ELU(dtype=policy)(y), layers.ELU()(y)])
    copy = replace(model)
    tensor = keras.ops.cast(X, policy.compute_dtype)
    for new, old, one, other in zip(copy(tensor), model(tensor), copy.outputs, model.outputs):
        assert new.dtype == old.dtype
        assert one.dtype == other.dtype == keras.backend.standardize_dtype(new.dtype)
        assert np.allclose(array(new).astype(float), array(old).astype(float), atol=2e-2 if "16" in dtype else 1e-6)
    y, again, *_ = map(array, copy(tensor))
    assert np.array_equal(again, wgpu_elu.elu(y))


@pytest.mark.parametrize("make", [sequential, functional, wrapped, custom])
def test_layers_belong_to_the_copy(make):
    model = make()
    originals = [layer for layer in model.layers if not isinstance(layer, layers.InputLayer)]
    uses = [len(layer._inbound_nodes) for layer in originals]
    copy = replace(model)
    for other, count in zip(originals, uses):
        one = copy.get_layer(other.name)
        assert len(one._inbound_nodes) == len(other._inbound_nodes) == count
        if count == 1:
            features = keras.Model(copy.inputs, one.output)(X)
            assert np.allclose(array(features), array(keras.Model(model.inputs, other.output)(X)), atol=1e-6)


def test_models_without_an_elu_belong_to_the_copy():
    x = keras.Input((6,))
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(3)])
    model = keras.Model(x, layers.Dense(2, activation="elu")(inner(x)))
    copy = replace(model)
    assert copy.layers[1].layers[0].kernel is inner.layers[0].kernel
    keras.Model(copy.layers[1].inputs, copy.layers[1].layers[0].output)
    assert len(inner._inbound_nodes) == 1


def test_a_layer_of_the_copy_is_quantized_alone():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, activation="elu"), layers.Dense(3)])
    copy = replace(model)
    before = values(model)[0]
    for layer in (copy.layers[0], copy.layers[1]):
        layer.quantize("int8")
        assert layer.quantization_mode == "int8" and layer.kernel.dtype == "int8"
    assert [layer.quantization_mode for layer in model.layers] == [None, None]
    assert len(model.weights) == 4 and np.array_equal(values(model)[0], before)
    assert np.allclose(values(copy)[0], before, atol=0.1)


def test_a_model_that_was_saved_with_the_layer_of_keras_is_replaced_after_loading(tmp_path):
    model = sequential()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert count(loaded) == (0, 1)
    assert count(replace(loaded)) == (3, 0)


def test_a_layer_with_its_own_code_is_saved_as_it_was(tmp_path):
    """Its configuration does not say what was replaced in it, so `replace` follows loading."""
    copy = replace(custom())
    copy.save(tmp_path / "copy.keras")
    loaded = keras.saving.load_model(tmp_path / "copy.keras")
    assert (count(copy), count(loaded), count(replace(loaded))) == ((2, 0), (0, 1), (2, 0))
    assert np.array_equal(values(replace(loaded))[0], values(copy)[0])


def test_what_has_no_elu_is_kept():
    model = sequential()
    copy = replace(model)
    assert copy.layers[2].kernel is model.layers[2].kernel
    assert copy.layers[2].get_config() == model.layers[2].get_config()
    mine = copy.layers[1]
    assert (mine.name, mine.alpha, mine.activity_regularizer) == ("mine", 0.3, model.layers[1].activity_regularizer)
    assert copy.name == model.name
    assert replace(functional()).inputs[0].shape == (None, 6)


def test_a_copy_is_not_compiled():
    def loss(y, prediction):
        return keras.ops.mean(keras.ops.square(y - prediction))

    model = nested()
    for part in [model, *model.layers]:
        if isinstance(part, keras.Model):
            part.compile("sgd", loss)  # Keras would not find a function of this name
    copy = replace(model)
    assert model.compiled and not copy.compiled
    copy.compile("sgd", loss)


def test_the_copy_is_more_accurate():
    x = keras.Input((1,))
    model = keras.Model(x, layers.ELU()(x))
    x = np.array([[-1e-8]], np.float32)
    assert array(replace(model)(x)) == x


def test_other_models_are_refused():
    class Subclass(keras.Model):
        def call(self, x):
            return x

    class Trained(keras.Model):
        def __init__(self, **kwargs):
            x = keras.Input((3,))
            super().__init__(x, layers.ELU()(x), **kwargs)

    class Stack(keras.Sequential):
        pass

    inside = keras.Sequential([keras.Input((3,)), Trained()])
    for model, name in [(Subclass(), "Subclass"), (Trained(), "Trained"), (Stack(), "Stack"), (inside, "Trained")]:
        with pytest.raises(ValueError) as error:
            replace(model)
        found = f"{__name__}.test_other_models_are_refused.<locals>.{name}"
        assert str(error.value) == f"replace: needed a Functional or Sequential model, found {found}"
    with pytest.raises(TypeError) as error:
        replace(layers.ELU())
    assert str(error.value).startswith("replace: needed a model of Keras, found keras.")
    with pytest.raises(ValueError) as error:
        replace(keras.Sequential([layers.Dense(2, activation="elu", name="first")]))
    assert str(error.value) == "replace: layer 'first' has no weights to share yet: build the model first"


@pytest.mark.skipif(BACKEND != "tensorflow", reason="only TensorFlow has XLA and SavedModel")
@pytest.mark.parametrize("make", [sequential, functional, nested, wrapped, custom])
def test_xla_and_saved_models_are_refused(make, tmp_path):
    copy = replace(make())
    with pytest.warns(UserWarning, match="Model doesn't support `jit_compile=True`"):
        copy.compile("sgd", "mse", jit_compile=True)
    assert not copy.jit_compile
    with pytest.raises(ValueError, match="cannot be part of a SavedModel, because it calls Python"):
        copy.export(tmp_path / "model", verbose=False)
