//! Tests of `elu run --op`: the results, and the files that do not fit together.

use std::{
    fs,
    io::{Cursor, Read, Write},
};

use conformance::native::{check_results, varied};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use wgpu_elu::{
    DType, Elu, Op,
    accuracy::{self, Judge, from_bytes, to_bytes},
};
use zip::{CompressionMethod::Deflated, ZipArchive, ZipWriter, write::SimpleFileOptions};

use crate::common::{Folder, folder_with_x, header, npy, parts};

const GRADIENTS: [Op; 2] = [Op::Backward, Op::BackwardFromOutput];

/// Returns the bits of `len` numbers, after the first `skip` numbers.
fn numbers(dtype: DType, skip: usize, len: usize) -> Vec<u64> {
    let values = varied(skip + len);
    let values = values[skip..].iter();
    values.map(|&v| accuracy::bits(dtype, v.into())).collect()
}

/// Returns a `.npy` file with these numbers.
fn file(dtype: DType, descr: &str, fortran: bool, shape: &str, bits: &[u64]) -> Vec<u8> {
    let mut data = to_bytes(dtype, bits);
    if descr.starts_with('>') {
        let elements = data.chunks_exact_mut(dtype.size());
        elements.for_each(<[u8]>::reverse);
    }
    npy(1, &header(descr, fortran, shape), &data)
}

fn judge(op: Op, dtype: DType) -> Judge {
    let elu = Elu::new(0.5);
    Judge { op, dtype, elu }
}

/// Returns the bits of the last `len` elements of a little-endian `.npy` file.
fn results(dtype: DType, file: &[u8], len: usize) -> Vec<u64> {
    from_bytes(dtype, &file[file.len() - len * dtype.size()..])
}

/// Returns the first line of a usage error that clap formats.
#[track_caller]
fn conflict(folder: &Folder, args: &[&str]) -> String {
    let before = folder.names();
    let (code, output, error) = parts(folder.elu(args));
    assert_eq!((code, output.as_str()), (Some(2), ""), "{error}");
    assert_eq!(folder.names(), before);
    error.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn gradients_of_npy_files_keep_the_contract() {
    let formats = [("f2", DType::F16), ("f4", DType::F32), ("f8", DType::F64)];
    for (op, (name, dtype)) in GRADIENTS
        .into_iter()
        .flat_map(|op| formats.map(|format| (op, format)))
    {
        for (shape, len, fortran) in [
            ("(30, 40)", 1200, true),
            ("()", 1, false),
            ("(0, 3)", 0, false),
        ] {
            let folder = Folder::new();
            let (x, grad) = (numbers(dtype, 0, len), numbers(dtype, 777, len));
            folder.write(
                "x.npy",
                &file(dtype, &format!("<{name}"), fortran, shape, &x),
            );
            // The byte orders may differ.
            folder.write(
                "g.npy",
                &file(dtype, &format!(">{name}"), fortran, shape, &grad),
            );
            let args = [
                "run",
                "x.npy",
                "-d",
                "cpu",
                "-a",
                "0.5",
                "--grad",
                "g.npy",
                "--op",
                op.name(),
            ];
            let stderr = folder.success(&args);
            let what = match op {
                Op::BackwardFromOutput => "ELU's gradient from the output, alpha 0.5",
                _ => "ELU's gradient, alpha 0.5",
            };
            assert!(stderr.contains(&format!("), {what}, ")), "{stderr}");
            assert!(stderr.ends_with(" -> x.elu.npy\n"), "{stderr}");
            let written = fs::read(folder.path("x.elu.npy")).unwrap();
            let text = header(&format!("<{name}"), fortran, shape);
            assert!(String::from_utf8_lossy(&written).contains(&text), "{text}");
            check_results(
                shape,
                judge(op, dtype),
                &x,
                &grad,
                &results(dtype, &written, len),
            );
        }
    }
}

#[test]
fn a_gradient_of_bfloat16_is_computed() {
    let folder = Folder::new();
    let (op, dtype) = (Op::Backward, DType::BF16);
    let (x, grad) = (numbers(dtype, 0, 99), numbers(dtype, 777, 99));
    folder.write("x.npy", &file(dtype, "<V2", false, "(99,)", &x));
    folder.write("g.npy", &file(dtype, "<V2", false, "(99,)", &grad));
    folder.success(&[
        "run", "x.npy", "-d", "cpu", "-a", "0.5", "--dtype", "bf16", "--op", "BACKWARD", "--grad",
        "g.npy",
    ]);
    let written = fs::read(folder.path("x.elu.npy")).unwrap();
    check_results(
        "bfloat16",
        judge(op, dtype),
        &x,
        &grad,
        &results(dtype, &written, 99),
    );
}

#[test]
fn standard_input_may_be_the_gradient() {
    let folder = Folder::new();
    let dtype = DType::F32;
    let (x, grad) = (numbers(dtype, 0, 3), numbers(dtype, 777, 3));
    folder.write("x.npy", &file(dtype, "<f4", false, "(3,)", &x));
    let grad_file = file(dtype, "<f4", false, "(3,)", &grad);
    let args = [
        "run", "x.npy", "-d", "cpu", "-a", "0.5", "-o", "-", "--op", "backward", "--grad", "-",
    ];
    let output = folder.elu_with_input(&args, &grad_file);
    assert_eq!(output.status.code(), Some(0));
    let y = results(dtype, &output.stdout, 3);
    check_results("stdin", judge(Op::Backward, dtype), &x, &grad, &y);
    for (input, found) in [
        (grad_file[..grad_file.len() - 4].to_vec(), "8"),
        ([&grad_file[..], b"!"].concat(), "more"),
    ] {
        let args = [
            "run", "x.npy", "-d", "cpu", "--op", "backward", "--grad", "-",
        ];
        let (code, _, error) = parts(folder.elu_with_input(&args, &input));
        let text =
            format!("standard input: shape [3] of float32 needs 12 bytes of data, found {found}");
        assert_eq!((code, error), (Some(1), format!("elu: {text}\n")));
        assert_eq!(folder.names(), ["x.npy"]);
    }
}

#[test]
fn a_gradient_of_another_form_is_refused() {
    let folder = Folder::new();
    let zeros = |descr: &str, fortran, shape: &str, len| {
        npy(1, &header(descr, fortran, shape), &vec![0; len])
    };
    folder.write("x.npy", &zeros("<f4", false, "(2, 3)", 24));
    folder.write("x1.npy", &zeros("<f4", false, "(3,)", 12));
    let needed = "needed shape [2, 3] of float32 in C order like INPUT, found";
    for (grad, text) in [
        (
            zeros("<f4", false, "(3, 2)", 24),
            format!("{needed} shape [3, 2] of float32 in C order"),
        ),
        (
            zeros("<f4", true, "(2, 3)", 24),
            format!("{needed} shape [2, 3] of float32 in Fortran order"),
        ),
        (
            zeros("<f8", false, "(2, 3)", 48),
            format!("{needed} shape [2, 3] of float64 in C order"),
        ),
        (
            zeros("<f4", false, "(6,)", 24),
            format!("{needed} shape [6] of float32"),
        ),
        (
            zeros("<f4", false, "(2, 3)", 20),
            "shape [2, 3] of float32 needs 24 bytes of data, found 20".into(),
        ),
        (
            b"{}".to_vec(),
            "found an unknown format, needed a .npy, .npz or .safetensors file, or --raw for numbers without a header".into(),
        ),
    ] {
        folder.write("grad", &grad);
        let args = ["run", "x.npy", "--op", "backward", "--grad", "grad"];
        assert_eq!(folder.error(&args), format!("grad: {text}"));
    }
    folder.write("g.safetensors", &crate::common::model());
    let args = [
        "run",
        "x.npy",
        "--op",
        "backward",
        "--grad",
        "g.safetensors",
    ];
    assert_eq!(
        folder.error(&args),
        "g.safetensors: needed a .npy file like INPUT, found a .safetensors file"
    );
    let args = ["run", "x.npy", "--op", "backward", "--grad", "no.npy"];
    assert_eq!(
        folder.error(&args),
        "no.npy: No such file or directory (os error 2)"
    );
    // The order of one axis has no meaning.
    folder.write("g1.npy", &zeros("<f4", true, "(3,)", 12));
    folder.success(&[
        "run", "x1.npy", "-d", "cpu", "--op", "backward", "--grad", "g1.npy",
    ]);
}

#[test]
fn an_operation_and_its_files_must_fit() {
    let folder = folder_with_x();
    assert_eq!(
        conflict(&folder, &["run", "x.npy", "--op", "backward"]),
        "error: --op backward needs the incoming gradient: add --grad FILE"
    );
    for args in [
        &["--grad", "x.npy"][..],
        &["--grad", "x.npy", "--op", "forward"],
    ] {
        assert_eq!(
            conflict(&folder, &[&["run", "x.npy"], args].concat()),
            "error: --grad needs --op backward or --op backward-from-output"
        );
    }
    assert_eq!(
        conflict(&folder, &["run", "-", "--op", "backward", "--grad", "-"]),
        "error: INPUT and --grad are both standard input: save one of them to a file"
    );
    // It does not wait for standard input.
    let args = ["run", "-", "--op", "backward", "--grad", "missing.npy"];
    assert_eq!(
        folder.error(&args),
        "missing.npy: No such file or directory (os error 2)"
    );
    let args = [
        "run", "x.npy", "y.npy", "--op", "backward", "--grad", "x.npy",
    ];
    assert_eq!(
        conflict(&folder, &args),
        "error: --grad belongs to one file, but INPUT is 2 files: run them one by one"
    );
    let flat = ["--op", "backward-from-output", "--grad", "x.npy", "-a", "0"];
    assert_eq!(
        folder.usage_error(&[&["run", "x.npy", "-d", "cpu"], &flat[..]].concat()),
        "x.npy: backward-from-output needs a positive, finite alpha * scale in float32, found 0.0: use backward with the \
         input of ELU"
    );
}

/// With exit code 2, nothing is written to standard output, even if only the last tensor has an unsuitable dtype.
#[test]
fn factors_are_checked_for_every_tensor_before_anything_is_written() {
    let folder = Folder::new();
    let data = [
        ("big", Dtype::F64, &[400_000][..], vec![0; 3_200_000]),
        ("small", Dtype::F32, &[1], vec![0; 4]),
    ];
    folder.write("x.safetensors", &tensors(&data));
    let args = [
        "run",
        "x.safetensors",
        "-d",
        "cpu",
        "-a",
        "1e-50",
        "-o",
        "-",
        "--op",
        "backward-from-output",
        "--grad",
        "x.safetensors",
    ];
    let error = folder.usage_error(&args);
    let text = "x.safetensors: tensor \"small\": backward-from-output needs a positive, finite alpha * scale in float32, \
                found 1e-50: ";
    assert!(error.starts_with(text), "{error}");
}

#[test]
fn gradients_of_numbers_without_a_header() {
    let folder = Folder::new();
    let (dtype, len) = (DType::F16, 1001);
    let (x, grad) = (numbers(dtype, 0, len), numbers(dtype, 777, len));
    let grad_bytes = to_bytes(dtype, &grad);
    folder.write("x.bin", &to_bytes(dtype, &x));
    folder.write("g.bin", &grad_bytes);
    let args = ["run", "x.bin", "-d", "cpu", "-a", "0.5", "--raw", "float16"];
    let backward = [&args[..], &["--op", "backward", "--grad"]].concat();
    for op in GRADIENTS {
        let gradient = ["--op", op.name(), "--grad", "g.bin", "-f"];
        let stderr = folder.success(&[&args[..], &gradient].concat());
        assert!(stderr.starts_with("1001 float16 on "), "{stderr}");
        assert!(stderr.contains("), ELU's gradient"), "{stderr}");
        let y = fs::read(folder.path("x.elu.bin")).unwrap();
        let y = from_bytes(dtype, &y);
        check_results(op.name(), judge(op, dtype), &x, &grad, &y);
    }
    let to_stdout = [&backward[..], &["-", "-o", "-"]].concat();
    let output = folder.elu_with_input(&to_stdout, &grad_bytes);
    assert_eq!(output.status.code(), Some(0));
    let y = from_bytes(dtype, &output.stdout);
    check_results("stdin", judge(Op::Backward, dtype), &x, &grad, &y);
    fs::remove_file(folder.path("x.elu.bin")).unwrap();

    folder.write("short.bin", &grad_bytes[..2000]);
    folder.write("odd.bin", &grad_bytes[..1999]);
    for (grad, text) in [
        (
            "short.bin",
            "short.bin: needed 1001 elements like INPUT, found 1000 elements",
        ),
        (
            "odd.bin",
            "odd.bin: the gradient ends within an element: needed a multiple of 2 bytes, found 1999",
        ),
        (".", ".: needed a file, found a directory"),
    ] {
        assert_eq!(folder.error(&[&backward[..], &[grad]].concat()), text);
    }
    // The length of a pipe is known at its end.
    let needed = "both must have the same length";
    for (input, text) in [
        (
            grad_bytes[..2000].to_vec(),
            format!("standard input: the gradient has 1000 elements, the input has more: {needed}"),
        ),
        (
            [&grad_bytes[..], &[0; 2]].concat(),
            format!("x.bin: the input has 1001 elements, the gradient has more: {needed}"),
        ),
    ] {
        let output = folder.elu_with_input(&[&backward[..], &["-"]].concat(), &input);
        let (code, _, error) = parts(output);
        assert_eq!((code, error), (Some(1), format!("elu: {text}\n")));
        assert_eq!(folder.names(), ["g.bin", "odd.bin", "short.bin", "x.bin"]);
    }
}

/// Builds a `.safetensors` file with these tensors.
fn tensors(tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) -> Vec<u8> {
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        (
            *name,
            TensorView::new(*dtype, shape.to_vec(), data).unwrap(),
        )
    });
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn tensors_get_the_gradient_of_the_same_name() {
    let folder = Folder::new();
    let data = |dtype, skip, len| to_bytes(dtype, &numbers(dtype, skip, len));
    let x = tensors(&[
        ("one", Dtype::F32, &[2, 3], data(DType::F32, 0, 6)),
        ("two", Dtype::F32, &[5], data(DType::F32, 10, 5)),
        ("half", Dtype::F16, &[3], data(DType::F16, 20, 3)),
        ("ids", Dtype::I64, &[2], vec![1; 16]),
    ]);
    // Another order of the data, because larger dtypes come first, and more tensors.
    let grad = [
        ("two", Dtype::F32, &[5][..], data(DType::F32, 710, 5)),
        ("other", Dtype::F64, &[9], data(DType::F64, 0, 9)),
        ("half", Dtype::F16, &[3], data(DType::F16, 720, 3)),
        ("one", Dtype::F32, &[2, 3], data(DType::F32, 700, 6)),
    ];
    folder.write("x.safetensors", &x);
    folder.write("g.safetensors", &tensors(&grad));
    let args = [
        "run",
        "x.safetensors",
        "-d",
        "cpu",
        "-a",
        "0.5",
        "--op",
        "backward",
        "--grad",
    ];
    folder.success(&[&args[..], &["g.safetensors"]].concat());
    let written = fs::read(folder.path("x.elu.safetensors")).unwrap();
    let (before, after) = (
        SafeTensors::deserialize(&x).unwrap(),
        SafeTensors::deserialize(&written).unwrap(),
    );
    for (name, dtype, skip) in [
        ("one", DType::F32, 700),
        ("two", DType::F32, 710),
        ("half", DType::F16, 720),
    ] {
        let [x, y] =
            [&before, &after].map(|file| from_bytes(dtype, file.tensor(name).unwrap().data()));
        let grad = numbers(dtype, skip, x.len());
        check_results(name, judge(Op::Backward, dtype), &x, &grad, &y);
    }
    assert_eq!(after.tensor("ids").unwrap().data(), [1; 16]);
    fs::remove_file(folder.path("x.elu.safetensors")).unwrap();

    folder.write("g.safetensors", &tensors(&grad[..3]));
    assert_eq!(
        folder.error(&[&args[..], &["g.safetensors"]].concat()),
        "g.safetensors: no tensor named \"one\", whose gradient INPUT needs"
    );
    // Only the tensors that are replaced need a gradient.
    let selected = ["g.safetensors", "-t", "two", "-o", "two.safetensors"];
    folder.success(&[&args[..], &selected].concat());
    let wrong = ("one", Dtype::F16, &[3, 2][..], data(DType::F16, 0, 6));
    folder.write("g.safetensors", &tensors(&[&grad[..3], &[wrong]].concat()));
    assert_eq!(
        folder.error(&[&args[..], &["g.safetensors"]].concat()),
        "g.safetensors: tensor \"one\": needed shape [2, 3] of F32 like INPUT, found shape [3, 2] of F16"
    );
    #[cfg(unix)]
    {
        let line = "$ELU run x.safetensors -d cpu --op backward --grad <(cat g.safetensors)";
        let (code, _, error) = crate::common::shell(&folder, line);
        let end = ": a .safetensors file cannot be read from a pipe, because it is not read in order: save it to a file \
                   first\n";
        assert!(code == Some(1) && error.ends_with(end), "{error}");
    }
}

/// Builds a `.npz` file with these members.
fn archive(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(Deflated);
    for (name, content) in members {
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn arrays_get_the_gradient_of_the_same_name() {
    let folder = Folder::new();
    let dtype = DType::F32;
    let array = |fortran, shape: &str, skip, len| {
        file(dtype, "<f4", fortran, shape, &numbers(dtype, skip, len))
    };
    let ids = npy(1, &header("<i8", false, "(2,)"), &[1; 16]);
    let x = [
        ("a", array(false, "(3,)", 0, 3)),
        ("ids", ids.clone()),
        ("b", array(true, "(2, 4)", 10, 8)),
    ];
    folder.write("x.npz", &archive(&x));
    let b = ("b", array(true, "(2, 4)", 710, 8));
    folder.write(
        "g.npz",
        &archive(&[b.clone(), ("a", array(false, "(3,)", 700, 3))]),
    );
    let args = [
        "run", "x.npz", "-d", "cpu", "-a", "0.5", "--op", "backward", "--grad", "g.npz",
    ];
    folder.success(&args);
    let written = fs::read(folder.path("x.elu.npz")).unwrap();
    let mut zip = ZipArchive::new(Cursor::new(written)).unwrap();
    for (name, skip, len) in [("a", 0, 3), ("b", 10, 8)] {
        let mut bytes = Vec::new();
        zip.by_name(&format!("{name}.npy"))
            .unwrap()
            .read_to_end(&mut bytes)
            .unwrap();
        let (x, grad) = (numbers(dtype, skip, len), numbers(dtype, 700 + skip, len));
        check_results(
            name,
            judge(Op::Backward, dtype),
            &x,
            &grad,
            &results(dtype, &bytes, len),
        );
    }
    fs::remove_file(folder.path("x.elu.npz")).unwrap();
    for (members, text) in [
        (
            vec![b.clone()],
            "g.npz: no array named \"a\", whose gradient INPUT needs",
        ),
        (
            vec![("a", ids.clone()), b.clone()],
            "g.npz: array \"a\": dtype int64 ('<i8') is not supported, needed float16, float32 or float64 ('<f2', '<f4', \
             '<f8' or with '>')",
        ),
        (
            vec![("a", array(false, "(3, 1)", 0, 3)), b.clone()],
            "g.npz: array \"a\": needed shape [3] of float32 like INPUT, found shape [3, 1] of float32 in C order",
        ),
        (
            vec![
                ("a", array(false, "(3,)", 0, 3)),
                ("b", array(false, "(2, 4)", 0, 8)),
            ],
            "g.npz: array \"b\": needed shape [2, 4] of float32 in Fortran order like INPUT, found shape [2, 4] of float32 \
             in C order",
        ),
    ] {
        folder.write("g.npz", &archive(&members));
        assert_eq!(folder.error(&args), text);
    }
    // Damage in the data of a gradient names its file.
    let mut damaged = archive(&[("a", array(false, "(3,)", 0, 3)), b]);
    let position = damaged
        .windows(4)
        .position(|bytes| bytes == b"PK\x01\x02")
        .unwrap();
    let checksum = position + 16; // that of the first member, in the list of members
    damaged[checksum] ^= 1;
    folder.write("g.npz", &damaged);
    assert_eq!(
        folder.error(&args),
        "g.npz: member \"a\": the data is damaged: invalid checksum"
    );
}
