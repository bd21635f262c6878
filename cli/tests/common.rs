//! Helpers: a folder for each test, in which the command runs, and test files in the formats that other programs write.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use conformance::native::varied;
use ndarray_npy::npy::header::Header;
use safetensors::{Dtype, tensor::TensorView};
use tempfile::TempDir;
use wgpu_elu::{
    DType, Elu, Op,
    accuracy::{self, Judge, to_bytes},
};

/// The path of the command.
pub(crate) const ELU: &str = env!("CARGO_BIN_EXE_elu");

/// The folder with PyTorch's results for the activations of a small network.
pub(crate) const DIGITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/digits");

/// A temporary folder for one test, in which the command runs.
pub(crate) struct Folder(pub(crate) TempDir);

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

    /// Returns the names of all files in the folder, including hidden ones.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Runs the command with empty input.
    pub(crate) fn elu(&self, args: &[&str]) -> Output {
        self.elu_with_input(args, &[])
    }

    /// Starts the command with pipes for standard input, output and error.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.start_as(Command::new(ELU), args)
    }

    /// Starts `command`, which runs `elu`, in the folder.
    pub(crate) fn start_as(&self, mut command: Command, args: &[&str]) -> Child {
        command
            .args(args)
            .current_dir(self.0.path())
            .env("XDG_RUNTIME_DIR", self.0.path()) // without it, the command starts itself again: see main.rs
            .env_remove("WGPU_ADAPTER_NAME") // it would change which device `auto` selects
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs the command with `input` on standard input.
    pub(crate) fn elu_with_input(&self, args: &[&str], input: &[u8]) -> Output {
        let mut child = self.start(args);
        // Ignores the error of a closed pipe: the command may fail before it has read all input.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    /// Runs the command, which must fail with exit code 1. Returns its error message.
    #[track_caller]
    pub(crate) fn error(&self, args: &[&str]) -> String {
        self.fails(1, args)
    }

    /// Runs the command, which must fail with exit code 2. Returns its error message.
    #[track_caller]
    pub(crate) fn usage_error(&self, args: &[&str]) -> String {
        self.fails(2, args)
    }

    /// Runs the command, which must fail with this exit code, print one line on standard error, and create no file.
    /// Returns that line without `elu: `.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, args: &[&str]) -> String {
        let before = self.names();
        let output = self.elu(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        assert_eq!(output.stdout, b"", "{args:?}");
        assert_eq!(self.names(), before, "{args:?} created or removed a file");
        let line = error.strip_suffix('\n').unwrap_or(&error);
        assert!(
            !line.contains('\n'),
            "{args:?} printed several lines: {error}"
        );
        line.strip_prefix("elu: ")
            .unwrap_or_else(|| panic!("{args:?}: {error}"))
            .to_owned()
    }

    /// Runs the command, which must succeed and print one line on standard error. Returns that line.
    #[track_caller]
    pub(crate) fn success(&self, args: &[&str]) -> String {
        let output = self.elu(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {error}");
        assert_eq!(
            error.lines().count(),
            1,
            "{args:?} printed several lines: {error}"
        );
        error
    }
}

/// Builds a `.npy` file of this version, as NumPy writes it. `header` is the dictionary without padding.
pub(crate) fn npy(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
    let size_bytes = if version == 1 { 2 } else { 4 };
    let padding = 64 - (8 + size_bytes + header.len() + 1) % 64;
    npy_with_text(version, &format!("{header}{}\n", " ".repeat(padding)), data)
}

/// Builds a `.npy` file of this version. `text` is the whole header, which is encoded as Latin-1 if the version is 1 or
/// 2.
pub(crate) fn npy_with_text(version: u8, text: &str, data: &[u8]) -> Vec<u8> {
    let size_bytes = if version == 1 { 2 } else { 4 };
    let text: Vec<u8> = match version {
        3 => text.into(),
        _ => text.chars().map(|c| u8::try_from(c).unwrap()).collect(),
    };
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    bytes.extend(&u32::try_from(text.len()).unwrap().to_le_bytes()[..size_bytes]);
    bytes.extend(text);
    bytes.extend(data);
    bytes
}

/// Returns the dictionary in the header of a `.npy` file, as NumPy writes it.
pub(crate) fn header(descr: &str, fortran: bool, shape: &str) -> String {
    let fortran = if fortran { "True" } else { "False" };
    format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}")
}

/// Reads a little-endian float32 `.npy` file. Returns its header and its numbers.
pub(crate) fn read(path: &Path) -> (Header, Vec<f32>) {
    let bytes = fs::read(path).unwrap();
    let mut rest = &bytes[..];
    let header = Header::from_reader(&mut rest).unwrap();
    (header, bytemuck::pod_collect_to_vec(rest))
}

/// Builds a `.safetensors` file with metadata and with tensors of every float dtype, of integers, and without elements.
pub(crate) fn model() -> Vec<u8> {
    let floats = |dtype, len| -> Vec<u8> {
        let bits: Vec<u64> = varied(len)
            .iter()
            .map(|&v| accuracy::bits(dtype, v.into()))
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

/// Returns the judge for forward with alpha 1.
pub(crate) fn forward_judge(dtype: DType) -> Judge {
    Judge {
        op: Op::Forward,
        dtype,
        elu: Elu::new(1.0),
    }
}

/// Returns a folder with `x.npy`, three zeros.
pub(crate) fn folder_with_x() -> Folder {
    let folder = Folder::new();
    folder.write("x.npy", &npy(1, &header("<f4", false, "(3,)"), &[0; 12]));
    folder
}

/// Returns the exit code, standard output and standard error.
pub(crate) fn parts(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Runs a line of the shell in the folder. `$ELU` is the command.
pub(crate) fn shell(folder: &Folder, line: &str) -> (Option<i32>, String, String) {
    let mut sh = Command::new("bash");
    let sh = sh.args(["-c", line]).env("ELU", ELU);
    parts(in_folder(sh, folder).output().unwrap())
}

pub(crate) fn in_folder<'a>(command: &'a mut Command, folder: &Folder) -> &'a mut Command {
    command
        .current_dir(folder.0.path())
        .env("XDG_RUNTIME_DIR", folder.0.path())
        .env_remove("WGPU_ADAPTER_NAME")
}

/// Returns whether the file system of the folder has files without a name (`O_TMPFILE`). If not, prints that a part of
/// the test is skipped.
#[cfg(target_os = "linux")]
pub(crate) fn has_unnamed_files(folder: &Folder) -> bool {
    use std::os::unix::fs::OpenOptionsExt;

    let mut options = fs::File::options();
    options
        .write(true)
        .custom_flags(nix::fcntl::OFlag::O_TMPFILE.bits());
    let has = options.open(folder.0.path()).is_ok();
    if !has {
        conformance::native::announce(
            "SKIPPED: files without a name (the temporary folder's file system has none)",
        );
    }
    has
}
