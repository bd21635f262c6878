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
        "x.npy: --alpha \"-1e39\": for float32, needed inf or a float32 number, at most 3.4028235e38 in magnitude"
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
        "structured dtypes are not supported, needed float16, float32 or float64 ('<f2', '<f4', '<f8' or with '>')"
    );
}

#[test]
fn shapes_that_are_too_large_are_refused() {
    let error = |shape: &str| error_for(&npy(1, &header("<f4", false, shape), DATA));
    assert_eq!(
        error("(4611686018427387904, 8)"),
        "shape [4611686018427387904, 8] is too large for this machine"
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
    let with = |descr: &str, order: &str, shape: &str| {
        format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}")
    };
    let shape = |shape: &str| with("'<f4'", "False", shape);
    for (header, error) in [
        (shape("(-1,)"), "shape (-1,) has a negative dimension"),
        (shape("(3)"), "shape (3) is not a tuple of integers"),
        (shape("3"), "shape 3 is not a tuple of integers"),
        (
            shape("(3, True)"),
            "shape (3, True) is not a tuple of integers",
        ),
        (shape("[3]"), "shape is a list, needed a tuple of integers"),
        (
            shape("(3.0,)"),
            "shape contains a number that is not an integer, needed a tuple of integers",
        ),
        (
            shape("(03,)"),
            "shape contains the malformed number 03, needed a tuple of integers",
        ),
        (shape("(3"), "needed ')' or ',' in parentheses, found '}'"),
        (shape("(,)"), "needed a value, found ','"),
        (shape("(-True,)"), "needed an integer after '-'"),
        (
            with("'<f4'", "0", "(3,)"),
            "fortran_order 0 is not True or False",
        ),
        (
            with("'<f4'", "false", "(3,)"),
            "fortran_order is the word false, needed True or False",
        ),
        (
            with("4", "False", "(3,)"),
            "descr 4 is not a string such as '<f4'",
        ),
        (
            with("b'<f4'", "False", "(3,)"),
            "descr is a string with the prefix b, needed a string such as '<f4'",
        ),
        (
            with("'<f4", "False", "(3,)"),
            "needed '}' or ',' after a value, found the word fortran_order",
        ),
        ("{'descr': '<f4'}".into(), "missing key 'fortran_order'"),
        ("{'descr': '<f4', 'x': 1}".into(), "unknown key 'x'"),
        (
            "{'shape': (3,), 'shape': (3,)}".into(),
            "key 'shape' appears twice",
        ),
        ("{3: 4}".into(), "a key is not a string"),
        (
            "{'shape' (3,)}".into(),
            "needed ':' after the key 'shape', found '('",
        ),
        (
            shape("(3,)") + "}",
            "needed nothing after the dictionary, found '}'",
        ),
        (shape("(3,)") + "\0", "it contains the character NUL"),
        (shape("('\\x4',)"), "a string has an invalid escape"),
        ("'''".into(), "a string has no closing quote"),
        ("\n {}".into(), "the first line is indented"),
        ("".into(), "needed '{' at its start, found its end"),
        ("42".into(), "needed '{' at its start, found an integer"),
        (
            "{'descr': '<f4',\n\n'oops'".into(),
            "needed ':' after the key 'oops', found its end",
        ),
        ("(".repeat(9_000), "more than 200 open brackets"),
        ("[".repeat(9_000), "needed '{' at its start, found '['"),
    ] {
        let file = npy(1, &header, DATA);
        assert_eq!(error_for(&file), format!("bad .npy header: {error}"));
    }
    let digits = "3".repeat(4_000);
    assert_eq!(
        error_for(&npy(1, &shape(&format!("({digits},)")), DATA)),
        format!("shape ({}... is too large for this machine", &digits[..59])
    );
    let mut file = npy(1, &shape("(3,)#!"), DATA);
    file.splice(6..10, [3, 0, 128 - 10, 0, 0, 0]);
    file[12 + shape("(3,)#").len()] = 0xff;
    assert_eq!(error_for(&file), "bad .npy header: it is not UTF-8");
}

#[test]
fn headers_that_are_too_long_are_refused() {
    assert_eq!(
        error_for(&npy(2, &"(".repeat(20_000), DATA)),
        "header of 20020 bytes, needed at most 10000"
    );
}

#[test]
fn bfloat16_needs_the_argument_dtype() {
    let folder = Folder::new();
    let x: Vec<u64> = varied(24)
        .iter()
        .map(|&v| accuracy::bits(DType::BF16, v.into()))
        .collect();
    for (descr, written) in [
        ("<V2", "<V2"),
        ("|V2", "<V2"),
        ("V2", "<V2"),
        (">V2", ">V2"),
    ] {
        let in_order = |mut bytes: Vec<u8>| {
            if descr == ">V2" {
                bytes.chunks_exact_mut(2).for_each(<[u8]>::reverse);
            }
            bytes
        };
        let data = in_order(to_bytes(DType::BF16, &x));
        folder.write("x.npy", &npy(1, &header(descr, false, "(24,)"), &data));
        let run = ["run", "x.npy", "--force", "--device", "cpu"];
        assert_eq!(
            folder.error(&run),
            format!(
                "x.npy: dtype '{descr}' has 2 bytes of unknown meaning: if they are a bfloat16, as ml_dtypes writes \
                 it, use --dtype bfloat16"
            )
        );
        let stderr = folder.success(&[&run[..], &["--dtype", "bfloat16"]].concat());
        assert!(stderr.starts_with("24 bfloat16 on CPU"), "{stderr}");
        let result = fs::read(folder.path("x.elu.npy")).unwrap();
        let (start, data) = result.split_at(128);
        assert_eq!(start, npy(1, &header(written, false, "(24,)"), &[]));
        let y = from_bytes(DType::BF16, &in_order(data.to_vec()));
        check_results(descr, forward_judge(DType::BF16), &x, &[], &y);
        assert_eq!(
            folder.error(&[&run[..], &["--dtype", "float16"]].concat()),
            format!(
                "x.npy: dtype '{descr}' has 2 bytes of unknown meaning: if they are a bfloat16, as ml_dtypes writes \
                 it, use --dtype bfloat16"
            )
        );
    }
}

#[test]
fn a_dtype_that_contradicts_the_file_is_refused() {
    let folder = Folder::new();
    folder.write("x.npy", &npy(1, &good_header(), DATA));
    folder.success(&["run", "x.npy", "--dtype", "f32"]);
    assert_eq!(
        folder.error(&["run", "x.npy", "--force", "--dtype", "bfloat16"]),
        "x.npy: --dtype bfloat16 contradicts the file, which has dtype float32"
    );
    folder.write("x.safetensors", &model());
    let output = folder.elu(&["run", "x.safetensors", "--dtype", "bfloat16"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr.contains("--dtype needs a .npy or .npz file as INPUT"),
        "{stderr}"
    );
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
        ".: needed a .npy, .npz or .safetensors file, found a directory"
    );
}
