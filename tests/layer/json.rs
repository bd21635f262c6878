//! Tests of a layer's JSON, which is read in the forms of all versions of Keras.

use super::*;

fn read(json: &str) -> Config {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

fn write(config: &Config) -> String {
    serde_json::to_string(config).unwrap()
}

#[track_caller]
fn assert_refused(json: &str, text: &str) {
    assert_eq!(
        serde_json::from_str::<Config>(json)
            .unwrap_err()
            .to_string(),
        text,
        "{json}"
    );
}

/// Returns the configuration of the layer that most of the JSON constants below describe, as Keras 3 writes it.
fn sample() -> Config {
    with(Config::default(), |config| {
        config.alpha = 0.3;
        config.name = Some("ser".into());
        config.dtype = Some(DType::F32);
    })
}

/// Written by Keras 3.15.1.
const KERAS_3: &str = r#"{"module": "keras.layers", "class_name": "ELU", "config": {"name": "ser", "alpha": 0.3, "trainable": true, "dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": null}}, "registered_name": null}"#;
/// Written by `tf_keras` 2.21.0 before a call.
const TF_KERAS: &str = r#"{"module": "keras.layers", "class_name": "ELU", "config": {"name": "ser", "trainable": true, "dtype": "float32", "alpha": 0.30000001192092896}, "registered_name": null}"#;
/// Written by `tf_keras` 2.21.0 after a call.
const TF_KERAS_CALLED: &str = r#"{"module": "keras.layers", "class_name": "ELU", "config": {"name": "ser", "trainable": true, "dtype": "float32", "alpha": 0.30000001192092896}, "registered_name": null, "build_config": {"input_shape": [2, 3]}}"#;
/// Written by `tf_keras` 2.21.0 in the form of TensorFlow 1.x, for a layer with an input shape.
const TF_KERAS_SHAPE: &str = r#"{"class_name": "ELU", "config": {"name": "ser", "trainable": true, "dtype": "float32", "batch_input_shape": [null, 3], "alpha": 0.30000001192092896}}"#;
/// Written by TensorFlow 1.13.1's Keras.
const TENSORFLOW_1: &str = r#"{"class_name": "ELU", "config": {"name": "ser", "trainable": true, "dtype": null, "alpha": 0.30000001192092896}}"#;
/// Written by TensorFlow 1.13.1's Keras as a bare `get_config` dictionary.
const TENSORFLOW_1_BARE: &str = r#"{"name": "elu", "trainable": true, "dtype": "float32", "alpha": 1.0, "batch_input_shape": [4, 3]}"#;
/// Written by Keras 3.15.1 with `activity_regularizer="l2"`.
const KERAS_3_L2: &str = r#"{"module": "keras.layers", "class_name": "ELU", "config": {"name": "elu_2", "alpha": 1.0, "activity_regularizer": {"module": "keras.regularizers", "class_name": "L2", "config": {"l2": 0.01}, "registered_name": null}, "trainable": true, "dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": null}}, "registered_name": null}"#;

#[test]
fn the_form_of_every_version_is_read() {
    let rounded = f64::from(0.3f32);
    assert_eq!(read(KERAS_3), sample());
    assert_eq!(
        read(TF_KERAS),
        with(sample(), |config| {
            config.alpha = rounded;
        })
    );
    let build_input_shape = Some(vec![Some(2), Some(3)]);
    let called = with(sample(), |config| {
        config.alpha = rounded;
        config.build_input_shape = build_input_shape;
    });
    assert_eq!(read(TF_KERAS_CALLED), called);
    assert!(Layer::from_config(&called).unwrap().built());
    let batch_input_shape = Some(vec![None, Some(3)]);
    assert_eq!(
        read(TF_KERAS_SHAPE),
        with(sample(), |config| {
            config.alpha = rounded;
            config.batch_input_shape = batch_input_shape;
        })
    );
    assert_eq!(
        read(TENSORFLOW_1),
        with(sample(), |config| {
            config.alpha = rounded;
            config.dtype = None;
        })
    );
    let bare = with(Config::default(), |config| {
        config.name = Some("elu".into());
        config.dtype = Some(DType::F32);
        config.batch_input_shape = Some(vec![Some(4), Some(3)]);
    });
    assert_eq!(read(TENSORFLOW_1_BARE), bare);
    let regularized = with(Config::default(), |config| {
        config.name = Some("elu_2".into());
        config.dtype = Some(DType::F32);
        config.activity_regularizer = Some(Regularizer::L2(0.01));
    });
    assert_eq!(read(KERAS_3_L2), regularized);
    assert_eq!(read("{}"), Config::default());
}

/// Keras 3 and `tf_keras` both read this form: see `scripts/keras-roundtrip`.
#[test]
fn a_config_is_written_for_keras_3_and_tf_keras() {
    let written = r#"{"module":"keras.layers","class_name":"ELU","config":{"name":"ser","alpha":0.3,"trainable":true,"dtype":"float32"},"registered_name":null}"#;
    assert_eq!(write(&sample()), written);
    let regularized = r#"{"module":"keras.layers","class_name":"ELU","config":{"name":"elu_2","alpha":1.0,"activity_regularizer":{"module":"keras.regularizers","class_name":"L2","config":{"l2":0.01},"registered_name":null},"trainable":true,"dtype":"float32"},"registered_name":null}"#;
    assert_eq!(write(&read(KERAS_3_L2)), regularized);
    let default = r#"{"module":"keras.layers","class_name":"ELU","config":{"name":null,"alpha":1.0,"trainable":true,"dtype":null},"registered_name":null}"#;
    assert_eq!(write(&Config::default()), default);
    // `input_shape` is the only key for a shape that Keras 3 reads. It has no batch size. A shape with a known batch
    // size is therefore written as `batch_input_shape`, for tf_keras alone.
    let with_shape = |shape: &[Option<usize>]| {
        write(&with(Config::default(), |config| {
            config.batch_input_shape = Some(shape.to_vec());
        }))
    };
    assert!(with_shape(&UNKNOWN_BY_3).contains(r#""dtype":null,"input_shape":[3]}"#));
    assert!(with_shape(&[Some(4), Some(3)]).contains(r#""dtype":null,"batch_input_shape":[4,3]}"#));
}

/// Policies of mixed precision and the flag `autocast` are written as they were read, also by a layer.
#[test]
fn what_only_keras_uses_is_kept() {
    for (name, dtype) in [
        ("mixed_float16", DType::F16),
        ("mixed_bfloat16", DType::BF16),
    ] {
        for form in [
            // Keras 3, tf_keras, and old versions of tf_keras
            r#"{"module": "keras", "class_name": "DTypePolicy", "config": {"name": "NAME"}, "registered_name": null}"#,
            r#"{"module": "keras.mixed_precision", "class_name": "Policy", "config": {"name": "NAME"}, "registered_name": null}"#,
            r#"{"class_name": "PolicyV1", "config": {"name": "NAME", "loss_scale": {"class_name": "DynamicLossScale", "config": {}}}}"#,
            r#""NAME""#,
        ] {
            let policy = form.replace("NAME", name);
            let config = read(&format!(r#"{{"dtype": {policy}, "autocast": false}}"#));
            assert_eq!(config.dtype, Some(dtype));
            assert!(config.mixed_precision && !config.autocast);
            let layer = Layer::from_config(&config).unwrap();
            assert_eq!(layer.dtype(), Some(dtype));
            let written = write(&layer.get_config());
            let kept = format!(r#""autocast":false,"trainable":true,"dtype":"{name}""#);
            assert!(written.contains(&kept), "{written}");
            assert_eq!(read(&written), layer.get_config());
        }
    }
}

#[test]
fn text_that_is_not_json_is_refused() {
    let error = |json: &str| Config::from_json(json).unwrap_err().to_string();
    assert_eq!(Config::from_json(KERAS_3).unwrap(), sample());
    assert_eq!(
        Config::from_json(&sample().to_json().unwrap()).unwrap(),
        sample()
    );
    for number in ["Infinity", "-Infinity", "NaN"] {
        let json = KERAS_3
            .replace("0.3", number)
            .replace("ser", "NaN \\\" Infinity");
        assert_eq!(
            error(&json),
            format!("JSON: found Python's {number}, needed a number that JSON has")
        );
    }
    assert_eq!(
        error(r#"{"alpha": 1,}"#),
        "JSON: trailing comma at line 1 column 13"
    );
    assert_eq!(
        error(&"[".repeat(1000)),
        "JSON: recursion limit exceeded at line 1 column 128"
    );
    assert_eq!(
        error(&" ".repeat((16 << 20) + 1)),
        "JSON: needed at most 16777216 bytes, found 16777217"
    );
    assert_eq!(error("3"), "JSON: needed an object, found 3");
    let infinite = with(sample(), |config| {
        config.alpha = f64::INFINITY;
    });
    assert_eq!(
        infinite.to_json().unwrap_err().to_string(),
        "JSON: JSON has no number for alpha inf"
    );
}

#[test]
fn settings_that_no_layer_can_have_are_not_written() {
    let written = |change: fn(&mut Config)| {
        let config = with(sample(), change);
        let error = config.to_json().unwrap_err().to_string();
        // A layer cannot have them either.
        assert_eq!(Layer::from_config(&config).unwrap_err().to_string(), error);
        error
    };
    assert_eq!(
        written(|config| config.alpha = f64::NAN),
        "alpha of an ELU layer cannot be NaN, expecting a float"
    );
    assert_eq!(
        written(|config| config.activity_regularizer = Some(Regularizer::L1(f64::INFINITY))),
        "regularizer factor l1 must be a non-negative finite number, found inf"
    );
    assert_eq!(
        written(|config| {
            config.mixed_precision = true;
            config.dtype = Some(DType::F32);
        }),
        "expected `mixed_precision` to be false unless the dtype is float16 or bfloat16, received true with dtype float32"
    );
    assert_eq!(
        written(|config| {
            config.mixed_precision = true;
            config.dtype = None;
        }),
        "expected `mixed_precision` to be false unless the dtype is float16 or bfloat16, received true with dtype none"
    );
}

#[test]
fn every_config_survives_the_round_trip() {
    let mut configs = vec![Config::default(), sample()];
    for alpha in [0.1, 1.0 / 3.0, -0.0, 5e-324, f64::MAX, 2.0] {
        configs.push(with(sample(), |config| {
            config.alpha = alpha;
        }));
    }
    for dtype in DType::ALL {
        configs.push(with(sample(), |config| {
            config.dtype = Some(dtype);
            config.trainable = false;
        }));
    }
    for shape in [
        &[][..],
        &[None],
        &[Some(0)],
        &[None, None],
        &[Some(4), None, Some(3)],
    ] {
        let shape = Some(shape.to_vec());
        configs.push(with(sample(), |config| {
            config.batch_input_shape = shape.clone();
        }));
        configs.push(with(sample(), |config| {
            config.build_input_shape = shape;
        }));
    }
    let l1_l2 = Regularizer::L1L2 {
        l1: 1.0 / 3.0,
        l2: 0.0,
    };
    for regularizer in [Regularizer::L1(0.1), Regularizer::L2(0.2), l1_l2] {
        configs.push(with(sample(), |config| {
            config.activity_regularizer = Some(regularizer);
        }));
    }
    for config in configs {
        let copy = read(&write(&config));
        assert_eq!(copy, config);
        assert_eq!(copy.alpha.to_bits(), config.alpha.to_bits());
    }
    for name in ["ünï \"code\"\n", "elu"] {
        let config = with(sample(), |config| {
            config.name = Some(name.into());
        });
        assert_eq!(read(&write(&config)), config);
    }
    // The first two numbers come out wrong if a parser rounds twice.
    let numbers = [0.925_933_892_649_635_9, 0.013_000_000_268_220_901];
    let random_bits = (1..4000u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12);
    let random = random_bits.map(|bits| f64::from_bits(0x3fe0_0000_0000_0000 | bits));
    for number in numbers.into_iter().chain(random) {
        let config = with(sample(), |config| {
            config.alpha = number;
            config.activity_regularizer = Some(Regularizer::L1L2 {
                l1: number,
                l2: number / 3.0,
            });
        });
        assert_eq!(read(&write(&config)), config);
    }
    let text = "JSON has no number for alpha inf";
    let infinite = with(sample(), |config| {
        config.alpha = f64::INFINITY;
    });
    assert_eq!(
        serde_json::to_string(&infinite).unwrap_err().to_string(),
        text
    );
}

#[test]
fn the_values_of_every_version_are_read() {
    let alpha = |json: &str| read(&format!(r#"{{"alpha": {json}}}"#)).alpha;
    assert_eq!(
        (alpha("2"), alpha("true"), alpha("false"), alpha("-1e-3")),
        (2.0, 1.0, 0.0, -0.001)
    );
    let dtype = |json: &str| read(&format!(r#"{{"dtype": {json}}}"#)).dtype;
    assert_eq!(dtype(r#""bfloat16""#), Some(DType::BF16));
    assert_eq!(dtype(r#""mixed_float16""#), Some(DType::F16));
    let policy = r#"{"module": "keras.mixed_precision", "class_name": "Policy", "config": {"name": "mixed_bfloat16"}, "registered_name": null}"#;
    assert_eq!(dtype(policy), Some(DType::BF16));
    let shape = |json: &str| read(json).batch_input_shape;
    assert_eq!(
        shape(r#"{"input_shape": [3], "batch_size": 4}"#),
        Some(vec![Some(4), Some(3)])
    );
    assert_eq!(shape(r#"{"batch_size": 4}"#), None);
    assert_eq!(shape(r#"{"input_dim": 3}"#), Some(vec![None, Some(3)]));
    assert_eq!(
        shape(r#"{"input_dim": 3, "input_shape": [5, 6], "batch_size": 4}"#),
        Some(vec![Some(4), Some(5), Some(6)])
    );
    let tuple = r#"{"input_shape": {"class_name": "__tuple__", "items": [null, 3]}}"#;
    assert_eq!(shape(tuple), Some(vec![None, None, Some(3)]));
    let regularizer =
        |json: &str| read(&format!(r#"{{"activity_regularizer": {json}}}"#)).activity_regularizer;
    assert_eq!(regularizer("null"), None);
    for (json, expected) in [
        (r#""l1""#, Regularizer::L1(0.01)),
        (r#""L2""#, Regularizer::L2(0.01)),
        (r#""l1_l2""#, Regularizer::L1L2 { l1: 0.01, l2: 0.01 }),
        (r#""L1L2""#, Regularizer::L1L2 { l1: 0.0, l2: 0.0 }),
        (
            r#"{"class_name": "L1", "config": {}}"#,
            Regularizer::L1(0.01),
        ),
        (
            r#"{"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.5}}"#,
            Regularizer::L1L2 { l1: 0.0, l2: 0.5 },
        ),
    ] {
        assert_eq!(regularizer(json), Some(expected), "{json}");
    }
    let shared =
        r#"{"class_name": "ELU", "config": {}, "shared_object_id": 7, "build_config": null}"#;
    assert_eq!(read(shared), Config::default());
}

#[test]
fn unknown_keys_and_wrong_values_are_refused_and_named() {
    assert_refused(
        r#"{"alpha": 1.0, "dynamic": true, "bogus": 1}"#,
        "unrecognized keyword arguments passed to ELU: bogus, dynamic",
    );
    assert_refused(
        r#"{"class_name": "ELU", "config": {}, "bogus": 1}"#,
        "unrecognized keyword arguments passed to deserialize_keras_object: bogus",
    );
    assert_refused(
        r#"{"class_name": "ELU", "config": {}, "build_config": {"shape": []}}"#,
        "unrecognized keyword arguments passed to build_from_config: shape",
    );
    assert_refused(
        r#"{"activity_regularizer": {"class_name": "L2", "config": {"l2": 1, "l1": 1}}}"#,
        "unrecognized keyword arguments passed to L2: l1",
    );
    assert_refused(
        r#"{"alpha": null}"#,
        "alpha of an ELU layer cannot be None, expecting a float",
    );
    assert_refused(
        r#"{"alpha": "abc"}"#,
        "alpha of an ELU layer cannot be \"abc\", expecting a float",
    );
    assert_refused(
        r#"{"alpha": [0.1,0.2]}"#,
        "alpha of an ELU layer cannot be [0.1,0.2], expecting a float",
    );
    for (json, text) in [
        (
            r#"{"trainable": 1}"#,
            "expected `trainable` to be a boolean, received 1",
        ),
        (
            r#"{"name": 5}"#,
            "expected `name` to be a string, received 5",
        ),
        (
            r#"{"class_name": "SELU", "config": {}}"#,
            "expected `class_name` to be ELU, received \"SELU\"",
        ),
        (
            r#"{"config": {}}"#,
            "expected `class_name` to be ELU, received null",
        ),
        (
            r#"{"class_name": "ELU"}"#,
            "expected `config` to be an object, received null",
        ),
        (
            r#"{"class_name": "ELU", "config": {}, "registered_name": "my>ELU"}"#,
            "expected `registered_name` to be null, received \"my>ELU\"",
        ),
        // Keras 3 and tf_keras write this for another project's class of the same name.
        (
            r#"{"module": null, "class_name": "ELU", "config": {}, "registered_name": "ELU"}"#,
            "expected `module` to be a module of keras or tf_keras, received null",
        ),
        (
            r#"{"module": "kerasify", "class_name": "ELU", "config": {}}"#,
            "expected `module` to be a module of keras or tf_keras, received \"kerasify\"",
        ),
        (
            r#"{"activity_regularizer": {"module": null, "class_name": "L1", "config": {}, "registered_name": "L1"}}"#,
            "expected `activity_regularizer.module` to be a module of keras or tf_keras, received null",
        ),
        (
            r#"{"dtype": "int32"}"#,
            "expected `dtype` to be float32, float16, bfloat16, float64, mixed_float16, mixed_bfloat16 or a policy with \
             one of these names, received \"int32\"",
        ),
        (
            r#"{"dtype": "mixed_float32"}"#,
            "expected `dtype` to be float32, float16, bfloat16, float64, mixed_float16, mixed_bfloat16 or a policy with \
             one of these names, received \"mixed_float32\"",
        ),
        (
            r#"{"dtype": {"module": "keras.dtype_policies", "class_name": "DTypePolicyMap", "config": {}, "registered_name": "DTypePolicyMap"}}"#,
            "expected `dtype.class_name` to be DTypePolicy or Policy or PolicyV1 or FloatDTypePolicy, received \"DTypePolicyMap\"",
        ),
        (
            r#"{"autocast": 1}"#,
            "expected `autocast` to be a boolean, received 1",
        ),
        (
            r#"{"input_shape": [-1]}"#,
            "expected `input_shape` to be a list of sizes, with null for each unknown size, received [-1]",
        ),
        (
            r#"{"batch_input_shape": 3}"#,
            "expected `batch_input_shape` to be a list of sizes, with null for each unknown size, received 3",
        ),
        (
            r#"{"build_config": 1, "class_name": "ELU", "config": {}}"#,
            "expected `build_config` to be an object, received 1",
        ),
        (
            r#"{"build_config": {"input_shape": "a"}, "class_name": "ELU", "config": {}}"#,
            "expected `build_config.input_shape` to be a list of sizes, with null for each unknown size, received \"a\"",
        ),
        (
            r#"{"batch_size": 1.5}"#,
            "expected `batch_size` to be a size, received 1.5",
        ),
        (
            r#"{"activity_regularizer": "l3"}"#,
            "expected `activity_regularizer` to be L1, L2 or L1L2, received \"l3\"",
        ),
        (
            r#"{"activity_regularizer": {"class_name": "OrthogonalRegularizer", "config": {}}}"#,
            "expected `activity_regularizer.class_name` to be L1 or L2 or L1L2, received \"OrthogonalRegularizer\"",
        ),
        (
            r#"{"activity_regularizer": {"class_name": "L1", "config": {"l1": "a"}}}"#,
            "expected `activity_regularizer.l1` to be a number, received \"a\"",
        ),
    ] {
        assert_refused(json, text);
    }
    let negative = read(r#"{"activity_regularizer": {"class_name": "L1", "config": {"l1": -1}}}"#);
    assert!(matches!(
        Layer::from_config(&negative),
        Err(Error::RegularizerFactor { .. })
    ));
}
