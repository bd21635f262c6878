//! Tests of `elu run` on `.npy` files: the results, and the files that it rejects.

use std::{fs, path::Path};

use conformance::native::{check_results, gpus, varied};
use ndarray_npy::npy::header::Header;
use wgpu_elu::{
    DType,
    accuracy::{self, from_bytes, to_bytes},
};

use crate::common::{DIGITS, Folder, forward_judge, header, model, npy, read};

#[test]
fn every_device_agrees_with_pytorch() {
    let input = format!("{DIGITS}/digits_preact_f32.npy");
    let (_, x) = read(Path::new(&input));
    let mut devices = vec![vec!["--device", "cpu"], vec![]];
    let adapters: Vec<String> = gpus()
        .iter()
        .map(|gpu| wgpu_elu::Device::Gpu(gpu.clone()).to_string())
        .collect();
    devices.extend(adapters.iter().map(|name| vec!["--adapter", name.as_str()]));
    if !adapters.is_empty() {
        devices.push(vec!["--device", "gpu"]);
    }
    for (alpha, expected) in [
        ("1", "digits_elu_torch_alpha1.0.npy"),
        ("0.3", "digits_elu_torch_alpha0.3.npy"),
    ] {
        let (torch_header, torch) = read(&Path::new(DIGITS).join(expected));
        for device in &devices {
            let folder = Folder::new();
            let args = [
                &["run", &input, "-o", "y.npy", "--alpha", alpha][..],
                device,
            ]
            .concat();
            let stderr = folder.success(&args);
            assert!(stderr.starts_with("1797 x 128 float32 on "), "{stderr}");
            assert!(
                stderr.contains(&format!(", alpha {alpha}, "))
                    && stderr.ends_with(" ms -> y.npy\n"),
                "{stderr}"
            );
            if let ["--adapter", name] = device[..] {
                assert!(stderr.contains(&format!(" on {name}, ")), "{stderr}");
            }
            let (header, y) = read(&folder.path("y.npy"));
            assert_eq!(header.shape, torch_header.shape);
            for ((&x, &y), &torch) in x.iter().zip(&y).zip(&torch) {
                assert!(
                    y.to_bits().abs_diff(torch.to_bits()) <= 1,
                    "{device:?}: x {x:e}, y {y:e}, PyTorch {torch:e}"
                );
            }
        }
    }
}

#[test]
fn every_format_is_kept() {
    let formats = [("f2", DType::F16), ("f4", DType::F32), ("f8", DType::F64)];
    for (version, big_endian, fortran) in [1, 2, 3].into_iter().flat_map(|version| {
        [
            (version, false, false),
            (version, false, true),
            (version, true, false),
            (version, true, true),
        ]
    }) {
        for (name, dtype) in formats {
            let in_order = |mut bytes: Vec<u8>| {
                if big_endian {
                    bytes
                        .chunks_exact_mut(dtype.size())
                        .for_each(<[u8]>::reverse);
                }
                bytes
            };
            for (shape, len) in [
                ("(2, 3, 4)", 24),
                ("(24,)", 24),
                ("()", 1),
                ("(0, 3)", 0),
                ("(0,)", 0),
            ] {
                let x: Vec<u64> = varied(len)
                    .iter()
                    .map(|&v| accuracy::bits(dtype, v.into()))
                    .collect();
                let folder = Folder::new();
                let data = in_order(to_bytes(dtype, &x));
                let descriptor = format!("{}{name}", if big_endian { '>' } else { '<' });
                let header = header(&descriptor, fortran, shape);
                folder.write("x.npy", &npy(version, &header, &data));
                let stderr = folder.success(&["run", "x.npy", "--device", "cpu"]);
                assert!(stderr.contains(&format!(" {dtype} on CPU")), "{stderr}");
                let written = fs::read(folder.path("x.elu.npy")).unwrap();
                let mut rest = &written[..];
                let written_header = Header::from_reader(&mut rest).unwrap();
                assert_eq!(written_header.to_string(), header.replace(", }", "}"));
                let y = from_bytes(dtype, &in_order(rest.to_vec()));
                check_results(&header, forward_judge(dtype), &x, &[], &y);
            }
        }
    }
}

#[test]
fn standard_input_and_output_work() {
    let folder = Folder::new();
    let input = npy(
        1,
        &header("<f4", false, "(3,)"),
        bytemuck::cast_slice(&[-1.0f32, 0.0, 2.0]),
    );
    let output = folder.elu_with_input(&["run", "-", "--device", "cpu"], &input);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.ends_with(" -> standard output\n"), "{stderr}");
    let mut rest = &output.stdout[..];
    Header::from_reader(&mut rest).unwrap();
    let y: Vec<f32> = bytemuck::pod_collect_to_vec(rest);
    assert!((y[0] + 0.632_120_56).abs() < 1e-7);
    assert_eq!(y[1..], [0.0, 2.0]);
    assert_eq!(folder.names(), [""; 0]);

    for (input, error) in [
        (
            &input[..input.len() - 1],
            "elu: standard input: shape [3] of float32 needs 12 bytes of data, found 11\n",
        ),
        (
            &[&input[..], b"!"].concat(),
            "elu: standard input: shape [3] of float32 needs 12 bytes of data, found more\n",
        ),
    ] {
        let output = folder.elu_with_input(&["run", "-"], input);
        assert_eq!(String::from_utf8(output.stderr).unwrap(), error);
        assert_eq!((output.status.code(), output.stdout), (Some(1), vec![]));
    }
}

#[test]
fn alphas_are_parsed_and_used() {
    let folder = Folder::new();
    folder.write(
        "x.npy",
        &npy(
            1,
            &header("<f4", false, "(1,)"),
            &f32::NEG_INFINITY.to_le_bytes(),
        ),
    );
    for (alpha, expected) in [
        ("-2.5", 2.5),
        ("1e-3", -1e-3),
        ("inf", f32::NEG_INFINITY),
        ("0", 0.0),
    ] {
        folder.success(&["run", "x.npy", "--force", "--alpha", alpha]);
        assert_eq!(
            read(&folder.path("x.elu.npy")).1,
            [expected],
            "alpha {alpha}"
        );
    }
    let error = |file, alpha| folder.usage_error(&["run", file, "-o", "z.npy", "--alpha", alpha]);
    for alpha in ["one", "", "nan", "1,5", "1e400"] {
        assert_eq!(
            error("x.npy", alpha),
            format!("--alpha {alpha:?}: needed a number such as 0.5, or inf or -inf")
        );
    }
    let data = f64::NEG_INFINITY.to_le_bytes();
    folder.write("x8.npy", &npy(1, &header("<f8", false, "(1,)"), &data));
    folder.success(&["run", "x8.npy", "--alpha", "1e300"]);
    let written = fs::read(folder.path("x8.elu.npy")).unwrap();
    assert_eq!(written[written.len() - 8..], (-1e300f64).to_le_bytes());
    assert_eq!(
        error("x.npy", "-1e39"),
        "--alpha \"-1e39\": for float32, needed inf or a float32 number, at most 3.4028235e38 in magnitude"
    );
    folder.write("model.safetensors", &model());
    let args = ["run", "model.safetensors", "--alpha", "1e39"];
    assert_eq!(
        folder.usage_error(&[&args[..], &["--tensor", "brain"]].concat()),
        "model.safetensors: tensor \"brain\": --alpha \"1e39\": for bfloat16, needed inf or a float32 number, at most \
         3.4028235e38 in magnitude"
    );
    folder.success(&[&args[..], &["--tensor", "double"]].concat());
}

/// Returns the error for a file with these bytes, without the file's name.
fn error_for(bytes: &[u8]) -> String {
    let folder = Folder::new();
    folder.write("x.npy", bytes);
    let text = folder.error(&["run", "x.npy"]);
    let text = text
        .strip_prefix("x.npy: ")
        .unwrap_or_else(|| panic!("{text}"));
    text.to_owned()
}

/// Three float32 zeros.
const DATA: &[u8] = &[0; 12];

/// Returns the header for [`DATA`].
fn good_header() -> String {
    header("<f4", false, "(3,)")
}

#[test]
fn files_of_another_format_are_refused() {
    let text = "not a .npy file: it does not start with \\x93NUMPY";
    assert_eq!(error_for(b"x,y\n1,2\n"), text);
    assert_eq!(error_for(b""), text);
}

#[test]
fn truncated_headers_are_refused() {
    let file = npy(1, &good_header(), &[]);
    assert_eq!(error_for(b"\x93NUMPY"), "truncated .npy header");
    assert_eq!(error_for(&file[..40]), "truncated .npy header");
}

#[test]
fn unknown_versions_are_refused() {
    let mut future = npy(1, &good_header(), DATA);
    future[6] = 9;
    assert_eq!(
        error_for(&future),
        ".npy version 9.0, needed 1.0, 2.0 or 3.0"
    );
}

#[test]
fn data_of_another_length_is_refused() {
    for found in [11, 13] {
        let file = npy(1, &good_header(), &vec![0; found]);
        let text = format!("shape [3] of float32 needs 12 bytes of data, found {found}");
        assert_eq!(error_for(&file), text);
    }
}

#[test]
fn other_dtypes_are_refused() {
    for (descr, name) in [
        ("<i8", "dtype int64 ('<i8')"),
        ("|O", "dtype object ('|O')"),
        ("<U7", "dtype '<U7'"),
        // Control characters are escaped.
        ("a\\nb\\x1b[31m", "dtype 'a\\nb\\u{1b}[31m'"),
    ] {
        let text = format!(
            "{name} is not supported, needed float16, float32 or float64 ('<f2', '<f4', '<f8' or with '>')"
        );
        assert_eq!(
            error_for(&npy(1, &header(descr, false, "(3,)"), &[0; 24])),
            text
        );
    }
}

#[test]
fn structured_dtypes_are_refused() {
    let header = "{'descr': [('a', '<f4'), ('b', '<i4')], 'fortran_order': False, 'shape': (3,), }";
    assert_eq!(
        error_for(&npy(1, header, DATA)),
        "structured dtype [('a', '<f4'), ('b', '<i4')] is not supported, needed float16, float32 or float64 \
         ('<f2', '<f4', '<f8' or with '>')"
    );
}

#[test]
fn shapes_that_are_too_large_are_refused() {
    let error = |shape: &str| error_for(&npy(1, &header("<f4", false, shape), DATA));
    assert_eq!(
        error("(4611686018427387904, 8)"),
        "shape [4611686018427387904, 8] has more elements than this machine can address"
    );
    assert_eq!(
        error("(1000000000, 1000000000)"),
        "shape [1000000000, 1000000000] of float32 needs 4000000000000000000 bytes of data, found 12"
    );
    assert_eq!(
        error(&format!("({})", "1,".repeat(4000))),
        "shape of 4000 dimensions, needed at most 64"
    );
}

#[test]
fn headers_with_missing_or_invalid_values_are_refused() {
    assert_eq!(
        error_for(&npy(1, &header("<f4", false, "(-1,)"), DATA)),
        "bad .npy header: illegal value for key shape: (-1,)"
    );
    assert_eq!(
        error_for(&npy(1, "{'descr': '<f4'}", DATA)),
        "bad .npy header: missing key: fortran_order"
    );
}

/// The parser would take practically forever for these headers.
#[test]
fn headers_that_are_too_nested_or_too_long_are_refused() {
    let brackets = "[".repeat(100) + &"]".repeat(100);
    assert_eq!(
        error_for(&npy(1, &brackets, DATA)),
        "bad .npy header: too many brackets; structured dtypes are not supported"
    );
    assert_eq!(
        error_for(&npy(2, &"(".repeat(20_000), DATA)),
        "header of 20020 bytes, needed at most 10000"
    );
}

/// The parser's message has several lines. The command prints it in one line.
#[test]
fn headers_that_are_not_dictionaries_are_refused() {
    for text in [
        "",
        "{",
        "42",
        &"(".repeat(9_000),
        &"[".repeat(9_000),
        "{'descr': '<f4',\n\n'oops'",
    ] {
        let error = error_for(&npy(1, text, DATA));
        assert!(error.starts_with("bad .npy header: "), "{error}");
    }
}

#[test]
fn missing_files_and_directories_are_refused() {
    let folder = Folder::new();
    let missing = folder.error(&["run", "missing.npy"]);
    assert!(
        missing.starts_with("missing.npy: ") && missing.ends_with("(os error 2)"),
        "{missing}"
    );
    assert_eq!(
        folder.error(&["run", ".", "-o", "y.npy"]),
        ".: needed a .npy file, found a directory"
    );
}
