//! Tests of `elu run --raw`.

use std::fs;

use conformance::native::varied;
use wgpu_elu::{
    DType,
    accuracy::{bits, to_bytes},
};

use crate::common::{Folder, folder_with_x, header, npy, parts};

/// Returns the bytes of a few numbers, little-endian.
fn numbers(dtype: DType) -> Vec<u8> {
    let bits: Vec<u64> = varied(1001)
        .iter()
        .map(|&x| bits(dtype, x.into()))
        .collect();
    to_bytes(dtype, &bits)
}

#[test]
fn the_results_are_those_of_a_npy_file() {
    let folder = Folder::new();
    for (dtype, descr) in [
        (DType::F32, "<f4"),
        (DType::F16, "<f2"),
        (DType::BF16, "<V2"),
        (DType::F64, "<f8"),
    ] {
        let (name, data) = (dtype.name(), numbers(dtype));
        folder.write("x.bin", &data);
        folder.write("x.npy", &npy(1, &header(descr, false, "(1001,)"), &data));
        let summary = folder.success(&["run", "--raw", name, "x.bin", "-f", "--alpha", "0.3"]);
        assert!(
            summary.starts_with(&format!("1001 {name} on ")),
            "{summary}"
        );
        assert!(summary.ends_with(" ms -> x.elu.bin\n"), "{summary}");
        folder.success(&["run", "x.npy", "--dtype", name, "-f", "--alpha", "0.3"]);
        let y = fs::read(folder.path("x.elu.bin")).unwrap();
        assert_eq!(y.len(), data.len());
        assert!(
            fs::read(folder.path("x.elu.npy")).unwrap().ends_with(&y),
            "{name}"
        );
        let args = ["run", "-", "--raw", name, "--alpha", "0.3"];
        let (code, summary) = {
            let output = folder.elu_with_input(&args, &data);
            assert_eq!(output.stdout, y, "{name}");
            (
                output.status.code(),
                String::from_utf8(output.stderr).unwrap(),
            )
        };
        assert_eq!(code, Some(0), "{summary}");
        assert!(
            summary.starts_with(&format!("1001 {name} on ")),
            "{summary}"
        );
        assert!(summary.ends_with(" ms -> standard output\n"), "{summary}");
    }
}

#[test]
fn the_content_and_the_name_do_not_matter() {
    let folder = folder_with_x();
    let data = fs::read(folder.path("x.npy")).unwrap();
    // The header of a .npy file is read as numbers, too.
    let summary = folder.success(&["run", "x.npy", "--raw", "float16", "-o", "y.safetensors"]);
    let len = data.len() / 2;
    assert!(
        summary.starts_with(&format!("{len} float16 on ")),
        "{summary}"
    );
    assert_eq!(
        fs::read(folder.path("y.safetensors")).unwrap().len(),
        data.len()
    );
    for (name, result) in [
        ("x", "x.elu"),
        ("x.f32", "x.elu.f32"),
        ("a.b.c", "a.b.elu.c"),
    ] {
        folder.write(name, &[0; 12]);
        folder.success(&["run", name, "--raw", "F32"]);
        assert_eq!(fs::read(folder.path(result)).unwrap(), [0; 12], "{result}");
    }
}

#[test]
fn no_data_gives_no_results() {
    let folder = Folder::new();
    folder.write("x.bin", b"");
    let summary = folder.success(&["run", "x.bin", "--raw", "float64"]);
    assert!(summary.starts_with("0 float64 on "), "{summary}");
    assert_eq!(fs::read(folder.path("x.elu.bin")).unwrap(), b"");
    let output = folder.elu(&["run", "-", "--raw", "float64", "-q"]);
    assert_eq!(parts(output), (Some(0), String::new(), String::new()));
}

#[test]
fn data_that_ends_within_an_element_is_an_error() {
    let folder = Folder::new();
    folder.write("x.bin", &[0; 13]);
    for (dtype, size) in [
        ("float16", 2),
        ("bfloat16", 2),
        ("float32", 4),
        ("float64", 8),
    ] {
        let text = format!(
            "the input ends within an element: needed a multiple of {size} bytes, found 13"
        );
        assert_eq!(
            folder.error(&["run", "x.bin", "--raw", dtype]),
            format!("x.bin: {text}")
        );
        let output = folder.elu_with_input(&["run", "-", "-o", "y", "--raw", dtype], &[0; 13]);
        assert_eq!(
            parts(output),
            (
                Some(1),
                String::new(),
                format!("elu: standard input: {text}\n")
            )
        );
        assert_eq!(folder.names(), ["x.bin"]);
    }
    assert_eq!(
        folder.error(&["run", ".", "--raw", "float16"]),
        ".: needed a file, found a directory"
    );
}

#[test]
fn options_about_a_header_are_usage_errors() {
    let folder = folder_with_x();
    for (option, value, name) in [("--tensor", "a", "NAME"), ("--dtype", "float16", "DTYPE")] {
        let output = folder.elu(&["run", "x.npy", "--raw", "float32", option, value]);
        let (code, _, error) = parts(output);
        let text = format!(
            "error: the argument '--raw <DTYPE>' cannot be used with '{option} <{name}>'\n"
        );
        assert!(error.starts_with(&text), "{error}");
        assert_eq!(code, Some(2));
    }
    // The dtype is missing.
    let (code, _, error) = parts(folder.elu(&["run", "--raw", "x.npy"]));
    assert!(
        error.starts_with("error: invalid value 'x.npy' for '--raw <DTYPE>'\n  [possible values: "),
        "{error}"
    );
    assert_eq!(code, Some(2));
}
