//! Tests of `elu run --keras`: the functions of layers, and the files that it rejects.

use std::{
    fs,
    io::{Cursor, Write},
};

use zip::{CompressionMethod::Deflated, ZipWriter, write::SimpleFileOptions};

use crate::common::{folder_with_x, parts};

/// The folder with the same model, written by different versions of Keras.
const KERAS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/keras");

/// The layers of the model, as error messages list them.
const LAYERS: &str = "net/steps/inner, net/both/forward_lstm:activation, net/both/forward_lstm:recurrent_activation, \
     net/both/backward_lstm:activation, net/both/backward_lstm:recurrent_activation, net/sub/deep, net/sub/dense, net/act, net/last";

fn run<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["run", "x.npy", "-d", "cpu"], args].concat()
}

/// Builds a ZIP archive.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(Deflated);
    for (name, content) in members {
        zip.start_file(*name, options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn layers_of_a_model_give_the_function() {
    let folder = folder_with_x();
    for model in [
        "keras3.keras",
        "keras3.json",
        "tf_keras.json",
        "tf_keras_h5.json",
    ] {
        let model = format!("{KERAS}/{model}");
        for (layer, what) in [
            ("last", "alpha 0.5 from layer net/last"),
            ("net/last", "alpha 0.5 from layer net/last"),
            ("deep", "alpha 0.75 from layer net/sub/deep"),
            ("net/sub/dense", "SELU from layer net/sub/dense"),
            ("act", "alpha 1 from layer net/act"),
        ] {
            let stderr = folder.success(&run(&["--keras", &model, "--layer", layer, "-f"]));
            assert!(stderr.contains(&format!("), {what}, ")), "{stderr}");
        }
    }
    let model = format!("{KERAS}/keras3.keras");
    let layer = "net/both/forward_lstm:recurrent_activation";
    for layer in [layer, "forward_lstm:recurrent_activation"] {
        let stderr = folder.success(&run(&["--keras", &model, "--layer", layer, "-f"]));
        assert!(
            stderr.contains("), SELU from layer net/both/forward_lstm:rec"),
            "{stderr}"
        );
    }
    let gradient = [
        "--op", "backward", "--grad", "x.npy", "--keras", &model, "--layer", "last", "-f",
    ];
    let stderr = folder.success(&run(&gradient));
    assert!(
        stderr.contains("), ELU's gradient, alpha 0.5 from layer net/last, "),
        "{stderr}"
    );
}

#[test]
fn the_function_of_a_layer_is_computed_for_every_format_and_file() {
    let folder = folder_with_x();
    let layer = br#"{"class_name": "ELU", "config": {"name": "e", "alpha": 0.25}}"#;
    folder.write("model.json", layer);
    folder.write("m.safetensors", &crate::common::model());
    let x = fs::read(folder.path("x.npy")).unwrap();
    folder.write("z.npz", &archive(&[("x.npy", &x)]));
    for (inputs, results) in [
        (
            &["x.npy", "m.safetensors", "z.npz"][..],
            &["x.elu.npy", "m.elu.safetensors", "z.elu.npz"][..],
        ),
        (&["--raw", "float32", "x.npy"], &["x.elu.npy"]),
    ] {
        let compute = |function: &[&str]| -> (String, Vec<Vec<u8>>) {
            let args = [&["run", "-d", "cpu", "-f"], inputs, function].concat();
            let (code, _, error) = parts(folder.elu(&args));
            assert_eq!(code, Some(0), "{error}");
            let read = |name: &&str| fs::read(folder.path(name)).unwrap();
            (error, results.iter().map(read).collect())
        };
        let (stderr, found) = compute(&["--keras", "model.json"]);
        let named = stderr.matches("), alpha 0.25 from layer e, ").count();
        assert_eq!(named, results.len(), "{stderr}");
        assert!(found == compute(&["--alpha", "0.25"]).1, "{inputs:?}");
    }
}

#[test]
fn the_only_layer_needs_no_name() {
    let folder = folder_with_x();
    // The content decides the format: a byte order mark and spaces may come first.
    folder.write(
        "model",
        b"\xef\xbb\xbf \n{\"class_name\": \"ELU\", \"config\": {\"name\": \"e\", \"alpha\": 0.25}}",
    );
    let stderr = folder.success(&run(&["--keras", "model"]));
    assert!(stderr.contains("), alpha 0.25 from layer e, "), "{stderr}");
    let y = fs::read(folder.path("x.elu.npy")).unwrap();
    folder.success(&run(&["--alpha", "0.25", "-o", "z.npy"]));
    assert_eq!(y, fs::read(folder.path("z.npy")).unwrap());
    #[cfg(unix)]
    {
        let line = "$ELU run x.npy -d cpu -f --keras <(cat model)";
        let (code, _, error) = crate::common::shell(&folder, line);
        assert_eq!(code, Some(0), "{error}");
    }
}

#[test]
fn a_layer_must_be_one_of_the_model() {
    let folder = folder_with_x();
    let model = fs::read(format!("{KERAS}/keras3.keras")).unwrap();
    folder.write("m.keras", &model);
    let twice = r#"{"class_name": "Sequential", "config": {"name": "net", "layers": [
        {"class_name": "Sequential", "config": {"name": "a", "layers": [{"class_name": "ELU", "config": {"name": "e"}}]}},
        {"class_name": "Sequential", "config": {"name": "b", "layers": [{"class_name": "ELU", "config": {"name": "e"}}]}}]}}"#;
    folder.write("twice.json", twice.as_bytes());
    folder.write(
        "none.json",
        br#"{"class_name": "ReLU", "config": {"name": "r"}}"#,
    );
    let layers = |name: &str, layers: &[(&str, &str)]| {
        let layers: Vec<_> = layers
            .iter()
            .map(|(name, alpha)| {
                format!(
                    r#"{{"class_name": "ELU", "config": {{"name": "{name}", "alpha": {alpha}}}}}"#
                )
            })
            .collect();
        let layers = layers.join(", ");
        format!(
            r#"{{"class_name": "Sequential", "config": {{"name": "{name}", "layers": [{layers}]}}}}"#
        )
    };
    folder.write(
        "invalid.json",
        layers("net", &[("many", "[1, 2]"), ("one", "0.5")]).as_bytes(),
    );
    folder.write(
        "same.json",
        layers("s", &[("e", "0.25"), ("e", "0.5")]).as_bytes(),
    );
    folder.write(
        "both.json",
        br#"{"class_name": "Sequential", "config": {"name": "s", "layers": [
            {"class_name": "ELU", "config": {"name": "e", "alpha": 0.25}},
            {"class_name": "Dense", "config": {"name": "e", "activation": "selu"}}]}}"#,
    );
    folder.write(
        "numbered.json",
        layers("s", &[("a", "0.25"), ("a", "0.5"), ("a#1", "0.75")]).as_bytes(),
    );
    folder.write("arguments.json", br#"{"name": "e", "alpha": 0.3}"#);
    for (args, layer) in [
        (
            ["invalid.json", "--layer", "one"],
            "alpha 0.5 from layer net/one",
        ),
        (
            ["same.json", "--layer", "e#2"],
            "alpha 0.5 from layer s/e#2",
        ),
        (["both.json", "--layer", "s/e"], "alpha 0.25 from layer s/e"),
        (
            ["both.json", "--layer", "s/e:activation"],
            "SELU from layer s/e:activation",
        ),
        (
            ["numbered.json", "--layer", "a#1"],
            "alpha 0.75 from layer s/a#1",
        ),
        (
            ["numbered.json", "--layer", "s/a#3"],
            "alpha 0.5 from layer s/a#3",
        ),
        (
            ["twice.json", "--layer", "b/e"],
            "alpha 1 from layer net/b/e",
        ),
    ] {
        let stderr = folder.success(&run(&[&["-f", "--keras"], &args[..]].concat()));
        assert!(stderr.contains(&format!("), {layer}, ")), "{stderr}");
    }
    for (args, text) in [
        (
            &["m.keras"][..],
            format!(
                "m.keras: found 9 layers with ELU, SELU or CELU, needed one: use --layer with one of {LAYERS}"
            ),
        ),
        (
            &["m.keras", "--layer", "relu"],
            format!("m.keras: no layer named \"relu\" with ELU, SELU or CELU; those with one are {LAYERS}"),
        ),
        (
            &["m.keras", "--layer", "forward_lstm"],
            "m.keras: --layer \"forward_lstm\" names 2 layers, needed one: use one of net/both/forward_lstm:activation, \
             net/both/forward_lstm:recurrent_activation"
                .into(),
        ),
        (
            &["twice.json", "--layer", "e"],
            "twice.json: --layer \"e\" names 2 layers, needed one: use one of net/a/e, net/b/e".into(),
        ),
        (
            &["invalid.json"],
            "invalid.json: found 2 layers with ELU, SELU or CELU, needed one: use --layer with one of net/many, net/one"
                .into(),
        ),
        (
            &["invalid.json", "--layer", "many"],
            "invalid.json: layer \"net/many\": alpha of an ELU layer cannot be [1,2], expecting a float".into(),
        ),
        (
            &["same.json", "--layer", "s/e"],
            "same.json: --layer \"s/e\" names 2 layers, needed one: use one of s/e#1, s/e#2".into(),
        ),
        (
            &["arguments.json"],
            "arguments.json: found a get_config dictionary, which does not name its class: use the JSON of the layer or of \
             the model, or --alpha"
                .into(),
        ),
        (
            &["none.json"],
            "none.json: found no layer with ELU, SELU or CELU".into(),
        ),
        (
            &["none.json", "--layer", "r"],
            "none.json: found no layer with ELU, SELU or CELU".into(),
        ),
    ] {
        assert_eq!(folder.error(&run(&[&["--keras"], args].concat())), text);
    }
}

#[test]
fn other_files_are_refused() {
    let folder = folder_with_x();
    fs::create_dir(folder.path("folder")).unwrap();
    let needed = "needed a .keras file or the JSON of a Keras model or layer";
    let layer = |alpha: &str| {
        format!("{{\"class_name\": \"ELU\", \"config\": {{\"name\": \"e\", \"alpha\": {alpha}}}}}")
            .into_bytes()
    };
    let spaces = vec![b' '; 17 << 20];
    let bomb = archive(&[("config.json", &[b"{", &spaces[..]].concat())]);
    assert!(bomb.len() < 30_000);
    let mut damaged = archive(&[("config.json", &layer("1"))]);
    let sum = damaged
        .windows(4)
        .position(|bytes| bytes == b"PK\x01\x02")
        .unwrap()
        + 16;
    damaged[sum] ^= 1;
    for (content, text) in [
        (b"".to_vec(), format!("found no data, {needed}")),
        (
            b"alpha: 1".to_vec(),
            format!("found an unknown format, {needed}"),
        ),
        (
            b"\x80\x04N.".to_vec(),
            format!("found a pickle file, {needed}"),
        ),
        (
            b"\x89HDF\r\n\x1a\n\0\0".to_vec(),
            format!(
                "found an HDF5 file, {needed}: load it in Keras and save it with model.save(\"model.keras\")"
            ),
        ),
        (
            b"<!DOCTYPE html>".to_vec(),
            format!(
                "found a web page, {needed}: download the file again and check the address, which may need a login"
            ),
        ),
        (
            archive(&[("a.npy", b"")]),
            format!("found a ZIP archive without config.json, {needed}"),
        ),
        (
            b"PK\x03\x04".to_vec(),
            "the archive is damaged or cut off: could not find EOCD".into(),
        ),
        (damaged, "the data is damaged: invalid checksum".into()),
        (
            archive(&[("config.json", b"{\xff}")]),
            "config.json is not UTF-8".into(),
        ),
        (b"{\xff}".to_vec(), "the JSON is not UTF-8".into()),
        (bomb, "config.json is larger than 16 MiB".into()),
        (
            [b"{", &spaces[..]].concat(),
            "the JSON is larger than 16 MiB".into(),
        ),
        (
            b"{".to_vec(),
            "JSON: EOF while parsing an object at line 1 column 1".into(),
        ),
        (
            layer("[0.5, 0.25]"),
            "layer \"e\": alpha of an ELU layer cannot be [0.5,0.25], expecting a float".into(),
        ),
        (
            layer("null"),
            "layer \"e\": alpha of an ELU layer cannot be None, expecting a float".into(),
        ),
    ] {
        folder.write("model", &content);
        assert_eq!(
            folder.error(&run(&["--keras", "model"])),
            format!("model: {text}")
        );
    }
    folder.write("model", &layer("1e39"));
    assert_eq!(
        folder.usage_error(&run(&["--keras", "model"])),
        "x.npy: model: layer \"e\": alpha 1e39: for float32, needed inf or a float32 number, at most 3.4028235e38 in magnitude"
    );
    assert_eq!(
        folder.usage_error(&run(&["--keras", "-"])),
        "--keras needs a file, found - for standard input: save the model to a file first"
    );
    for (file, text) in [
        ("folder", format!("{needed}, found a directory")),
        ("no.keras", "No such file or directory (os error 2)".into()),
    ] {
        assert_eq!(
            folder.error(&run(&["--keras", file])),
            format!("{file}: {text}")
        );
    }
    #[cfg(unix)]
    {
        folder.write("m.keras", &archive(&[("config.json", &layer("1"))]));
        let line = "$ELU run x.npy -d cpu --keras <(cat m.keras)";
        let (code, _, error) = crate::common::shell(&folder, line);
        let end = ": a .keras file cannot be read from a pipe, because its list of contents is at its end: save it to a \
                   file first\n";
        assert!(code == Some(1) && error.ends_with(end), "{error}");
    }
}

#[test]
fn a_model_excludes_other_factors() {
    let folder = folder_with_x();
    let error = |args: &[&str]| {
        let (code, _, error) = parts(folder.elu(&run(args)));
        assert_eq!(code, Some(2), "{error}");
        error
    };
    for other in [
        &["--alpha", "1"][..],
        &["--selu"],
        &["--celu", "1"],
        &["--scale", "1"],
        &["--input-scale", "1"],
    ] {
        let text = error(&[&["--keras", "m.keras"], other].concat());
        assert!(text.contains(" cannot be used with "), "{text}");
    }
    let text = error(&["--layer", "last"]);
    let start = "error: the following required arguments were not provided:\n  --keras <FILE>\n";
    assert!(text.starts_with(start), "{text}");
}
