//! The names of outputs that the user does not name.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use crate::content::Format;

/// Returns the output in the directory of the input: `x.npy` becomes `x.elu.npy`. A file without a header keeps its
/// extension, so `x.bin` becomes `x.elu.bin`, and `x` becomes `x.elu`.
pub(super) fn beside(input: &Path, format: Format) -> PathBuf {
    let extension = format.extension().map(OsStr::new).or(input.extension());
    let mut marked = OsString::from(MARK);
    if let Some(extension) = extension {
        marked.push(".");
        marked.push(extension);
    }
    input.with_extension(marked)
}

/// Returns the output in another directory. It has the name of the input, with the extension of the format.
pub(super) fn in_directory(directory: &Path, input: &Path, format: Format) -> PathBuf {
    let path = directory.join(input.file_name().unwrap_or_default());
    let found = path.extension().unwrap_or_default();
    match format.extension() {
        Some(needed) if !found.eq_ignore_ascii_case(needed) => path.with_extension(needed),
        _ => path,
    }
}

/// Returns whether [`beside`] may have named this file. `is_raw` is whether inputs have no header, and so may have any
/// extension.
pub(super) fn is_result(path: &Path, is_raw: bool) -> bool {
    let extension = path.extension().unwrap_or_default();
    let stem = Path::new(path.file_stem().unwrap_or_default());
    let is_marked = stem.extension() == Some(OsStr::new(MARK));
    if is_raw {
        is_marked || extension == MARK
    } else {
        is_marked
            && ["npy", "npz", "safetensors"]
                .iter()
                .any(|e| extension == *e)
    }
}

// ---- Internals ----

/// The part of the name that marks a result.
const MARK: &str = "elu";

#[cfg(test)]
mod tests {
    use wgpu_elu::DType;

    use super::*;

    const RAW: Format = Format::Raw(DType::F32);

    #[test]
    fn results_get_a_mark_before_the_extension() {
        for (input, format, output) in [
            ("a/x.npy", Format::Npy, "a/x.elu.npy"),
            ("x.NPY", Format::Npy, "x.elu.npy"),
            ("wrong.npy", Format::Safetensors, "wrong.elu.safetensors"),
            ("blob", Format::Npz, "blob.elu.npz"),
            (".npy", Format::Npy, ".npy.elu.npy"),
            ("x.bin", RAW, "x.elu.bin"),
            ("x.tar.f32", RAW, "x.tar.elu.f32"),
            ("x", RAW, "x.elu"),
            (".x", RAW, ".x.elu"),
            ("x.", RAW, "x.elu."),
        ] {
            let found = beside(Path::new(input), format);
            assert_eq!(found, Path::new(output), "{input}");
            assert!(is_result(&found, format == RAW), "{output}");
            assert!(!is_result(Path::new(input), format == RAW), "{input}");
        }
        for (name, is_raw) in [("x.elu.bin", false), ("x.elu", false), (".elu.npy", true)] {
            assert!(!is_result(Path::new(name), is_raw), "{name}");
        }
    }

    #[test]
    fn another_directory_keeps_the_name() {
        for (input, format, output) in [
            ("a/x.npy", Format::Npy, "out/x.npy"),
            ("x.NPY", Format::Npy, "out/x.NPY"),
            ("wrong.npy", Format::Safetensors, "out/wrong.safetensors"),
            ("blob", Format::Npz, "out/blob.npz"),
            ("x.bin", RAW, "out/x.bin"),
            ("x", RAW, "out/x"),
        ] {
            let found = in_directory(Path::new("out"), Path::new(input), format);
            assert_eq!(found, Path::new(output), "{input}");
        }
    }
}
