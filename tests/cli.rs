//! The `elu` command, as a user runs it.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use ndarray_npy::npy::header::Header;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use tempfile::TempDir;
use wgpu_elu::{
    DType,
    shader::{Op, Shared, function, source},
};

use crate::{
    common::{check_results, gpus, varied},
    judge::{self, Judge},
};

pub(crate) const ELU: &str = env!("CARGO_BIN_EXE_elu");

const DIGITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/digits");

/// A folder of its own for each test, and the command run in it.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    /// The names of all that is there, hidden files too.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn elu(&self, args: &[&str]) -> Output {
        self.elu_with_input(args, &[])
    }

    /// The command, with pipes for all it reads and says.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.start_as(Command::new(ELU), args)
    }

    pub(crate) fn start_as(&self, mut command: Command, args: &[&str]) -> Child {
        command
            .args(args)
            .current_dir(self.0.path())
            .env("XDG_RUNTIME_DIR", self.0.path()) // without it Mesa complains on standard error
            .env_remove("WGPU_ADAPTER_NAME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn elu_with_input(&self, args: &[&str], input: &[u8]) -> Output {
        let mut child = self.start(args);
        // It may have failed before it read all.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    /// Runs it to the one line on standard error that says what failed; nothing else may be said or left behind.
    #[track_caller]
    pub(crate) fn error(&self, args: &[&str]) -> String {
        self.fails(1, args)
    }

    /// So too, where the command line is wrong.
    #[track_caller]
    fn usage_error(&self, args: &[&str]) -> String {
        self.fails(2, args)
    }

    #[track_caller]
    fn fails(&self, code: i32, args: &[&str]) -> String {
        let before = self.names();
        let output = self.elu(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        assert_eq!(output.stdout, b"", "{args:?}");
        assert_eq!(self.names(), before, "{args:?} left something behind");
        let line = error.strip_suffix('\n').unwrap_or(&error);
        assert!(
            !line.contains('\n'),
            "{args:?} said more than a line: {error}"
        );
        line.strip_prefix("elu: ")
            .unwrap_or_else(|| panic!("{args:?}: {error}"))
            .to_owned()
    }

    /// Runs it to success, and gives what it said.
    #[track_caller]
    pub(crate) fn success(&self, args: &[&str]) -> String {
        let output = self.elu(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {error}");
        assert_eq!(
            error.lines().count(),
            1,
            "{args:?} said more than a line: {error}"
        );
        error
    }
}

/// A `.npy` file as NumPy writes it, in the version and with the header asked for.
pub(crate) fn npy(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
    let size_bytes = if version == 1 { 2 } else { 4 };
    let padding = 64 - (8 + size_bytes + header.len() + 1) % 64;
    let text = format!("{header}{}\n", " ".repeat(padding));
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    bytes.extend(&u32::try_from(text.len()).unwrap().to_le_bytes()[..size_bytes]);
    bytes.extend(text.as_bytes());
    bytes.extend(data);
    bytes
}

pub(crate) fn header(descr: &str, fortran: bool, shape: &str) -> String {
    let fortran = if fortran { "True" } else { "False" };
    format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}")
}

/// The header and the numbers of a little-endian float32 file.
fn read(path: &Path) -> (Header, Vec<f32>) {
    let bytes = fs::read(path).unwrap();
    let mut rest = &bytes[..];
    let header = Header::from_reader(&mut rest).unwrap();
    (header, bytemuck::pod_collect_to_vec(rest))
}

#[test]
fn digits_on_every_device_agree_with_pytorch() {
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
            let said = folder.success(&args);
            assert!(said.starts_with("1797 x 128 float32 on "), "{said}");
            assert!(
                said.contains(&format!(", alpha {alpha}, ")) && said.ends_with(" ms -> y.npy\n"),
                "{said}"
            );
            if let ["--adapter", name] = device[..] {
                assert!(said.contains(&format!(" on {name}, ")), "{said}");
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
fn every_layout_comes_out_as_it_went_in() {
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
                    .map(|&v| judge::bits(dtype, v.into()))
                    .collect();
                let folder = Folder::new();
                let data = in_order(to_bytes(dtype, &x));
                let descriptor = format!("{}{name}", if big_endian { '>' } else { '<' });
                let header = header(&descriptor, fortran, shape);
                folder.write("x.npy", &npy(version, &header, &data));
                let said = folder.success(&["run", "x.npy", "--device", "cpu"]);
                assert!(said.contains(&format!(" {dtype} on the CPU")), "{said}");
                let written = fs::read(folder.path("x.elu.npy")).unwrap();
                let mut rest = &written[..];
                let written_header = Header::from_reader(&mut rest).unwrap();
                assert_eq!(written_header.to_string(), header.replace(", }", "}"));
                let y = from_bytes(dtype, &in_order(rest.to_vec()));
                check_results(&header, plain(dtype), &x, &[], &y);
            }
        }
    }
}

fn plain(dtype: DType) -> Judge {
    Judge {
        op: Op::Forward,
        dtype,
        factors: 1.0.into(),
    }
}

fn to_bytes(dtype: DType, bits: &[u64]) -> Vec<u8> {
    bits.iter()
        .flat_map(|bits| bits.to_le_bytes().into_iter().take(dtype.size()))
        .collect()
}

fn from_bytes(dtype: DType, bytes: &[u8]) -> Vec<u64> {
    let whole = |bytes: &[u8]| {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(whole)
    };
    bytes.chunks(dtype.size()).map(whole).collect()
}

/// Tensors of every kind and a note, as safetensors' own crate writes them.
fn model() -> Vec<u8> {
    let floats = |dtype, len| -> Vec<u8> {
        let bits: Vec<u64> = varied(len)
            .iter()
            .map(|&v| judge::bits(dtype, v.into()))
            .collect();
        to_bytes(dtype, &bits)
    };
    let tensors = [
        ("hidden", Dtype::F32, vec![2, 3], floats(DType::F32, 6)),
        ("half", Dtype::F16, vec![5], floats(DType::F16, 5)),
        ("brain", Dtype::BF16, vec![7], floats(DType::BF16, 7)),
        ("double", Dtype::F64, vec![3], floats(DType::F64, 3)),
        ("ids", Dtype::I64, vec![2], vec![0xff; 16]),
        ("empty", Dtype::F32, vec![0, 4], vec![]),
    ];
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        (*name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    let notes = [("made by".to_owned(), "a test".to_owned())].into();
    safetensors::serialize(views, Some(notes)).unwrap()
}

#[test]
fn every_float_tensor_of_a_safetensors_file() {
    let folder = Folder::new();
    let model = model();
    folder.write("model.safetensors", &model);
    let said = folder.success(&["run", "model.safetensors", "--device", "cpu"]);
    assert!(
        said.starts_with("5 tensors of 21 elements (kept as they were: ids (I64)) on the CPU"),
        "{said}"
    );
    let written = fs::read(folder.path("model.elu.safetensors")).unwrap();
    assert_eq!(written.len(), model.len());
    let (before, after) = (
        SafeTensors::deserialize(&model).unwrap(),
        SafeTensors::deserialize(&written).unwrap(),
    );
    let (_, metadata) = SafeTensors::read_metadata(&written).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["made by"], "a test");
    for (name, x) in before.iter() {
        let y = after.tensor(name).unwrap();
        assert_eq!((x.dtype(), x.shape()), (y.dtype(), y.shape()));
        let dtype = match x.dtype() {
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::F32 => DType::F32,
            Dtype::F64 => DType::F64,
            _ => {
                assert_eq!(x.data(), y.data());
                continue;
            }
        };
        let [x, y] = [x, y].map(|view| from_bytes(dtype, view.data()));
        check_results(name, plain(dtype), &x, &[], &y);
    }

    let said = folder.success(&[
        "run",
        "model.safetensors",
        "--tensor",
        "brain",
        "-o",
        "one.safetensors",
    ]);
    assert!(
        said.starts_with("1 tensor of 7 elements (kept as they were: "),
        "{said}"
    );
    let one = fs::read(folder.path("one.safetensors")).unwrap();
    let one = SafeTensors::deserialize(&one).unwrap();
    assert_eq!(
        one.tensor("brain").unwrap().data(),
        after.tensor("brain").unwrap().data()
    );
    assert_eq!(
        one.tensor("half").unwrap().data(),
        before.tensor("half").unwrap().data()
    );
}

#[test]
fn bad_safetensors_files() {
    let folder = Folder::new();
    folder.write("model.safetensors", &model());
    folder.write("short.safetensors", &model()[..200]);
    folder.write("ids.safetensors", &{
        let view = TensorView::new(Dtype::I64, vec![2], &[0; 16]).unwrap();
        safetensors::serialize([("ids", view)], None).unwrap()
    });
    fs::create_dir(folder.path("folder.safetensors")).unwrap();
    for (args, text) in [
        (
            &["model.safetensors", "--tensor", "no"][..],
            "model.safetensors: no tensor named \"no\"",
        ),
        (
            &["model.safetensors", "--tensor", "ids"],
            "model.safetensors: tensor \"ids\" is I64, needed F16, BF16, F32 or F64",
        ),
        (
            &["ids.safetensors"],
            "ids.safetensors: no tensor of F16, BF16, F32 or F64",
        ),
        (
            &["short.safetensors"],
            "short.safetensors: not a .safetensors file: invalid header length",
        ),
        (
            &["folder.safetensors"],
            "folder.safetensors: needed a .safetensors file, found a folder",
        ),
    ] {
        let said = folder.error(&[&["run"], args, &["-o", "y.safetensors"]].concat());
        assert_eq!(said, text);
    }
    let output = folder.elu(&["run", "x.npy", "--tensor", "a"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--tensor names a tensor of a .safetensors file, and INPUT is none"));
}

#[test]
fn standard_input_and_output() {
    let folder = Folder::new();
    let input = npy(
        1,
        &header("<f4", false, "(3,)"),
        bytemuck::cast_slice(&[-1.0f32, 0.0, 2.0]),
    );
    let output = folder.elu_with_input(&["run", "-", "--device", "cpu"], &input);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.ends_with(" -> standard output\n"), "{said}");
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
fn alpha() {
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
            format!("--alpha {alpha:?}: needed a number, such as 1 or 0.5")
        );
    }
    let data = f64::NEG_INFINITY.to_le_bytes();
    folder.write("x8.npy", &npy(1, &header("<f8", false, "(1,)"), &data));
    folder.success(&["run", "x8.npy", "--alpha", "1e300"]);
    let written = fs::read(folder.path("x8.elu.npy")).unwrap();
    assert_eq!(written[written.len() - 8..], (-1e300f64).to_le_bytes());
    assert_eq!(
        error("x.npy", "-1e39"),
        "--alpha \"-1e39\": for float32, needed a float32 number, at most 3.4028235e38"
    );
    folder.write("model.safetensors", &model());
    let args = ["run", "model.safetensors", "--alpha", "1e39"];
    assert_eq!(
        folder.usage_error(&[&args[..], &["--tensor", "brain"]].concat()),
        "model.safetensors: tensor \"brain\": --alpha \"1e39\": for bfloat16, needed a float32 number, at most 3.4028235e38"
    );
    folder.success(&[&args[..], &["--tensor", "double"]].concat());
}

#[test]
fn bad_input() {
    let folder = Folder::new();
    let good = header("<f4", false, "(3,)");
    let data: &[u8] = &[0; 12];
    let cut = npy(1, &good, &[]);
    let mut future = npy(1, &good, data);
    future[6] = 9;
    let structured =
        "{'descr': [('a', '<f4'), ('b', '<i4')], 'fortran_order': False, 'shape': (3,), }";
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (
            b"x,y\n1,2\n".to_vec(),
            "not a .npy file: it does not start with \\x93NUMPY",
        ),
        (vec![], "not a .npy file: it does not start with \\x93NUMPY"),
        (b"\x93NUMPY".to_vec(), "truncated .npy header"),
        (cut[..40].to_vec(), "truncated .npy header"),
        (future, ".npy version 9.0, needed 1.0, 2.0 or 3.0"),
        (
            npy(1, &good, &data[..11]),
            "shape [3] of float32 needs 12 bytes of data, found 11",
        ),
        (
            npy(1, &good, &[0; 13]),
            "shape [3] of float32 needs 12 bytes of data, found 13",
        ),
        (
            npy(1, &header("<i8", false, "(3,)"), &[0; 24]),
            "dtype int64 ('<i8') is not supported, needed float16, float32 or float64 ('<f2', '<f4', '<f8' or with '>')",
        ),
        (
            npy(1, &header("|O", false, "(3,)"), data),
            "dtype object ('|O') is not supported, needed float16, float32 or float64 ('<f2', '<f4', '<f8' or with '>')",
        ),
        (
            npy(1, &header("<U7", false, "(3,)"), data),
            "dtype '<U7' is not supported, needed float16, float32 or float64 ('<f2', '<f4', '<f8' or with '>')",
        ),
        (
            npy(1, structured, data),
            "structured dtype [('a', '<f4'), ('b', '<i4')] is not supported, needed float16, float32 or float64 ('<f2', '<f4', '<f8' or with '>')",
        ),
        (
            npy(1, &header("<f4", false, "(4611686018427387904, 8)"), data),
            "shape [4611686018427387904, 8] has more elements than this machine can address",
        ),
        (
            npy(1, &header("<f4", false, "(1000000000, 1000000000)"), data),
            "shape [1000000000, 1000000000] of float32 needs 4000000000000000000 bytes of data, found 12",
        ),
        (
            npy(1, &header("<f4", false, "(-1,)"), data),
            "bad .npy header: illegal value for key shape: (-1,)",
        ),
        (
            npy(1, "{'descr': '<f4'}", data),
            "bad .npy header: missing key: fortran_order",
        ),
        (
            npy(1, &header("a\\nb\\x1b[31m", false, "(3,)"), data),
            "dtype 'a\\nb\\u{1b}[31m' is not supported, needed float16, float32 or float64 ('<f2', '<f4', '<f8' or with '>')",
        ),
        // Parsed, it would take as good as forever.
        (
            npy(1, &("[".repeat(100) + &"]".repeat(100)), data),
            "bad .npy header: too many brackets; structured dtypes are not supported",
        ),
        (
            npy(
                1,
                &header("<f4", false, &format!("({})", "1,".repeat(4000))),
                &[0; 4],
            ),
            "shape of 4000 dimensions, needed at most 64",
        ),
        (
            npy(2, &"(".repeat(20_000), data),
            "header of 20020 bytes, needed at most 10000",
        ),
    ];
    for (bytes, expected) in cases {
        folder.write("x.npy", &bytes);
        assert_eq!(
            folder.error(&["run", "x.npy"]),
            format!("x.npy: {expected}")
        );
    }
    // Whatever the parser says of these, it says it in a line.
    for text in [
        "",
        "{",
        "42",
        &"(".repeat(9_000),
        &"[".repeat(9_000),
        "{'descr': '<f4',\n\n'oops'",
    ] {
        folder.write("x.npy", &npy(1, text, data));
        assert!(
            folder
                .error(&["run", "x.npy"])
                .starts_with("x.npy: bad .npy header: ")
        );
    }
    let missing = folder.error(&["run", "missing.npy"]);
    assert!(
        missing.starts_with("missing.npy: ") && missing.ends_with("(os error 2)"),
        "{missing}"
    );
    assert_eq!(
        folder.error(&["run", ".", "-o", "y.npy"]),
        ".: needed a .npy file, found a folder"
    );
}

#[test]
fn outputs_that_cannot_be_written() {
    let folder = Folder::new();
    folder.write("x.npy", &npy(1, &header("<f4", false, "(3,)"), &[0; 12]));
    folder.write("y.npy", b"precious");
    assert_eq!(
        folder.error(&["run", "x.npy", "-o", "y.npy"]),
        "y.npy: exists already, give --force to replace it"
    );
    assert_eq!(fs::read(folder.path("y.npy")).unwrap(), b"precious");
    // A failure leaves it, even with --force.
    folder.write("bad.npy", b"bad");
    folder.error(&["run", "bad.npy", "-o", "y.npy", "--force"]);
    assert_eq!(fs::read(folder.path("y.npy")).unwrap(), b"precious");
    folder.success(&["run", "x.npy", "-o", "y.npy", "--force"]);
    assert_eq!(read(&folder.path("y.npy")).1, [0.0; 3]);
    assert_eq!(folder.names(), ["bad.npy", "x.npy", "y.npy"]);
    // In place, file to the same file.
    folder.success(&["run", "x.npy", "-o", "x.npy", "--force"]);

    assert_eq!(
        folder.error(&["run", "x.npy", "-o", "no/y.npy"]),
        "no/y.npy: there is no folder no"
    );
    assert_eq!(
        folder.error(&["run", "x.npy", "-o", "."]),
        ".: needed a file to write, found a folder"
    );
    folder.write("model.safetensors", &model());
    assert_eq!(
        folder.usage_error(&["run", "x.npy", "-o", "z.SafeTensors"]),
        "z.SafeTensors: the result is a .npy file, as INPUT is: give it another name"
    );
    assert_eq!(
        folder.usage_error(&["run", "model.safetensors", "-o", "z.npy"]),
        "z.npy: the result is a .safetensors file, as INPUT is: give it another name"
    );
    folder.success(&["run", "x.npy", "-o", "z.bin"]);
}

#[cfg(target_os = "linux")]
#[test]
fn outputs_on_linux() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    folder.write("x.npy", &npy(1, &header("<f4", false, "(3,)"), &[0; 12]));
    assert_eq!(
        folder.error(&["run", "x.npy", "-o", "/dev/full"]),
        "/dev/full: No space left on device (os error 28)"
    );
    for args in [
        &["info"][..],
        &["check", "--dtype", "f16", "--json", "found.json"],
        &["check", "--dtype", "f16", "--json", "-"],
        &["bench", "--max", "2^10", "--device", "cpu"],
    ] {
        let output = Command::new(ELU)
            .args(args)
            .current_dir(folder.0.path())
            .env("XDG_RUNTIME_DIR", folder.0.path())
            .stdout(File::options().write(true).open("/dev/full").unwrap())
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            "elu: standard output: No space left on device (os error 28)\n"
        );
        assert_eq!(output.status.code(), Some(1), "{args:?}");
    }
    // The table is lost, and nothing else.
    let json = fs::read(folder.path("found.json")).unwrap();
    serde_json::from_slice::<serde_json::Value>(&json).unwrap();
    fs::remove_file(folder.path("found.json")).unwrap();
    // /proc can be written to by no one, root included.
    assert_eq!(
        folder.error(&["run", "x.npy", "-o", "/proc/y.npy"]),
        "/proc/y.npy: cannot write to folder /proc: entity not found"
    );
    folder.success(&["run", "x.npy", "-o", "/dev/null"]);
    assert!(
        !fs::metadata("/dev/null").unwrap().is_file(),
        "a device must not be replaced by a file"
    );

    // In the middle of writing: nothing is left, and what was there stays.
    folder.write("full.npy", b"precious");
    let digits = format!("{DIGITS}/digits_preact_f32.npy");
    let before = folder.names();
    let output = Command::new("sh")
        .args([
            "-c",
            "trap '' 25; ulimit -f 8; exec \"$0\" run \"$1\" -o full.npy --force --device cpu",
            ELU,
            &digits,
        ])
        .current_dir(folder.0.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "elu: full.npy: File too large (os error 27)\n"
    );
    assert_eq!(
        (folder.names(), fs::read(folder.path("full.npy")).unwrap()),
        (before, b"precious".to_vec())
    );

    // As any new file: readable by others, if the umask lets them.
    let plain = fs::metadata(folder.path("x.npy"))
        .unwrap()
        .permissions()
        .mode();
    folder.success(&["run", "x.npy"]);
    assert_eq!(
        fs::metadata(folder.path("x.elu.npy"))
            .unwrap()
            .permissions()
            .mode(),
        plain
    );

    // What is replaced keeps its permissions.
    folder.write("secret.npy", b"old");
    fs::set_permissions(folder.path("secret.npy"), fs::Permissions::from_mode(0o600)).unwrap();
    folder.success(&["run", "x.npy", "-o", "secret.npy", "--force"]);
    assert_eq!(
        fs::metadata(folder.path("secret.npy"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );

    std::os::unix::fs::symlink("nowhere.npy", folder.path("dangling.npy")).unwrap();
    assert_eq!(
        folder.error(&["run", "x.npy", "-o", "dangling.npy", "--force"]),
        "dangling.npy: is a link to a file that does not exist"
    );

    // Through a link, what it points to is replaced.
    folder.write("target.npy", b"old");
    std::os::unix::fs::symlink(folder.path("target.npy"), folder.path("link.npy")).unwrap();
    folder.success(&["run", "x.npy", "-o", "link.npy", "--force"]);
    assert!(
        fs::symlink_metadata(folder.path("link.npy"))
            .unwrap()
            .is_symlink()
    );
    assert_eq!(read(&folder.path("target.npy")).1, [0.0; 3]);
}

#[test]
fn adapters_that_are_not_there() {
    let folder = Folder::new();
    folder.write("x.npy", &npy(1, &header("<f4", false, "(3,)"), &[0; 12]));
    let error = folder.error(&["run", "x.npy", "--adapter", "Voodoo 2"]);
    assert!(
        error.starts_with("--adapter: no adapter named \"Voodoo 2\" among the adapters: "),
        "{error}"
    );
    for gpu in gpus() {
        assert!(error.contains(&gpu.info().name), "{error}");
    }
}

#[test]
fn float64_on_a_gpu_that_has_none() {
    let folder = Folder::new();
    folder.write("x.npy", &npy(1, &header("<f8", false, "(1,)"), &[0; 8]));
    folder.write("model.safetensors", &model());
    for gpu in gpus() {
        let features = gpu.device().features();
        if features.contains(wgpu_elu::Kernel::required_features(DType::F64)) {
            continue;
        }
        let name = wgpu_elu::Device::Gpu(gpu.clone()).to_string();
        let text = format!("{name} has no SHADER_F64, which float64 needs: give --device cpu");
        let error = |args: &[&str]| folder.error(&[args, &["--adapter", &name]].concat());
        assert_eq!(error(&["run", "x.npy"]), text);
        assert_eq!(error(&["check", "--dtype", "float64"]), text);
        assert_eq!(error(&["bench", "--dtype", "float64"]), text);
        assert_eq!(
            error(&["run", "model.safetensors"]),
            format!("model.safetensors: tensor \"double\": {text}")
        );
    }
}

#[test]
fn wrong_command_lines() {
    let folder = Folder::new();
    for args in [
        &["run"][..],
        &["walk"],
        &["run", "x.npy", "--device", "tpu"],
        &["run", "x.npy", "--device", "cpu", "--adapter", "llvmpipe"],
        &["run", "x.npy", "--what"],
    ] {
        let output = folder.elu(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            String::from_utf8(output.stderr)
                .unwrap()
                .starts_with("error: "),
            "{args:?}"
        );
    }
    let version = String::from_utf8(folder.elu(&["--version"]).stdout).unwrap();
    assert_eq!(version, format!("elu {}\n", env!("CARGO_PKG_VERSION")));
    let help = folder.elu(&["run", "--help"]);
    assert!(
        help.status.success()
            && String::from_utf8(help.stdout)
                .unwrap()
                .contains("--adapter <NAME>")
    );
}

#[test]
fn info() {
    let folder = Folder::new();
    let text = String::from_utf8(folder.elu(&["info"]).stdout).unwrap();
    let json: serde_json::Value =
        serde_json::from_slice(&folder.elu(&["info", "--json"]).stdout).unwrap();
    let adapters = json["adapters"].as_array().unwrap();
    for gpu in gpus() {
        assert!(text.contains(&gpu.info().name), "{text}");
        let found = adapters
            .iter()
            .find(|adapter| adapter["name"] == gpu.info().name)
            .unwrap();
        assert!(found["limits"]["max_buffer_size"].as_u64().unwrap() > 0);
    }
    assert_eq!(json["cpu"]["simd"], wgpu_elu::cpu::simd_level());
    let takes = json["auto"]["takes"].as_str().unwrap();
    assert!(
        text.contains(&format!(
            "auto takes: {takes}, since {}",
            json["auto"]["why"].as_str().unwrap()
        )),
        "{text}"
    );
}

#[test]
fn check_judges_every_device() {
    let mut places = vec![vec!["--device", "cpu"]];
    let adapters: Vec<String> = gpus()
        .iter()
        .map(|gpu| wgpu_elu::Device::Gpu(gpu.clone()).to_string())
        .collect();
    places.extend(adapters.iter().map(|name| vec!["--adapter", name.as_str()]));
    for place in &places {
        for args in [
            &["--dtype", "float16"][..],
            &["--dtype", "bfloat16", "--op", "backward", "--alpha", "0.5"],
            &["--dtype", "float16", "--op", "backward-from-output"],
        ] {
            let folder = Folder::new();
            let files = ["--json", "found.json", "--plot", "error.svg"];
            let output = folder.elu(&[&["check"], &place[..], args, &files].concat());
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(0), "{said}");
            let table = String::from_utf8(output.stdout).unwrap();
            assert!(table.ends_with(": kept\n"), "{table}");
            assert!(
                table.lines().all(|line| line.chars().count() <= 80),
                "{table}"
            );
            let found: serde_json::Value =
                serde_json::from_slice(&fs::read(folder.path("found.json")).unwrap()).unwrap();
            assert_eq!(found["contract"]["kept"], true);
            assert_eq!(found["dtype"], args[1]);
            let results = found["results"].as_u64().unwrap();
            // Every number, and for a gradient with several gradients. No output is below -alpha.
            if args.contains(&"--op") {
                assert!(results > 500_000, "{results}");
            } else {
                assert_eq!(results, 65_536);
            }
            let others = &found["other_factors"];
            assert_eq!(others["contract"]["kept"], true);
            assert!(others["factors"].as_u64().unwrap() > 80, "{others}");
            assert!(others["results"].as_u64().unwrap() > 100_000, "{others}");
            assert!(others["worst"]["nearest"]["bits"].is_string(), "{others}");
            let picture = fs::read_to_string(folder.path("error.svg")).unwrap();
            assert!(picture.starts_with("<svg") && picture.contains("largest error, ULP"));
        }
    }
}

#[test]
fn check_refuses() {
    let folder = Folder::new();
    for (args, text) in [
        (
            &["--dtype", "float64", "--exhaustive"][..],
            "--exhaustive: float64 has 2^64 values, which would take centuries; leave it out for a sample",
        ),
        (
            &["--plot", "error.pdf"],
            "--plot error.pdf: needed a name that ends in .svg or .png",
        ),
        (
            &["--alpha", "0", "--op", "backward-from-output"],
            "the gradient from the output needs alpha * scale positive and finite in float32, found 0e0: otherwise the \
             output does not tell the slope; call the backward that takes the input",
        ),
        (
            &["--dtype", "f16", "--alpha", "1e39"],
            "--alpha \"1e39\": for float16, needed a float32 number, at most 3.4028235e38",
        ),
        (
            &["--json", "one.svg", "--plot", "./one.svg"],
            "--json and --plot name the same file, needed two",
        ),
    ] {
        let said = folder.usage_error(&[&["check", "--device", "cpu"], args].concat());
        assert_eq!(said, text);
    }
    folder.write("found.json", b"{}");
    let args = [
        "check",
        "--device",
        "cpu",
        "--dtype",
        "float16",
        "--json",
        "found.json",
    ];
    assert_eq!(
        folder.error(&args),
        "found.json: exists already, give --force to replace it"
    );
    assert!(
        folder
            .elu(&[&args[..], &["--force"]].concat())
            .status
            .success()
    );
}

#[test]
fn check_draws_png_and_prints_json() {
    let folder = Folder::new();
    let args = ["check", "--device", "cpu", "--dtype", "bfloat16"];
    let output = folder.elu(&[&args[..], &["--plot", "error.png", "--json", "-"]].concat());
    assert!(output.status.success());
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["ranges"].as_array().unwrap().len(), 9);
    assert!(
        fs::read(folder.path("error.png"))
            .unwrap()
            .starts_with(b"\x89PNG")
    );
}

/// Runs a benchmark of two sizes, checks its table and its picture, and gives its JSON.
#[track_caller]
fn bench(args: &[&str]) -> (String, serde_json::Value) {
    let folder = Folder::new();
    let files = ["--json", "found.json", "--plot", "speed.svg"];
    let output = folder.elu(&[&["bench", "--max", "2^12"], args, &files].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.as_str()), (Some(0), ""));
    let table = String::from_utf8(output.stdout).unwrap();
    let widest = table.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{table}");
    let picture = fs::read_to_string(folder.path("speed.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("GB/s, bytes read plus written"));
    let found = fs::read(folder.path("found.json")).unwrap();
    (table, serde_json::from_slice(&found).unwrap())
}

/// What must be so of any benchmark: numbers of one and the same time.
#[track_caller]
fn check_benchmark(found: &serde_json::Value, buffers: u64, size: u64, ways: &[&str]) {
    let sizes = found["sizes"].as_array().unwrap();
    let lens: Vec<u64> = sizes
        .iter()
        .map(|row| row["elements"].as_u64().unwrap())
        .collect();
    assert_eq!(lens, [1 << 10, 1 << 12]);
    assert_eq!(found["left_out"], serde_json::json!([]));
    for row in sizes {
        let bytes = row["bytes"].as_u64().unwrap();
        assert_eq!(bytes, buffers * size * row["elements"].as_u64().unwrap());
        let timed = row["ways"].as_object().unwrap();
        assert!(timed.keys().eq(ways), "{timed:?}");
        let median = |way: &str| timed[way]["seconds"]["median"].as_f64().unwrap();
        for (way, stats) in timed {
            let quartile = |which| stats["seconds"][which].as_f64().unwrap();
            let (first, third) = (quartile("first_quartile"), quartile("third_quartile"));
            assert!(
                0.0 < first && first <= median(way) && median(way) <= third,
                "{way}: {stats}"
            );
            assert!(
                (5..=101).contains(&stats["samples"].as_u64().unwrap()),
                "{way}: {stats}"
            );
            let speed = stats["gb_per_s"].as_f64().unwrap();
            assert!(
                (speed * median(way) * 1e9 / bytes as f64 - 1.0).abs() < 1e-9,
                "{way}: {stats}"
            );
            for (copy, share) in stats["share_of"].as_object().unwrap() {
                let exact = median(copy) / median(way);
                assert!(
                    (share.as_f64().unwrap() / exact - 1.0).abs() < 1e-9,
                    "{way}: {stats}"
                );
            }
        }
    }
}

#[test]
fn bench_of_the_cpu_alone() {
    let (table, found) = bench(&["--device", "cpu"]);
    assert!(
        table.starts_with("forward float32, alpha 1\nCPU: "),
        "{table}"
    );
    assert!(table.contains("\nGPU: none, as asked\n"), "{table}");
    check_benchmark(&found, 2, 4, &["cpu", "cpu_copy"]);
    assert_eq!(
        (&found["gpu"], &found["gpu_wins_from"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
    let args = [
        "--device", "cpu", "--dtype", "float64", "--op", "backward", "--alpha", "0.5",
    ];
    let (table, found) = bench(&args);
    assert!(
        table.starts_with("backward float64, alpha 0.5\n"),
        "{table}"
    );
    check_benchmark(&found, 3, 8, &["cpu", "cpu_copy"]);
    assert_eq!(found["alpha"], 0.5);
}

#[test]
fn bench_of_every_adapter() {
    let cases = [
        (&["--dtype", "float32"][..], 2, 4),
        (&["--dtype", "float16", "--op", "backward"], 3, 2),
        (
            &["--dtype", "bfloat16", "--op", "backward-from-output"],
            3,
            2,
        ),
    ];
    for gpu in gpus() {
        let name = wgpu_elu::Device::Gpu(gpu.clone()).to_string();
        let has_timestamps = gpu
            .device()
            .features()
            .contains(wgpu_elu::wgpu::Features::TIMESTAMP_QUERY);
        for (args, buffers, size) in cases {
            let (table, found) = bench(&[args, &["--adapter", &name]].concat());
            assert!(table.contains(&format!("\nGPU: {name}")), "{table}");
            assert!(
                table.contains("\ndata there: GPU ") && table.contains("\nround trip: GPU "),
                "{table}"
            );
            assert_eq!(found["gpu"]["name"], name);
            let timed_by = found["gpu"]["kernel_timed_by"].as_str().unwrap();
            assert!(timed_by == "submit and wait" || has_timestamps);
            let mut ways = vec!["cpu", "cpu_copy"];
            ways.extend((timed_by == "timestamps").then_some("kernel"));
            ways.extend([
                "submit_and_wait",
                "shader_copy",
                "buffer_copy",
                "round_trip",
                "transfers",
            ]);
            check_benchmark(&found, buffers, size, &ways);
        }
    }
}

/// Compared with a software adapter, where there is no hardware.
#[test]
fn bench_finds_a_rival() {
    let (table, found) = bench(&[]);
    if gpus().is_empty() {
        assert!(found["gpu"].is_null(), "{table}");
        return;
    }
    let is_software = found["gpu"]["software"].as_bool().unwrap();
    assert_eq!(
        table.contains(": software, for want of a hardware GPU\n"),
        is_software,
        "{table}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn bench_without_any_adapter() {
    let folder = Folder::new();
    let run = |args: &[&str]| {
        Command::new(ELU)
            .args(["bench", "--max", "1500"])
            .args(args)
            .current_dir(folder.0.path())
            .env("WGPU_BACKEND", "metal")
            .env_remove("WGPU_ADAPTER_NAME")
            .output()
            .unwrap()
    };
    let output = run(&[]);
    assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(
        table.contains("\nGPU: none: no adapter has compute shaders\n"),
        "{table}"
    );
    assert!(
        table.contains("\n1500 ") && !table.contains("round trip"),
        "{table}"
    );
    let output = run(&["--device", "gpu"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "elu: --device gpu: no GPU with compute shaders among the adapters: there are none\n"
    );
}

#[test]
fn a_backend_that_there_is_not() {
    for (backends, code) in [
        ("vulcan", 2),
        ("gl,vulcan", 2),
        ("noop", 2),
        ("Metal, d3d12,", 0),
        ("", 0),
    ] {
        let mut info = Command::new(ELU);
        info.arg("info").env("WGPU_BACKEND", backends);
        let output = info.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let expected = if code == 0 {
            String::new()
        } else {
            format!(
                "elu: WGPU_BACKEND {backends:?}: needed vulkan, metal, dx12 or gl, or several with commas between\n"
            )
        };
        assert_eq!((output.status.code(), said), (Some(code), expected));
    }
}

#[test]
fn bench_draws_png_and_prints_json() {
    let folder = Folder::new();
    let args = [
        "bench", "--device", "cpu", "--max", "1024", "--dtype", "bf16",
    ];
    let output = folder.elu(&[&args[..], &["--plot", "speed.png", "--json", "-"]].concat());
    assert!(output.status.success());
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["dtype"], "bfloat16");
    let picture = fs::read(folder.path("speed.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
    assert_eq!(
        folder.error(&[&args[..], &["--plot", "speed.png"]].concat()),
        "speed.png: exists already, give --force to replace it"
    );
}

#[test]
fn bench_refuses() {
    let folder = Folder::new();
    for (args, text) in [
        (
            &["--plot", "speed.pdf"][..],
            "--plot speed.pdf: needed a name that ends in .svg or .png",
        ),
        (
            &["--json", "one.svg", "--plot", "./one.svg"],
            "--json and --plot name the same file, needed two",
        ),
        (
            &["--alpha", "0", "--op", "backward-from-output"],
            "the gradient from the output needs alpha * scale positive and finite in float32, found 0e0: otherwise the \
             output does not tell the slope; call the backward that takes the input",
        ),
        (
            &["--dtype", "f16", "--alpha", "1e39"],
            "--alpha \"1e39\": for float16, needed a float32 number, at most 3.4028235e38",
        ),
    ] {
        assert_eq!(
            folder.usage_error(&[&["bench", "--device", "cpu"], args].concat()),
            text
        );
    }
    for max in ["0", "1023", "2^31", "3^10", "1e400", "4096.5", "all"] {
        let output = folder.elu(&["bench", "--max", max]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        let error = format!(
            "error: invalid value '{max}' for '--max <N>': needed a number from 2^10 to 2^30, such as 2^20, 1e6 or 4096\n"
        );
        assert!(said.starts_with(&error), "{said}");
    }
}

#[test]
fn shader() {
    let folder = Folder::new();
    let print = |args: &[&str]| {
        let output = folder.elu(&[&["shader"], args].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {error}");
        assert_eq!(error, "", "{args:?}");
        output.stdout
    };
    let wgsl = |dtype, op, x, grad| source(dtype, op, Shared { x, grad }).into_bytes();
    let (x, grad) = (true, true);
    assert_eq!(print(&[]), wgsl(DType::F32, Op::Forward, !x, !grad));
    assert_eq!(
        print(&["--in-place"]),
        wgsl(DType::F32, Op::Forward, x, !grad)
    );
    for (dtype, op) in DType::ALL
        .into_iter()
        .flat_map(|dtype| Op::ALL.map(|op| (dtype, op)))
    {
        let args = ["--dtype", dtype.name(), "--op", op.name()];
        assert_eq!(print(&args), wgsl(dtype, op, !x, !grad));
        let args = [&args[..], &["--in-place"]].concat();
        assert_eq!(print(&args), wgsl(dtype, op, !op.has_grad(), op.has_grad()));
    }
    for (alias, name) in [
        ("f32", "float32"),
        ("f16", "float16"),
        ("bf16", "bfloat16"),
        ("f64", "float64"),
    ] {
        assert_eq!(print(&["--dtype", alias]), print(&["--dtype", name]));
    }

    let glsl = |args: &[&str]| {
        String::from_utf8(print(&[&["--language", "glsl"], args].concat())).unwrap()
    };
    let size = |n: u32| format!("local_size_x = {n},");
    assert!(glsl(&[]).starts_with("#version 450 core\n"));
    assert!(glsl(&[]).contains(&size(256)) && glsl(&["--software"]).contains(&size(64)));
    assert_ne!(glsl(&[]), glsl(&["--entry", "elements"]));
    assert_eq!(glsl(&[]), glsl(&["--entry", "vectors", "-o", "-"]));

    let magic = 0x0723_0203u32.to_le_bytes();
    assert!(print(&["--language", "spirv"]).starts_with(&magic));
    assert_eq!(print(&["--language", "spirv", "-o", "elu.spv"]), b"");
    let written = fs::read(folder.path("elu.spv")).unwrap();
    assert_eq!(written, print(&["--language", "spirv"]));
    assert_eq!(
        folder.error(&["shader", "-o", "elu.spv"]),
        "elu.spv: exists already, give --force to replace it"
    );
    assert_eq!(fs::read(folder.path("elu.spv")).unwrap(), written);
    print(&["-o", "elu.spv", "--force"]);
    assert_eq!(fs::read(folder.path("elu.spv")).unwrap(), print(&[]));

    let has_unit_factors = |args: &[&str]| {
        let glsl = print(&[&["--language", "glsl"], args].concat());
        String::from_utf8(glsl)
            .unwrap()
            .contains("const bool unit_factors = true;")
    };
    assert!(has_unit_factors(&[]) && has_unit_factors(&["--alpha", "1", "--entry", "elements"]));
    assert!(!has_unit_factors(&["--alpha", "2"]));

    for dtype in DType::ALL {
        let args = ["--function", "--dtype", dtype.name()];
        assert_eq!(print(&args), function(dtype).into_bytes());
    }
    let output = folder.elu(&["shader", "--function", "--op", "backward"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.starts_with("error: the argument '--function' cannot be used with '--op <OP>'"),
        "{said}"
    );

    let metal = ["shader", "--dtype", "float64", "--language", "msl"];
    for args in [&metal[..], &[&metal[..], &["-o", "elu.metal"]].concat()] {
        assert_eq!(
            folder.usage_error(args),
            "float64 has no MSL, since Metal has no 64-bit floats: choose another --dtype or --language"
        );
    }
    for language in ["hlsl", "glsl"] {
        assert_eq!(
            folder.usage_error(&["shader", "--dtype", "float64", "--language", language]),
            "float64 has no HLSL and no GLSL, since naga does not write its 64-bit integers in them: choose --language wgsl \
             or spirv, or another --dtype"
        );
    }
    for args in [
        ["shader", "--language", "cuda"],
        ["shader", "--dtype", "float8"],
        ["shader", "--op", "sideways"],
        ["shader", "--entry", "main"],
    ] {
        let output = folder.elu(&args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.contains("[possible values: "), "{args:?}: {error}");
    }
}
