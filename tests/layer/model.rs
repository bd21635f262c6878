//! Tests of finding ELUs in models. `tests/data/keras` contains the same model, written by different versions of Keras.

use serde_json::{Value, json};
use wgpu_elu::layer::{Found, find};

use super::*;

const KERAS_3: &str = include_str!("../data/keras/keras3.json");
const TF_KERAS: &str = include_str!("../data/keras/tf_keras.json");
const TF_KERAS_H5: &str = include_str!("../data/keras/tf_keras_h5.json");

/// Returns the path, the class, the argument and the function of each result.
fn summary(found: &[Found]) -> Vec<(&str, &str, Option<&str>, Elu)> {
    let mut parts = Vec::new();
    for found in found {
        let argument = found.argument.as_deref();
        parts.push((
            &*found.path,
            &*found.class,
            argument,
            found.elu.clone().unwrap(),
        ));
    }
    parts
}

#[test]
fn every_elu_of_a_model_is_found() {
    for (json, writes_both_directions) in [(KERAS_3, true), (TF_KERAS, false), (TF_KERAS_H5, false)]
    {
        let found = find(json).unwrap();
        let lstm = |name| {
            [
                (name, "LSTM", Some("activation"), Elu::new(1.0)),
                (name, "LSTM", Some("recurrent_activation"), Elu::selu()),
            ]
        };
        let mut expected = vec![("net/steps/inner", "ELU", None, Elu::new(0.25))];
        if writes_both_directions {
            expected.extend(lstm("net/both/forward_lstm"));
            expected.extend(lstm("net/both/backward_lstm"));
        } else {
            expected.extend(lstm("net/both/lstm"));
        }
        expected.extend([
            ("net/sub/deep", "ELU", None, Elu::new(0.75)),
            ("net/sub/dense", "Dense", Some("activation"), Elu::selu()),
            ("net/act", "Activation", Some("activation"), Elu::new(1.0)),
            ("net/last", "ELU", None, Elu::new(0.5)),
        ]);
        assert_eq!(summary(&found), expected);
        for found in found {
            let alpha = found.config.map(|config| config.alpha);
            assert_eq!(alpha.is_some(), found.class == "ELU");
            assert!(alpha.is_none_or(|alpha| alpha == found.elu.as_ref().unwrap().alpha()));
        }
    }
}

#[test]
fn other_forms_are_found() {
    let found = |json: Value| find(&json.to_string()).unwrap();
    // A layer alone, and the list of layers of old Sequential models.
    let layer = json!({"class_name": "ELU", "config": {"name": "a", "alpha": 2.0}});
    assert_eq!(
        summary(&found(layer.clone())),
        [("a", "ELU", None, Elu::new(2.0))]
    );
    let old = json!({"class_name": "Sequential", "config": [layer]});
    assert_eq!(
        summary(&found(old)),
        [("Sequential/a", "ELU", None, Elu::new(2.0))]
    );
    // A function as an object, and a layer as an activation.
    let function = json!({"module": "builtins", "class_name": "function", "config": "celu", "registered_name": "function"});
    let dense = json!({"class_name": "Dense", "config": {"name": "d", "activation": function}});
    let celu = Elu::celu(1.0).unwrap();
    assert_eq!(
        summary(&found(dense)),
        [("d", "Dense", Some("activation"), celu)]
    );
    let dense = json!({"class_name": "Dense", "config": {"name": "d", "activation": {"class_name": "ELU", "config": {}}}});
    assert_eq!(
        summary(&found(dense)),
        [("d/ELU", "ELU", None, Elu::new(1.0))]
    );
    // Nothing to find.
    for none in [
        json!({"class_name": "Dense", "config": {"activation": "relu"}}),
        json!({"class_name": "ELU", "module": "mine", "config": {"slope": 3}}),
        json!({"class_name": "ELU", "registered_name": "my>ELU", "config": {}}),
        json!([]),
        json!(null),
    ] {
        assert!(found(none).is_empty());
    }
}

/// A layer that was read from a model can be changed and put back.
#[test]
fn a_layer_can_be_put_back_into_its_model() {
    for json in [KERAS_3, TF_KERAS, TF_KERAS_H5] {
        let model: Value = serde_json::from_str(json).unwrap();
        let entry = &model["config"]["layers"]
            .as_array()
            .unwrap()
            .last()
            .unwrap();
        let found = find(json).unwrap();
        let mut config = found.last().unwrap().config.clone().unwrap();
        config.alpha = 0.125;
        let written: Value = serde_json::from_str(&config.to_json().unwrap()).unwrap();
        for key in ["class_name", "name", "inbound_nodes"] {
            assert_eq!(written[key], entry[key]);
        }
        assert_eq!(written["config"]["alpha"], 0.125);
        assert_eq!(written["config"]["name"], "last");
        // A layer outside of a model has no such keys.
        let layer = Layer::from_config(&config).unwrap();
        assert_eq!(layer.get_config().model_entry, None);
        assert!(
            !layer
                .get_config()
                .to_json()
                .unwrap()
                .contains("inbound_nodes")
        );
    }
}

#[test]
fn a_layer_that_is_not_valid_does_not_hide_the_others() {
    let valid = find(KERAS_3).unwrap();
    let found = find(&KERAS_3.replace("0.75", "[0.1, 0.2]")).unwrap();
    assert_eq!(found.len(), valid.len());
    for (found, valid) in found.iter().zip(&valid) {
        assert_eq!(found.path, valid.path);
        if found.path == "net/sub/deep" {
            assert_eq!(
                found.elu.as_ref().unwrap_err().to_string(),
                "alpha of an ELU layer cannot be [0.1,0.2], expecting a float"
            );
            assert_eq!(found.config, None);
        } else {
            assert_eq!(found.elu.as_ref().unwrap(), valid.elu.as_ref().unwrap());
            assert_eq!(found.config, valid.config);
        }
    }
}

#[test]
fn other_text_is_refused() {
    for (json, text) in [
        (
            &*KERAS_3.replace("0.75", "Infinity"),
            "JSON: found Python's Infinity, needed a number that JSON has",
        ),
        ("PK", "JSON: expected value at line 1 column 1"),
    ] {
        assert_eq!(find(json).unwrap_err().to_string(), text);
    }
}

#[test]
fn the_memory_for_paths_is_limited() {
    let elu = r#"{"class_name": "ELU", "config": {"name": "e"}}"#;
    let model = |name: usize, layers: usize| {
        let layers = vec![elu; layers].join(", ");
        let name = "n".repeat(name);
        format!(r#"{{"class_name": "M", "config": {{"name": "{name}", "layers": [{layers}]}}}}"#)
    };
    let text =
        "JSON: needed at most 16777216 bytes for the paths and classes of all ELUs, found more";
    // A path has two more bytes than the name, and the class has three.
    assert_eq!(find(&model((1 << 20) - 5, 16)).unwrap().len(), 16);
    assert_eq!(
        find(&model((1 << 20) - 4, 16)).unwrap_err().to_string(),
        text
    );
    // Many activations of one layer with a long class.
    let class = "c".repeat(1 << 20);
    let keys: Vec<_> = (0..16)
        .map(|i| format!(r#""{i}activation": "elu""#))
        .collect();
    let layer = format!(
        r#"{{"class_name": "{class}", "config": {{"name": "n", {}}}}}"#,
        keys.join(", ")
    );
    assert_eq!(find(&layer).unwrap_err().to_string(), text);
}
