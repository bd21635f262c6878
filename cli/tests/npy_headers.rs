//! Compares the headers of `.npy` files that the command reads with those that NumPy reads.
//!
//! `scripts/npy-headers` wrote `tests/data/npy/headers.json` with NumPy.

use std::collections::{HashMap, HashSet};

use elu_cli::npy;
use serde_json::Value;
use wgpu_elu::DType;

use crate::common::npy_with_text;

/// Returns the headers that NumPy reads as one of our dtypes, but the command does not, with the error.
fn refused_only_by_elu() -> HashMap<String, String> {
    let dtype = |descr: &str, error: &str| {
        let needed = "float16, float32 or float64 ('<f2', '<f4', '<f8' or with '>')";
        (
            header(descr),
            format!("{error} not supported, needed {needed}"),
        )
    };
    let bad = |header: String, error: &str| (header, format!("bad .npy header: {error}"));
    [
        // A dtype in a spelling that no program writes.
        dtype("'f04'", "dtype 'f04' is"),
        dtype("'f+4'", "dtype 'f+4' is"),
        dtype("'<f 4'", "dtype '<f 4' is"),
        dtype("'()f4'", "dtype '()f4' is"),
        dtype("'2V'", "dtype '2V' is"),
        dtype("'<V2,'", "dtype '<V2,' is"),
        // A dtype with a shape of its own, which is empty. Other such shapes would change the array's shape.
        dtype("('<f4',())", "structured dtypes are"),
        // An escape that needs the table of all characters' names.
        bad(
            header("'\\N{LESS-THAN SIGN}f4'"),
            "a string has the escape \\N, which is not supported",
        ),
        // A key that appears twice. NumPy ignores the first value, but the writer may have meant it.
        bad(with_item("'descr': '<f4'"), "key 'descr' appears twice"),
        bad(
            with_item("'fortran_order': False"),
            "key 'fortran_order' appears twice",
        ),
        bad(with_item("'shape': (3,)"), "key 'shape' appears twice"),
        bad(with_item("'shape': (4,)"), "key 'shape' appears twice"),
        bad(
            "{'shape': (4,), 'descr': '<f4', 'fortran_order': False, 'shape': (3,)}".into(),
            "key 'shape' appears twice",
        ),
        bad(
            "{'descr': 1.5, 'descr': '<f4', 'fortran_order': False, 'shape': (3,)}".into(),
            "descr is a number that is not an integer, needed a string such as '<f4'",
        ),
        // Python refuses this indentation. NumPy's filter for Python 2's integers removes it.
        bad(
            format!("\x0c {}", header("'<f4'")),
            "the first line is indented",
        ),
        // NumPy's limit is in characters.
        (
            format!("{}#{}", header("'<f4'"), "é".repeat(5_000)),
            "header of 10058 bytes, needed at most 10000".into(),
        ),
    ]
    .into()
}

/// Returns the versions and the headers that the command reads as one of our dtypes, but NumPy does not.
fn accepted_only_by_elu() -> HashSet<(u8, String)> {
    // Padding after the last line break. Python refuses it. NumPy's filter for Python 2's integers removes it, but only
    // in versions 1 and 2 and after `\n`.
    let mut headers: HashSet<_> = [(2, "\r   "), (3, "\n   "), (3, "\r   ")]
        .map(|(version, end)| (version, header("'<f4'") + end))
        .into();
    // A form feed before an integer of Python 2. The filter turns the form feed into a space.
    let long = header("'<f4'").replace("(3,)", "(3L,)");
    headers.insert((1, format!("#c\n\x0c{long}")));
    headers
}

/// Returns NumPy's header for 3 numbers, with this text as `descr`.
fn header(descr: &str) -> String {
    format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (3,), }}")
}

/// Returns a header with one more item.
fn with_item(item: &str) -> String {
    format!("{{'descr': '<f4', 'fortran_order': False, 'shape': (3,), {item}}}")
}

#[test]
fn headers_are_read_as_numpy_reads_them() {
    let file = include_str!("../../tests/data/npy/headers.json");
    let corpus: Value = serde_json::from_str(file).unwrap();
    let mut refused_only_by_elu = refused_only_by_elu();
    let mut accepted_only_by_elu = accepted_only_by_elu();
    let mut problems = Vec::new();
    for case in corpus["cases"].as_array().unwrap() {
        let header = case["header"].as_str().unwrap();
        let version = u8::try_from(case["version"].as_u64().unwrap()).unwrap();
        let dtype = case["dtype"].as_str();
        let requested = (dtype == Some("|V2")).then_some(DType::BF16);
        let file = npy_with_text(version, header, &[]);
        match (
            npy::read(&*file, None, requested),
            case["written"].as_array(),
        ) {
            (Ok((form, _)), Some(expected)) => {
                let mut written = Vec::new();
                form.write(&mut written).unwrap();
                let [text, len] = [&expected[0], &expected[1]];
                let text = text.as_str().unwrap();
                let width = usize::try_from(len.as_u64().unwrap()).unwrap() - 11;
                let expected = npy_with_text(1, &format!("{text:width$}\n"), &[]);
                if written != expected {
                    problems.push(format!(
                        "{header:?}: wrote {:?}",
                        String::from_utf8_lossy(&written)
                    ));
                }
            }
            (Ok((form, _)), None) => {
                if !accepted_only_by_elu.remove(&(version, header.into())) {
                    let (found, shape) = (form.dtype(), form.shape());
                    problems.push(format!(
                        "{header:?}: {found} {shape:?}, but NumPy: {dtype:?}"
                    ));
                }
            }
            (Err(error), expected) => {
                let error = format!("{error:#}");
                if expected.is_some() && refused_only_by_elu.remove(header).as_ref() != Some(&error)
                {
                    problems.push(format!("{header:?}: {error}, but NumPy: {dtype:?}"));
                }
                if !is_well_worded(&error) {
                    problems.push(format!("{header:?}: {error}"));
                }
            }
        }
    }
    assert!(
        problems.is_empty(),
        "{} of them: {problems:#?}",
        problems.len()
    );
    assert!(refused_only_by_elu.is_empty(), "{refused_only_by_elu:#?}");
    assert!(accepted_only_by_elu.is_empty(), "{accepted_only_by_elu:#?}");
}

/// Returns whether an error is in our own words and short, whatever the header contains.
fn is_well_worded(error: &str) -> bool {
    let starts = [
        "bad .npy header: ",
        "dtype ",
        "header of ",
        "shape ",
        "structured dtypes are not supported, needed ",
    ];
    error.chars().count() <= 200 && starts.iter().any(|start| error.starts_with(start))
}
