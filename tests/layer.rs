//! Tests of the Keras layer: the members of `tf.keras.layers.ELU`, on every device.

use std::collections::HashSet;

use wgpu_elu::{
    DType, Device, Elu, Error, Layer, LayerError, Regularizer, Tensor,
    layer::{Config, Input, Loss, Mask, SymbolicTensor},
};

use conformance::native::{TestDevice, bits_of, on_every_device, supports, varied};

mod json;
mod model;

/// The shape of a batch of unknown size, with 3 elements per example.
const UNKNOWN_BY_3: [Option<usize>; 2] = [None, Some(3)];

fn named(name: &str) -> Layer {
    Layer::builder().name(name).build().unwrap()
}

fn input() -> SymbolicTensor {
    Input::new(&UNKNOWN_BY_3, DType::F32)
}

/// Returns `config` after `change`. `Config` is non-exhaustive, so tests cannot construct it with a literal.
fn with(mut config: Config, change: impl FnOnce(&mut Config)) -> Config {
    change(&mut config);
    config
}

#[track_caller]
fn assert_error<T: std::fmt::Debug>(result: Result<T, Error>, text: &str) {
    assert_eq!(result.unwrap_err().to_string(), text);
}

/// Returns the value of a scalar tensor, whose dtype must be float32 or float64.
fn scalar(tensor: &Tensor) -> f64 {
    assert_eq!(tensor.shape(), [0; 0]);
    match tensor.dtype() {
        DType::F64 => tensor.to_vec_blocking::<f64>().unwrap()[0],
        _ => tensor.to_vec_blocking::<f32>().unwrap()[0].into(),
    }
}

/// Returns the loss of the last call on data, which must be the only loss.
fn data_loss(layer: &Layer) -> Tensor {
    match &layer.losses()[..] {
        [Loss::Data(loss)] => loss.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_on_data_computes_elu_and_creates_no_node() {
    on_every_device(|TestDevice { device, name }| {
        for dtype in DType::ALL {
            if !supports(device, dtype) {
                continue;
            }
            let bytes: Vec<u8> = (0..=255).cycle().take(6 * 5 * dtype.size()).collect();
            let x = Tensor::from_bytes(device, dtype, &bytes, &[6, 5]).unwrap();
            let layer = Layer::new(0.3).unwrap();
            assert_eq!((layer.dtype(), layer.built()), (None, false));
            let y = layer.call(&x).unwrap();
            assert_eq!(
                (y.shape(), y.dtype(), y.device()),
                (&[6, 5][..], dtype, device.clone())
            );
            let elu = Elu::new(0.3);
            assert_eq!(
                bits_of(&y),
                bits_of(&elu.forward(&x).unwrap()),
                "{name} {dtype}"
            );
            assert_eq!(
                bits_of(&layer.apply(&x).unwrap()),
                bits_of(&y),
                "{name} {dtype}"
            );
            let grad = layer.backward(&x, &y).unwrap();
            assert_eq!(
                bits_of(&grad),
                bits_of(&elu.backward(&x, &y).unwrap()),
                "{name} {dtype}"
            );
            assert_eq!((layer.dtype(), layer.built()), (Some(dtype), true));
            assert!(matches!(
                layer.get_input_at(0),
                Err(Error::Layer(LayerError::NeverConnected { .. }))
            ));
            assert!(layer.losses().is_empty());
        }
    });
}

#[test]
fn a_symbolic_call_creates_a_node() {
    let layer = named("act");
    let x = input();
    let y = layer.connect(&x).unwrap();
    assert_eq!(
        (y.shape(), y.dtype(), y.mask()),
        (&UNKNOWN_BY_3[..], DType::F32, None)
    );
    assert_eq!(y.name(), "act/output");
    assert_eq!(
        (layer.input().unwrap(), layer.output().unwrap()),
        (x.clone(), y.clone())
    );
    assert_eq!(layer.input_shape().unwrap(), UNKNOWN_BY_3);
    assert_eq!(layer.output_shape().unwrap(), UNKNOWN_BY_3);
    assert_eq!(
        (layer.input_mask().unwrap(), layer.output_mask().unwrap()),
        (None, None)
    );
    assert_eq!((layer.dtype(), layer.built()), (Some(DType::F32), true));

    let z = layer.connect(&y).unwrap();
    assert_eq!(z.name(), "act/output_1");
    for (index, x, y) in [(0, &x, &y), (1, &y, &z), (-1, &y, &z), (-2, &x, &y)] {
        assert_eq!(layer.get_input_at(index).unwrap(), *x, "{index}");
        assert_eq!(layer.get_output_at(index).unwrap(), *y, "{index}");
        assert_eq!(layer.get_input_shape_at(index).unwrap(), UNKNOWN_BY_3);
        assert_eq!(layer.get_output_shape_at(index).unwrap(), UNKNOWN_BY_3);
        assert_eq!(layer.get_input_mask_at(index).unwrap(), None);
        assert_eq!(layer.get_output_mask_at(index).unwrap(), None);
    }
    // The shapes and the masks of both nodes are equal, so the members without an index still return them.
    assert_eq!(layer.input_shape().unwrap(), UNKNOWN_BY_3);
    assert_eq!(layer.output_mask().unwrap(), None);
}

#[test]
fn common_values_are_errors_if_nodes_differ() {
    let layer = named("act");
    let x = input();
    layer.connect(&x).unwrap();
    layer.connect(&x).unwrap();
    assert_eq!(layer.input().unwrap(), x);
    assert_error(
        layer.output(),
        "the layer \"act\" has multiple inbound nodes, with different outputs; hence the notion of \"output\" is ill-defined \
         for the layer; use `get_output_at(node_index)` instead",
    );
    layer
        .connect(&Input::new(&[None, Some(4)], DType::F32).with_mask(Mask::new(&[None])))
        .unwrap();
    let ill_defined = |what: &str, getter: &str| {
        format!(
            "the layer \"act\" has multiple inbound nodes, with different {what}s; hence the notion of \"{what}\" is \
             ill-defined for the layer; use `{getter}(node_index)` instead"
        )
    };
    assert_error(layer.input(), &ill_defined("input", "get_input_at"));
    assert_error(
        layer.input_shape(),
        &ill_defined("input shape", "get_input_shape_at"),
    );
    assert_error(
        layer.output_shape(),
        &ill_defined("output shape", "get_output_shape_at"),
    );
    assert_error(
        layer.input_mask(),
        &ill_defined("input mask", "get_input_mask_at"),
    );
    assert_error(
        layer.output_mask(),
        &ill_defined("output mask", "get_output_mask_at"),
    );
    assert_eq!(layer.get_output_shape_at(2).unwrap(), [None, Some(4)]);
}

#[test]
fn values_of_nodes_are_errors_without_nodes() {
    let layer = named("act");
    let undefined = |what: &str| {
        format!(
            "the layer \"act\" has never been called on a symbolic tensor and thus has no defined {what}"
        )
    };
    for called in [false, true] {
        assert_error(layer.input(), &undefined("input"));
        assert_error(layer.output(), &undefined("output"));
        assert_error(layer.input_mask(), &undefined("input mask"));
        assert_error(layer.output_mask(), &undefined("output mask"));
        assert_error(layer.input_shape(), &undefined("input shape"));
        assert_error(layer.output_shape(), &undefined("output shape"));
        assert_error(layer.get_input_at(0), &undefined("input"));
        assert_error(layer.get_output_at(-1), &undefined("output"));
        assert_error(layer.get_input_mask_at(0), &undefined("input mask"));
        assert_error(layer.get_output_mask_at(0), &undefined("output mask"));
        assert_error(layer.get_input_shape_at(0), &undefined("input shape"));
        assert_error(layer.get_output_shape_at(0), &undefined("output shape"));
        if !called {
            layer.build(&UNKNOWN_BY_3);
            layer
                .call(&Tensor::from_slice(&Device::Cpu, &[1.0f32], &[1]).unwrap())
                .unwrap();
        }
    }
}

#[test]
fn a_node_index_out_of_range_is_an_error() {
    let layer = named("act");
    layer.connect(&input()).unwrap();
    assert_error(
        layer.get_input_at(1),
        "asked to get input at node 1, but the layer \"act\" has only 1 inbound node",
    );
    layer.connect(&input()).unwrap();
    for index in [2, -3, isize::MAX, isize::MIN] {
        assert_error(
            layer.get_output_shape_at(index),
            &format!(
                "asked to get output shape at node {index}, but the layer \"act\" has only 2 inbound nodes"
            ),
        );
    }
}

#[test]
fn a_mask_passes_through_unchanged() {
    let layer = Layer::new(1.0).unwrap();
    let mask = Mask::new(&[None, Some(7)]);
    assert_eq!(mask.shape(), [None, Some(7)]);
    let x = Input::new(&[None, Some(7), Some(3)], DType::F32).with_mask(mask.clone());
    let y = layer.connect(&x).unwrap();
    assert_eq!(y.mask(), Some(&mask));
    assert_eq!(layer.input_mask().unwrap(), Some(mask.clone()));
    assert_eq!(layer.get_output_mask_at(-1).unwrap(), Some(mask.clone()));
    assert_ne!(
        mask,
        Mask::new(&[None, Some(7)]),
        "masks of the same shape that were created separately"
    );
    assert_eq!(layer.compute_mask(&x, Some(mask.clone())), Some(mask));
    assert_eq!(layer.compute_mask(&x, None::<Mask>), None);
    assert_eq!(
        layer.compute_mask(&[1.0f32][..], Some(vec![true])),
        Some(vec![true])
    );
}

#[test]
fn input_names_are_unique_and_renaming_leaves_clones_unchanged() {
    let x = input();
    let number: usize = x.name().strip_prefix("input_").unwrap().parse().unwrap();
    assert!(number > 0);
    assert_ne!(x.name(), input().name());
    let clone = x.clone();
    let renamed = x.with_name("x");
    assert_eq!(renamed.name(), "x");
    assert_ne!(
        clone, renamed,
        "the clone keeps its name, so the renamed tensor is a different one"
    );
    assert_eq!(
        format!("{renamed:?}"),
        "SymbolicTensor { name: \"x\", shape: [None, Some(3)], dtype: F32, mask: None, .. }"
    );
}

#[test]
fn the_output_shape_is_the_input_shape() {
    let layer = Layer::new(1.0).unwrap();
    for shape in [
        &[][..],
        &[None],
        &[Some(2), Some(3)],
        &[None, None, Some(0)],
    ] {
        assert_eq!(layer.compute_output_shape(shape), shape);
    }
}

#[test]
fn count_params_is_an_error_until_the_layer_is_built() {
    let layer = named("act");
    assert_error(
        layer.count_params(),
        "you tried to call `count_params` on layer \"act\", but the layer isn't built; you can build it manually via \
         `build(batch_input_shape)`",
    );
    layer.build(&UNKNOWN_BY_3);
    layer.build(&[]);
    assert_eq!((layer.count_params().unwrap(), layer.built()), (0, true));
    assert_eq!(layer.dtype(), None);
    let layer = Layer::new(1.0).unwrap();
    layer.connect(&input()).unwrap();
    assert_eq!(layer.count_params().unwrap(), 0);
}

#[test]
fn there_are_no_weights_and_no_updates() {
    let layer = named("act");
    let weights = [
        layer.weights(),
        layer.variables(),
        layer.trainable_weights(),
        layer.trainable_variables(),
        layer.non_trainable_weights(),
        layer.non_trainable_variables(),
        &layer.get_weights(),
    ];
    assert!(weights.iter().all(|weights| weights.is_empty()));
    let x = input();
    layer.connect(&x).unwrap();
    assert!(layer.updates().is_empty() && layer.get_updates_for(&[&x]).is_empty());
    layer.set_weights(&[]).unwrap();
    let weight = Tensor::zeros(&Device::Cpu, DType::F32, &[2, 3]).unwrap();
    assert_error(
        layer.set_weights(&[weight]),
        "you called `set_weights(weights)` on layer \"act\" with a weight list of length 1, but the layer was expecting 0 \
         weights; provided weights have the shapes [[2, 3]]",
    );
}

#[test]
fn the_constructor_or_the_first_call_sets_the_dtype() {
    let data = |dtype| Tensor::zeros(&Device::Cpu, dtype, &[3]).unwrap();
    let text = "layer \"act\" computes in float16, found float32; convert the data, or make a layer of that dtype";
    let by_constructor = Layer::builder()
        .name("act")
        .dtype(DType::F16)
        .build()
        .unwrap();
    assert_eq!(by_constructor.dtype(), Some(DType::F16));
    let by_data = named("act");
    by_data.call(&data(DType::F16)).unwrap();
    let by_symbol = named("act");
    by_symbol.connect(&Input::new(&[None], DType::F16)).unwrap();
    for layer in [by_constructor, by_data, by_symbol] {
        let had_node = layer.get_input_at(0).is_ok();
        assert_error(layer.call(&data(DType::F32)), text);
        assert_error(layer.apply(&data(DType::F32)), text);
        assert_error(layer.backward(&data(DType::F32), &data(DType::F32)), text);
        assert_error(layer.connect(&input()), text);
        assert_eq!(
            layer.get_input_at(0).is_ok(),
            had_node,
            "a refused call creates no node"
        );
        assert_eq!(layer.dtype(), Some(DType::F16));
        layer.call(&data(DType::F16)).unwrap();
    }
    // `backward` is not a call: it does not set the dtype, whether it fails or not.
    let layer = named("act");
    let (x, grad) = (
        data(DType::F32),
        Tensor::zeros(&Device::Cpu, DType::F32, &[4]).unwrap(),
    );
    assert!(layer.backward(&x, &grad).is_err());
    layer.backward(&x, &x).unwrap();
    assert_eq!((layer.dtype(), layer.built()), (None, false));
}

#[test]
fn automatic_names_are_unique_in_the_process() {
    let threads: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(|| {
                let name = |_| Layer::new(1.0).unwrap().name().to_owned();
                (0..100).map(name).collect::<Vec<_>>()
            })
        })
        .collect();
    let names: Vec<String> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    for name in &names {
        let number = name.strip_prefix("elu").unwrap();
        assert!(
            number.is_empty() || number.strip_prefix('_').unwrap().parse::<usize>().unwrap() > 0
        );
    }
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), 400);
    assert_eq!((named("a").name(), named("a").name()), ("a", "a"));
    assert!(named("").name().starts_with("elu"));
    assert_error(
        Layer::builder().name("a/b").build(),
        "argument `name` cannot contain character `/`, received \"a/b\"",
    );
}

#[test]
fn many_threads_can_call_the_same_layer() {
    let layer = Layer::builder()
        .activity_regularizer(Regularizer::L1(1.0))
        .build()
        .unwrap();
    let x = Tensor::from_slice(&Device::Cpu, &varied(1000), &[10, 100]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    layer.call(&x).unwrap();
                    layer.connect(&input()).unwrap();
                }
            });
        }
    });
    assert!(layer.get_output_at(99).is_ok() && layer.get_output_at(100).is_err());
    let names: HashSet<String> = (0..100)
        .map(|i| layer.get_output_at(i).unwrap().name().to_owned())
        .collect();
    assert_eq!(names.len(), 100);
    assert_eq!(layer.losses().len(), 101);
}

#[test]
fn the_config_contains_the_arguments_of_the_constructor() {
    let layer = Layer::new(1.0).unwrap();
    assert_eq!((layer.alpha(), layer.trainable()), (1.0, true));
    assert_eq!(layer.activity_regularizer(), None);
    let config = layer.get_config();
    assert_eq!(
        config,
        with(Config::default(), |config| {
            config.name = Some(layer.name().into());
        })
    );

    let full = Layer::builder()
        .alpha(0.3)
        .name("full")
        .trainable(false)
        .dtype(DType::F64)
        .input_shape(&[Some(3)])
        .batch_size(4)
        .activity_regularizer(Regularizer::L2(0.5))
        .build()
        .unwrap();
    let expected = with(Config::default(), |config| {
        config.alpha = 0.3;
        config.name = Some("full".into());
        config.trainable = false;
        config.dtype = Some(DType::F64);
        config.batch_input_shape = Some(vec![Some(4), Some(3)]);
        config.activity_regularizer = Some(Regularizer::L2(0.5));
        config.build_input_shape = None;
    });
    assert_eq!(full.get_config(), expected);
    assert_eq!(
        Layer::from_config(&expected).unwrap().get_config(),
        expected
    );
    assert!(matches!(
        full.input_shape(),
        Err(Error::Layer(LayerError::NeverConnected { .. }))
    ));

    let batch_input_shape = |builder: wgpu_elu::layer::LayerBuilder| {
        builder.build().unwrap().get_config().batch_input_shape
    };
    let builder = Layer::builder;
    assert_eq!(
        batch_input_shape(builder().input_shape(&[Some(3)])),
        Some(vec![None, Some(3)])
    );
    assert_eq!(batch_input_shape(builder().batch_size(4)), None);
    let both = builder()
        .batch_input_shape(&[Some(5), Some(6)])
        .input_shape(&[Some(3)])
        .batch_size(4);
    assert_eq!(batch_input_shape(both), Some(vec![Some(5), Some(6)]));

    let called = named("a");
    called.connect(&input()).unwrap();
    assert_eq!(called.get_config().dtype, Some(DType::F32));
    let built = with(Config::default(), |config| {
        config.build_input_shape = Some(vec![Some(2)]);
    });
    assert!(Layer::from_config(&built).unwrap().built());

    let mut layer = layer;
    layer.set_trainable(false);
    assert!(!layer.trainable());
}

#[test]
fn alpha_may_be_any_number_except_nan() {
    assert_error(
        Layer::new(f64::NAN),
        "alpha of an ELU layer cannot be NaN, expecting a float",
    );
    for alpha in [-1.0, 0.0, f64::INFINITY] {
        assert_eq!(Layer::new(alpha).unwrap().alpha(), alpha);
    }
}

#[test]
fn negative_regularizer_factors_are_refused() {
    let text = "regularizer factor l1 must be a non-negative finite number, found -1";
    assert_error(
        Layer::builder()
            .activity_regularizer(Regularizer::L1(-1.0))
            .build(),
        text,
    );
    let mut layer = Layer::builder()
        .activity_regularizer(Regularizer::L2(0.1))
        .build()
        .unwrap();
    assert_error(
        layer.set_activity_regularizer(Some(Regularizer::L1(-1.0))),
        text,
    );
    assert_eq!(layer.activity_regularizer(), Some(Regularizer::L2(0.1)));
    layer.set_activity_regularizer(None).unwrap();
    assert_eq!(layer.activity_regularizer(), None);
}

/// The expected values were computed by Keras. Our results differ from them by at most 2 ULP of float32.
#[test]
fn losses_are_those_of_keras() {
    on_every_device(|TestDevice { device, name }| {
        let x = [-1.0f32, 0.0, 2.0, 3.0, -2.0, -0.5];
        let x = Tensor::from_slice(device, &x, &[2, 3]).unwrap();
        for (regularizer, expected) in [
            (Regularizer::L1(0.1), 0.344_512_73),
            (Regularizer::L2(0.1), 0.715_102_02),
            (Regularizer::L1L2 { l1: 0.1, l2: 0.2 }, 1.774_716_73),
        ] {
            let layer = Layer::builder()
                .activity_regularizer(regularizer)
                .build()
                .unwrap();
            layer.call(&x).unwrap();
            let loss = data_loss(&layer);
            assert_eq!(loss.device(), *device);
            let loss = scalar(&loss);
            assert!(
                (loss / expected - 1.0).abs() < 2e-7,
                "{name}: {regularizer:?} {loss}"
            );
        }
        // The loss of the next call replaces this loss. A call without a regularizer has no loss.
        let mut layer = Layer::builder()
            .trainable(false)
            .activity_regularizer(Regularizer::L2(0.1))
            .build()
            .unwrap();
        layer.call(&x).unwrap();
        layer.call(&x.rows(0..1).unwrap()).unwrap();
        let loss = scalar(&data_loss(&layer));
        assert!((loss / 0.439_957_65 - 1.0).abs() < 2e-7, "{name}: {loss}");
        layer.call(&x.rows(0..0).unwrap()).unwrap();
        assert_eq!(scalar(&data_loss(&layer)), 0.0, "{name}: batch 0");
        layer.set_activity_regularizer(None).unwrap();
        layer.call(&x).unwrap();
        assert!(layer.losses().is_empty());
    });
}

#[test]
fn get_losses_for_follows_inputs_through_other_layers() {
    let regularized = |name: &str| {
        Layer::builder()
            .name(name)
            .activity_regularizer(Regularizer::L2(0.1))
            .build()
            .unwrap()
    };
    let (first, second) = (Layer::new(1.0).unwrap(), regularized("second"));
    let (a, b, unconnected) = (input(), input(), input());
    let middle = first.connect(&a).unwrap();
    let from_a = second.connect(&middle).unwrap();
    let from_b = second.connect(&b).unwrap();
    let symbolic: Vec<SymbolicTensor> = second
        .losses()
        .into_iter()
        .map(|loss| match loss {
            Loss::Symbolic(loss) => loss,
            other => panic!("the layer was not called on data: {other:?}"),
        })
        .collect();
    let [loss_a, loss_b] = &symbolic[..] else {
        panic!("{symbolic:?}")
    };
    assert_eq!((loss_a.shape(), loss_a.dtype()), (&[][..], DType::F32));
    assert_eq!(loss_a.name(), "second/activity_regularizer");
    assert_eq!(loss_b.name(), "second/activity_regularizer_1");
    for (inputs, expected) in [
        (&[&a][..], vec![loss_a.clone()]),
        (&[&middle], vec![loss_a.clone()]),
        (&[&from_a], vec![loss_a.clone()]),
        (&[&b], vec![loss_b.clone()]),
        (&[&from_b], vec![loss_b.clone()]),
        (&[&a, &b], vec![loss_a.clone(), loss_b.clone()]),
        (&[&unconnected], vec![]),
        (&[], vec![]),
    ] {
        assert_eq!(second.get_losses_for(inputs), expected, "{inputs:?}");
    }
    assert!(first.get_losses_for(&[&a]).is_empty());
    second
        .call(&Tensor::zeros(&Device::Cpu, DType::F32, &[1, 3]).unwrap())
        .unwrap();
    assert!(matches!(
        second.losses()[..],
        [Loss::Data(_), Loss::Symbolic(_), Loss::Symbolic(_)]
    ));
    let float64 = regularized("float64");
    float64.connect(&Input::new(&[None], DType::F64)).unwrap();
    assert!(matches!(&float64.losses()[..], [Loss::Symbolic(loss)] if loss.dtype() == DType::F64));
}

/// A recursive search or drop would overflow the stack.
#[test]
fn a_long_chain_of_layers_does_not_overflow_the_stack() {
    let mut x = input();
    let first = x.clone();
    for _ in 0..200_000 {
        let layer = named("link");
        x = layer.connect(&x).unwrap();
    }
    let last = Layer::builder()
        .activity_regularizer(Regularizer::L1(1.0))
        .build()
        .unwrap();
    last.connect(&x).unwrap();
    assert_eq!(last.get_losses_for(&[&first]).len(), 1);
    drop((x, last));
}
