//! NumPy's descriptions of dtypes, such as `<f4`.

use anyhow::{Error, Result, bail};
use wgpu_elu::DType;

use super::header::excerpt;

/// Returns the dtype that `descr` describes, and whether its elements are big-endian. `untyped` is bfloat16 if elements
/// of 2 bytes without a type are of this dtype.
///
/// # Errors
///
/// Returns an error if the dtype is not supported, or if it may be bfloat16 but `untyped` does not say so.
pub(super) fn parse(descr: &str, untyped: Option<DType>) -> Result<(DType, bool)> {
    let native = if cfg!(target_endian = "big") {
        '>'
    } else {
        '<'
    };
    let (order, name) = match descr.chars().next() {
        Some(order @ ('<' | '>')) => (order, &descr[1..]),
        Some('=' | '|') => (native, &descr[1..]),
        _ => (native, descr),
    };
    // Only codes may follow a byte order, not names.
    let has_order = name.len() < descr.len();
    let dtype = match name {
        "f2" | "e" => DType::F16,
        "f4" | "f" => DType::F32,
        "f8" | "d" => DType::F64,
        "V2" => DType::BF16,
        "float16" | "half" if !has_order => DType::F16,
        "float32" | "single" if !has_order => DType::F32,
        "float64" | "double" | "float" if !has_order => DType::F64,
        _ => bail!(unsupported(descr)),
    };
    if dtype == DType::BF16 && untyped != Some(dtype) {
        let message = format!(
            "dtype {} has 2 bytes of unknown meaning: if they are a bfloat16, as ml_dtypes writes it, use --dtype bfloat16",
            describe(descr)
        );
        let name = "V2".into();
        return Err(UnsupportedDtype { name, message }.into());
    }
    Ok((dtype, order == '>'))
}

/// Returns the description that NumPy writes, or `ml_dtypes` for bfloat16.
pub(super) fn format(dtype: DType, big_endian: bool) -> String {
    let order = if big_endian { '>' } else { '<' };
    let kind = if dtype == DType::BF16 { 'V' } else { 'f' };
    format!("{order}{kind}{}", dtype.size())
}

/// Builds the error for a dtype that is described by a list or a tuple.
pub(super) fn structured() -> Error {
    let name = "structured".into();
    let message = format!("structured dtypes are not supported, needed {NEEDED}");
    UnsupportedDtype { name, message }.into()
}

/// The error for a dtype that ELU does not support.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct UnsupportedDtype {
    /// A short name, such as `int64`.
    pub name: String,
    message: String,
}

// ---- Internals ----

const NEEDED: &str = "float16, float32 or float64 ('<f2', '<f4', '<f8' or with '>')";

/// Builds the error for a description.
fn unsupported(descr: &str) -> UnsupportedDtype {
    let message = format!(
        "dtype {} is not supported, needed {NEEDED}",
        describe(descr)
    );
    let name = name(descr).map_or_else(|| format!("'{}'", excerpt(descr)), Into::into);
    UnsupportedDtype { name, message }
}

/// Returns NumPy's name for a description, followed by the description, such as `int64 ('<i8')`.
fn describe(descr: &str) -> String {
    match name(descr) {
        Some(name) => format!("{name} ('{descr}')"),
        None => format!("'{}'", excerpt(descr)),
    }
}

/// Returns NumPy's name for a description, if it is one of the usual dtypes.
fn name(descr: &str) -> Option<&'static str> {
    Some(match descr.trim_start_matches(['<', '>', '=', '|']) {
        "f2" => "float16",
        "f4" => "float32",
        "f8" => "float64",
        "f16" => "longdouble",
        "i1" => "int8",
        "i2" => "int16",
        "i4" => "int32",
        "i8" => "int64",
        "u1" => "uint8",
        "u2" => "uint16",
        "u4" => "uint32",
        "u8" => "uint64",
        "b1" => "bool",
        "c8" => "complex64",
        "c16" => "complex128",
        "O" => "object",
        _ => return None,
    })
}
