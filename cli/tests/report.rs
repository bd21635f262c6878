//! Tests of what `elu run` prints: lines on standard error, and JSON.

use std::fs;

use serde_json::{Value, json};
use wgpu_elu::{Device, cpu};

use crate::common::{Folder, folder_with_x, header, model, npy, parts, shell};

/// Runs the command on the CPU. Returns the exit code, the JSON without the times, and standard error.
fn run(folder: &Folder, args: &[&str]) -> (Option<i32>, Value, String) {
    let args = [&["run", "--json", "--device", "cpu"], args].concat();
    let (code, output, error) = parts(folder.elu(&args));
    let mut json: Value = serde_json::from_str(&output).unwrap();
    for file in json["files"].as_array_mut().unwrap() {
        if let Some(time) = file.as_object_mut().unwrap().remove("milliseconds") {
            assert!(time.as_f64().unwrap() >= 0.0, "{time}");
        }
    }
    (code, json, error)
}

/// Returns the JSON with the fields of the device.
fn on_cpu(files: &[Value]) -> Value {
    let mut files = files.to_owned();
    for file in &mut files {
        if file["status"] == "written" {
            let text = Device::Cpu.to_string();
            file["device_text"] = json!(text);
            file["devices"] = json!([{
                "kind": "cpu",
                "text": text,
                "simd": cpu::simd_level(),
                "threads": cpu::threads(),
            }]);
        }
    }
    json(json!(0.5), &files)
}

/// Returns the JSON of ELU with this alpha.
fn json(alpha: Value, files: &[Value]) -> Value {
    json!({
        "version": 1,
        "op": "forward",
        "alpha": alpha,
        "scale": 1.0,
        "input_scale": 1.0,
        "rounding": "faithful",
        "layer": null,
        "grad": null,
        "files": files,
    })
}

#[test]
fn the_json_describes_every_file() {
    let folder = folder_with_x();
    folder.write("model.safetensors", &model());
    folder.write("one.npy", &npy(1, &header("<f8", false, "()"), &[0; 8]));
    folder.write("x.elu.npz", b"");
    let (code, json, error) = run(
        &folder,
        &[
            "x.npy",
            "model.safetensors",
            "one.npy",
            "x.elu.npz",
            "no.npy",
            "--alpha",
            "0.5",
            "-q",
        ],
    );
    let array = |name: Option<&str>, dtype: &str, shape: &[usize]| {
        let elements: usize = shape.iter().product();
        json!({ "name": name, "dtype": dtype, "elements": elements, "shape": shape })
    };
    let written = |input: &str, output: &str, format: &str, arrays: &[Value], unchanged: Value| {
        json!({
            "input": input,
            "status": "written",
            "output": output,
            "format": format,
            "arrays": arrays,
            "unchanged": unchanged,
        })
    };
    let tensors = [
        array(Some("double"), "float64", &[3]),
        array(Some("hidden"), "float32", &[2, 3]),
        array(Some("empty"), "float32", &[0, 4]),
        array(Some("half"), "float16", &[5]),
        array(Some("brain"), "bfloat16", &[7]),
    ];
    let missing = "no.npy: No such file or directory (os error 2)";
    let mut json = json;
    // The order of tensors in the file is that of the crate `safetensors`.
    let sorted = |tensors: &[Value]| {
        let mut tensors = tensors.to_owned();
        tensors.sort_by_key(|tensor| tensor["name"].to_string());
        tensors
    };
    json["files"][2]["arrays"] = json!(sorted(json["files"][2]["arrays"].as_array().unwrap()));
    assert_eq!(
        json,
        on_cpu(&[
            json!({ "input": "x.elu.npz", "status": "skipped" }),
            written(
                "x.npy",
                "x.elu.npy",
                "npy",
                &[array(None, "float32", &[3])],
                json!([])
            ),
            written(
                "model.safetensors",
                "model.elu.safetensors",
                "safetensors",
                &sorted(&tensors),
                json!([{ "name": "ids", "dtype": "I64" }])
            ),
            written(
                "one.npy",
                "one.elu.npy",
                "npy",
                &[array(None, "float64", &[])],
                json!([])
            ),
            json!({ "input": "no.npy", "status": "failed", "error": missing }),
        ])
    );
    assert_eq!(code, Some(1));
    assert_eq!(error, format!("elu: {missing}\nelu: 1 of 4 files failed\n"));
}

#[test]
fn the_json_of_one_file() {
    let folder = folder_with_x();
    folder.write("x.bin", &[0; 12]);
    let (code, json, error) = run(&folder, &["x.bin", "--raw", "f16", "-a", ".5", "-o", "y"]);
    let file = json!({
        "input": "x.bin",
        "status": "written",
        "output": "y",
        "format": "raw",
        "arrays": [{ "name": null, "dtype": "float16", "elements": 6 }],
        "unchanged": [],
    });
    assert_eq!((code, json), (Some(0), on_cpu(&[file])));
    // The line on standard error is printed as well.
    assert!(error.starts_with("6 float16 on CPU"), "{error}");
    let (code, json, error) = run(&folder, &["no.npy", "--alpha=-inf"]);
    let text = "no.npy: No such file or directory (os error 2)";
    let file = json!({ "input": "no.npy", "status": "failed", "error": text });
    assert_eq!(json, self::json(json!("-inf"), &[file]));
    assert_eq!((code, error), (Some(1), format!("elu: {text}\n")));
    // A wrong command line writes nothing to standard output, even if the file shows that it is wrong.
    let text = "x.npy: --alpha \"1e39\": for float32, needed inf or a float32 number, at most 3.4028235e38 in magnitude";
    assert_eq!(
        folder.usage_error(&["run", "x.npy", "-a", "1e39", "--json"]),
        text
    );
}

#[test]
fn the_json_names_the_operation_and_the_factors() {
    let folder = folder_with_x();
    let model = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/data/keras/keras3.keras"
    );
    let fields = ["op", "alpha", "scale", "input_scale", "layer", "grad"];
    for (args, values) in [
        (
            &["--celu", "4", "--scale", "2"][..],
            json!(["forward", 4.0, 2.0, 0.25, null, null]),
        ),
        (
            &["--keras", model, "--layer", "last"],
            json!(["forward", 0.5, 1.0, 1.0, "net/last", null]),
        ),
        (
            &["--op", "backward-from-output", "--grad", "x.npy"],
            json!(["backward_from_output", 1.0, 1.0, 1.0, null, "x.npy"]),
        ),
    ] {
        let (code, json, error) = run(&folder, &[&["x.npy", "-f"], args].concat());
        assert_eq!(code, Some(0), "{error}");
        assert_eq!(json!(fields.map(|field| &json[field])), values);
    }
    // A gradient that cannot be read is an error of the file.
    let args = ["x.npy", "-f", "--op", "backward", "--grad", "no.npy"];
    let (code, json, error) = run(&folder, &args);
    let text = "no.npy: No such file or directory (os error 2)";
    assert_eq!(json["files"][0]["error"], text);
    assert_eq!((code, error), (Some(1), format!("elu: {text}\n")));
}

#[test]
fn json_and_the_result_cannot_both_go_to_standard_output() {
    let folder = folder_with_x();
    for args in [
        &["-"][..],
        &["-", "-o", "-"],
        &["x.npy", "-o", "-"],
        #[cfg(target_os = "linux")]
        &["x.npy", "-o", "/dev/stdout"],
    ] {
        let (code, output, error) = parts(folder.elu(&[&["run", "--json"], args].concat()));
        let text = "error: --json and the result would both be written to standard output: name a file with --output\n";
        assert!(error.starts_with(text), "{args:?}: {error}");
        assert_eq!((code, &*output), (Some(2), ""));
    }
}

/// A script that reads JSON must not take a part of it for the whole, and an error of a file must not get lost.
#[cfg(target_os = "linux")]
#[test]
fn json_that_cannot_be_written_is_an_error() {
    let folder = folder_with_x();
    let full = "elu: standard output: No space left on device (os error 28)\n";
    let (code, _, error) = shell(&folder, "$ELU run x.npy -q --json > /dev/full");
    assert_eq!((code, &*error), (Some(1), full));
    let (code, _, error) = shell(&folder, "$ELU run no.npy --json > /dev/full");
    let missing = "elu: no.npy: No such file or directory (os error 2)\n";
    assert_eq!((code, error), (Some(1), format!("{full}{missing}")));
    // Standard output is checked before the work.
    fs::remove_file(folder.path("x.elu.npy")).unwrap();
    let (code, _, error) = shell(&folder, "$ELU run x.npy --json >&-");
    assert_eq!(
        (code, &*error),
        (Some(1), "elu: standard output is closed\n")
    );
    assert_eq!(folder.names(), ["x.npy"]);
}

#[test]
fn quiet_prints_only_errors() {
    let folder = folder_with_x();
    folder.write("y.npy", &fs::read(folder.path("x.npy")).unwrap());
    for option in ["-q", "--quiet"] {
        let output = folder.elu(&["run", "x.npy", "y.npy", "-f", option]);
        assert_eq!(parts(output), (Some(0), String::new(), String::new()));
        assert_eq!(folder.names(), ["x.elu.npy", "x.npy", "y.elu.npy", "y.npy"]);
    }
    assert_eq!(
        folder.error(&["run", "-q", "x.npy"]),
        "x.elu.npy: already exists: use --force to replace it"
    );
}
