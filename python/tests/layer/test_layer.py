"""The layer on one backend, which the variable KERAS_BACKEND selects."""

import json
import os
import re
import subprocess
import sys

import keras
import numpy as np
import oracle
import pytest
from backends import BACKEND, array, compiled, compiled_gradient, gradient, tensor
from keras.src import testing

import wgpu_elu
from wgpu_elu.keras import ELU

# How to run a function, and how to run its gradient.
MODES = [(lambda function: function, gradient), (compiled, compiled_gradient)]
MODE_IDS = ["eager", "compiled"]


def assert_bits(result, expected):
    result = array(result)
    assert result.dtype == expected.dtype and result.shape == expected.shape
    assert np.array_equal(oracle.bits(result), oracle.bits(expected))


class LayerChecks(testing.TestCase):
    """The checks that Keras makes of its own layers."""

    def test_elu(self):
        for init in ({}, {"alpha": 0.3}, {"alpha": [0.1, 0.2, 0.3, 0.4]}, {"activity_regularizer": "l2"}):
            self.run_layer_test(
                ELU,
                init_kwargs=init,
                input_shape=(2, 3, 4),
                expected_output_shape=(2, 3, 4),
                expected_num_trainable_weights=0,
                expected_num_non_trainable_weights=0,
                expected_num_seed_generators=0,
                expected_num_losses=1 if "activity_regularizer" in init else 0,
                supports_masking=True,
                assert_built_after_instantiation=True,
            )

    def test_correctness(self):
        x = np.array([-1.0, 0.0, 1.0, 2.0], np.float32)
        self.assertAllClose(ELU()(x), keras.layers.ELU()(x))


@pytest.mark.parametrize(("mode", "gradient"), MODES, ids=MODE_IDS)
@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=oracle.IDS)
@pytest.mark.parametrize("alpha", [1.0, 0.3, [0.5, 1.0, 2.0]])
def test_the_bits_are_those_of_the_function(mode, gradient, dtype, alpha):
    layer = ELU(alpha, dtype=dtype.name)
    for x in [
        oracle.sample(dtype, 291).reshape(10, 10, 3),
        np.zeros((0, 3), dtype),
        *([] if isinstance(alpha, list) else [np.array(-0.5, dtype)]),
    ]:
        grad = np.full_like(x, 1)
        assert_bits(mode(layer)(tensor(x)), wgpu_elu.elu(x, alpha))
        assert_bits(gradient(layer)(tensor(x)), wgpu_elu.elu_backward(x, grad, alpha))


@pytest.mark.parametrize(("mode", "gradient"), MODES, ids=MODE_IDS)
def test_large_tensors(mode, gradient):
    x = np.random.default_rng(0).normal(0, 2, (1000, 2000)).astype(np.float32)
    for _ in range(3):
        assert_bits(mode(ELU())(tensor(x)), wgpu_elu.elu(x))
        assert_bits(gradient(ELU())(tensor(x)), wgpu_elu.elu_backward(x, np.ones_like(x)))


@pytest.mark.parametrize("mode", [MODES[0][0], compiled], ids=MODE_IDS)
def test_second_and_third_derivatives(mode):
    if BACKEND == "torch" and mode is compiled:
        pytest.skip("PyTorch compiles no second derivatives")
    x = np.array([-3.0, -0.5, -1e-3, 0.5, 2.0])
    function = gradient(ELU(0.3, dtype="float64"))
    for _ in range(2):
        function = gradient(function)
        assert np.allclose(array(mode(function)(tensor(x))), np.where(x > 0, 0, 0.3 * np.exp(x)), rtol=1e-15)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    layer = ELU(0.3, dtype=policy)
    x = oracle.sample(layer.compute_dtype)
    assert_bits(layer(tensor(x.astype(np.float32))), wgpu_elu.elu(x, 0.3))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype=policy), ELU(dtype=policy)])
    model.compile("sgd", "mse")
    history = model.fit(np.ones((4, 3), np.float32), np.zeros((4, 2), np.float32), epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def digits(activation):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(16, activation=activation()),
            activation(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )


@pytest.mark.parametrize("jit_compile", ["auto", True, False])
@pytest.mark.filterwarnings("ignore:Model doesn't support `jit_compile=True`")
def test_training_follows_that_of_keras(jit_compile):
    if BACKEND == "torch" and jit_compile is True:
        pytest.skip("torch's default compiler needs a C++ compiler and minutes")
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (64, 8)).astype(np.float32), rng.integers(0, 3, 64)
    losses = []
    for activation in (ELU, keras.layers.ELU):
        model = digits(activation)
        model.compile("adam", "sparse_categorical_crossentropy", jit_compile=jit_compile)
        losses.append(model.fit(x, y, epochs=5, batch_size=64, shuffle=False, verbose=0).history["loss"])
        assert model.predict(x, verbose=0).shape == (64, 3)
    assert np.allclose(losses[0], losses[1], rtol=1e-4)
    assert losses[0][-1] < losses[0][0]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"alpha": 2},
        {"alpha": [0.1, 0.2]},
        {"trainable": False, "autocast": False},
        {"dtype": "mixed_bfloat16", "activity_regularizer": "l1"},
    ],
)
def test_the_configuration_is_that_of_keras(arguments):
    arguments = {"name": "activation", **arguments}
    layer, original = ELU(**arguments), keras.layers.ELU(**arguments)
    config = layer.get_config()
    assert config == original.get_config()
    assert ELU.from_config(original.get_config()).get_config() == config
    assert keras.layers.ELU.from_config(config).get_config() == config
    assert json.loads(json.dumps(config)) == config
    assert keras.saving.serialize_keras_object(layer)["registered_name"] == "wgpu_elu>ELU"


def test_configurations_that_keras_cannot_write():
    layer = ELU(np.array([0.5, 1.0]), activity_regularizer=keras.regularizers.L2(0.1))
    copy = ELU.from_config(json.loads(json.dumps(layer.get_config())))
    assert copy.get_config() == layer.get_config()
    assert copy.alpha == [0.5, 1.0] and copy.activity_regularizer.l2 == pytest.approx(0.1)


def test_a_saved_model_loads_with_either(tmp_path):
    path = tmp_path / "model.keras"
    model = digits(ELU)
    model.save(path)
    x = np.linspace(-3, 3, 16, dtype=np.float32).reshape(2, 8)
    loaded = keras.saving.load_model(path)
    assert type(loaded.layers[1]) is ELU and type(loaded.layers[0].activation) is ELU
    assert_bits(loaded(x), array(model(x)))
    code = f"""if True:
        import keras, sys
        model = keras.saving.load_model({str(path)!r}, custom_objects={{"wgpu_elu>ELU": keras.layers.ELU}})
        assert type(model.layers[1]) is type(model.layers[0].activation) is keras.layers.ELU
        assert "wgpu_elu" not in sys.modules"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_mask_is_passed_on():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Embedding(5, 2, mask_zero=True), ELU()])
    y = model(np.array([[1, 0, 2]]))
    assert np.array_equal(array(keras.src.backend.get_keras_mask(y)), [[True, False, True]])


@pytest.mark.parametrize("alpha", [None, "0.5", 1j, b""])
def test_alpha_must_be_a_number(alpha):
    with pytest.raises(TypeError) as error:
        ELU(alpha)
    assert str(error.value) == f"alpha: needed a number or an array of numbers, found {type(alpha).__name__}"


@pytest.mark.parametrize(("alpha", "shape"), [((3,), (2, 4)), ((2, 1), (2, 3, 4)), ((1, 1, 4), (2, 4)), ((4,), (4, 2))])
def test_alpha_must_broadcast(alpha, shape):
    """The error comes before the callback, whose errors the backends wrap."""
    layer = ELU(np.ones(alpha))

    def message(shape):
        return re.escape(f"alpha: shape {alpha} does not broadcast to shape {shape} of the input")

    for function in [layer] if BACKEND == "torch" else [layer, compiled(layer)]:  # torch.compile hides the error
        with pytest.raises(Exception, match=message(shape)):
            function(tensor(np.ones(shape)))
    with pytest.raises(ValueError, match=message(shape)):
        layer(np.ones(shape))
    symbolic = (None, *shape[1:])
    with pytest.raises(ValueError, match=message(symbolic)):
        layer(keras.Input(batch_shape=symbolic))


def test_unknown_sizes_are_not_compared():
    layer = ELU(np.ones((5, 1)))
    assert layer(keras.Input((None, 3))).shape == (None, None, 3)
    model = keras.Sequential([keras.Input((None, 3)), layer])
    assert model(np.ones((2, 5, 3), np.float32)).shape == (2, 5, 3)


def test_alpha_can_be_set():
    layer = ELU(0.3)
    x = np.array([[-1.0, -2.0]], np.float32)
    model = keras.Sequential([keras.Input((2,)), layer])
    for alpha in (0.5, 2, [1.0, 3.0], np.array([0.5, 0.25]), 1):
        layer.alpha = alpha
        assert_bits(model(x), wgpu_elu.elu(x, alpha))
        assert layer.get_config()["alpha"] == layer.alpha == np.asarray(alpha).tolist()
    with pytest.raises(TypeError, match="^alpha: needed a number or an array of numbers, found NoneType$"):
        layer.alpha = None
    assert layer.alpha == 1


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_without_autocast_the_dtype_is_that_of_the_input(policy):
    for autocast, expected in [(False, "float64"), (True, keras.DTypePolicy(policy).compute_dtype)]:
        layer = ELU(dtype=policy, autocast=autocast)
        assert keras.backend.standardize_dtype(layer(tensor(np.ones(3))).dtype) == expected
        assert layer(keras.Input((3,), dtype="float64")).dtype == expected


def test_integers_are_refused():
    with pytest.raises(TypeError, match="x: needed elements of float16, bfloat16, float32 or float64, found int32"):
        array(ELU()(np.ones((2, 4), np.int32)))


def test_other_backends_are_refused():
    done = subprocess.run(
        [sys.executable, "-c", "import wgpu_elu.keras"],
        env={**os.environ, "KERAS_BACKEND": "numpy"},
        capture_output=True,
        text=True,
    )
    assert done.stderr.endswith(
        "ImportError: wgpu_elu.keras needs the backend jax, tensorflow or torch of Keras, found numpy\n"
    )


if BACKEND == "tensorflow":
    import tensorflow as tf

    def test_the_static_shape_is_kept():
        layer = ELU()

        @tf.function(input_signature=[tf.TensorSpec((None, 3))])
        def function(x):
            y = layer(x)
            assert y.shape.as_list() == [None, 3]
            return y

        assert function(tf.ones((2, 3))).shape == (2, 3)

    @pytest.mark.parametrize(
        ("x", "kind"),
        [
            (tf.sparse.from_dense([[1.0, 0.0]]), "SparseTensor"),
            (tf.ragged.constant([[1.0], [2.0, 3.0]]), "RaggedTensor"),
            (tf.IndexedSlices(tf.ones((1, 2)), tf.constant([0]), tf.constant([3, 2])), "IndexedSlices"),
        ],
        ids=["sparse", "ragged", "slices"],
    )
    def test_tensors_that_are_not_dense_are_refused(x, kind):
        with pytest.raises(TypeError, match=f"x: needed a dense tensor, found tf.{kind}"):
            ELU()(x)

    def test_forward_mode():
        x = tf.constant([-1.0, 2.0])
        with tf.autodiff.ForwardAccumulator(x, tf.constant([2.0, 3.0])) as accumulator:
            y = ELU()(x)
        assert_bits(accumulator.jvp(y), wgpu_elu.elu_backward(x.numpy(), np.array([2, 3], np.float32)))

    def test_xla_is_not_used():
        model = digits(ELU)
        with pytest.warns(UserWarning, match="Model doesn't support `jit_compile=True`"):
            model.compile("sgd", "mse", jit_compile=True)
        assert not model.jit_compile

    def test_a_tensor_gives_a_tensor():
        x = np.array([-1.0, 2.0], np.float32)
        y = wgpu_elu.elu(tf.constant(x))
        assert isinstance(y, tf.Tensor)
        assert_bits(y, wgpu_elu.elu(x))

    @pytest.mark.skipif(sys.platform != "linux", reason="TensorFlow exports its LLVM on Linux only")
    @pytest.mark.parametrize("call", [wgpu_elu.adapters, lambda: wgpu_elu.elu(1.0, device="gpu")])
    def test_drivers_are_not_used_together_with_tensorflow(call):
        with pytest.raises(RuntimeError) as error:
            call()
        assert str(error.value) == (
            "TensorFlow is loaded, and drivers of Mesa would crash together with it: "
            'use device="cpu", or a process without TensorFlow'
        )

    def test_variables_are_tensors():
        x = np.array([-1.0, 2.0], np.float32)
        for variable in (tf.Variable(x), keras.Variable(x)):
            assert_bits(ELU()(variable), wgpu_elu.elu(x))
            assert_bits(tf.function(ELU())(variable), wgpu_elu.elu(x))

    @pytest.mark.parametrize("save", [lambda m, p: m.export(p, verbose=False), tf.saved_model.save])
    def test_a_saved_model_of_tensorflow_is_refused(save, tmp_path):
        layer = ELU(name="activation")
        for part in (layer, keras.layers.Dense(2, activation=layer)):
            model = keras.Sequential([keras.Input((3,)), part])
            with pytest.raises(ValueError) as error:
                save(model, str(tmp_path / "model"))
            assert str(error.value) == (
                "layer 'activation' cannot be part of a SavedModel, because it calls Python: use "
                "model.save('model.keras'), or replace the layer by keras.layers.ELU"
            )


if BACKEND == "jax":
    import jax
    import jax.numpy as jnp

    @pytest.mark.parametrize("alpha", [0.3, [0.5, 1.0, 2.0]])
    def test_vmap(alpha):
        layer = ELU(alpha, dtype="float64")
        x = np.random.default_rng(0).normal(0, 2, (4, 5, 3))
        expected = wgpu_elu.elu(x, alpha)
        assert_bits(jax.vmap(layer)(x), expected)
        assert_bits(jax.vmap(jax.vmap(layer), 1, 1)(x), expected)
        assert_bits(jax.jit(jax.vmap(layer, 2, 2))(x) if alpha == 0.3 else layer(x), expected)
        slopes = wgpu_elu.elu_backward(x, np.ones_like(x), alpha)
        assert_bits(jax.vmap(jax.grad(lambda x: layer(x).sum()))(jnp.asarray(x)), slopes)

    def test_vmap_does_not_broadcast_alpha_to_the_mapped_axis():
        with pytest.raises(ValueError, match=r"alpha: shape \(4, 1, 1\) does not broadcast to shape \(5, 3\)"):
            jax.vmap(ELU(np.ones((4, 1, 1))))(jnp.ones((4, 5, 3)))

    def test_sparse_arrays_are_refused():
        from jax.experimental import sparse

        with pytest.raises(TypeError, match="x: needed a dense array, found BCOO"):
            ELU()(sparse.BCOO.fromdense(jnp.ones((2, 2))))

    def test_a_second_call_compiles_nothing():
        first, second = ELU(0.25), ELU(0.25)
        x = jnp.ones((3, 5))
        first(x)
        jax.config.update("jax_no_tracing", True)
        try:
            assert np.array_equal(second(x), x)
        finally:
            jax.config.update("jax_no_tracing", False)

    def test_forward_mode_is_refused():
        with pytest.raises(TypeError, match="custom_vjp"):
            jax.jvp(ELU(), (jnp.ones(3),), (jnp.ones(3),))


if BACKEND == "torch":
    import torch

    from wgpu_elu.keras import _torch

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
    def test_opcheck(dtype):
        x = torch.randn(3, 4, dtype=dtype)
        for operator, inputs in [(_torch._forward, [x]), (_torch._backward, [x, torch.randn(3, 4, dtype=dtype)])]:
            for alpha, shape in [((0.5,), ()), ((0.5, 1.0, 1.5, 2.0), (4,))]:
                for require in (False, True):
                    arguments = [tensor.clone().requires_grad_(require) for tensor in inputs]
                    torch.library.opcheck(operator, (*arguments, alpha, shape))

    def test_strided_tensors():
        x = torch.randn(4, 6)
        for view in (x.T, x[::2], x[:, ::3], x.expand(2, 4, 6)):
            assert_bits(ELU()(view), wgpu_elu.elu(view.numpy()))

    @pytest.mark.parametrize("layout", ["sparse_coo", "sparse_csr"])
    @pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta state")
    def test_sparse_tensors_are_refused(layout):
        x = torch.ones(2, 2).to_sparse(layout=getattr(torch, layout))
        with pytest.raises(TypeError, match=f"x: needed a dense tensor, found one with layout torch.{layout}"):
            ELU()(x)

    def test_forward_mode_is_refused():
        """PyTorch would take the tangent for zero."""
        x, layer = torch.tensor([-1.0, 2.0]), ELU()
        message = "wgpu_elu.keras.ELU has no derivative in PyTorch's forward mode: use reverse mode"
        for call in (
            lambda: torch.func.jvp(layer, (x,), (x,)),
            lambda: torch.func.jacfwd(layer)(x),
            lambda: torch.compile(lambda: torch.func.jvp(layer, (x,), (x,)), backend="aot_eager")(),
        ):
            with pytest.raises(NotImplementedError, match=message):
                call()
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(x, x)
            with pytest.raises(NotImplementedError, match=message):
                layer(dual)

    @pytest.mark.filterwarnings("ignore:There is a performance drop")
    def test_function_transforms():
        x = torch.tensor([[-1.0, 2.0], [-3.0, 0.5]])
        alpha = [0.5, 2.0]
        assert_bits(torch.func.vmap(ELU(alpha))(x), wgpu_elu.elu(x.numpy(), alpha))
        with pytest.raises(RuntimeError, match="functorch transforms"):
            torch.func.grad(lambda x: ELU()(x).sum())(x)
