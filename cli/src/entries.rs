//! The arrays and tensors of a file that contains several: which of them are replaced, and which are kept.

use anyhow::{Result, bail, ensure};
use wgpu_elu::DType;

/// A tensor of a `.safetensors` file, or a member of a `.npz` file.
#[derive(Debug)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// The name of the dtype in the file, such as `BF16` or `int64`.
    pub stored: String,
    /// The dtype, or `None` if ELU does not support it.
    pub dtype: Option<DType>,
    /// The dimensions, or none if ELU does not support the dtype.
    pub shape: Vec<usize>,
    /// The size of the data in bytes.
    pub size: u64,
}

impl Entry {
    /// Returns whether there are no elements, or the dtype is unsupported.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of elements, or 0 for an unsupported dtype.
    pub fn len(&self) -> u64 {
        self.dtype
            .map_or(0, |dtype| self.size / dtype.size() as u64)
    }
}

/// The words of a file format for its entries.
pub(crate) struct Words {
    /// The singular, such as `tensor`.
    pub(crate) one: &'static str,
    /// The names of the supported dtypes.
    pub(crate) dtypes: &'static str,
}

/// Returns for each entry its dtype if it is replaced, and `None` if it is kept. Replaces the entries that are named,
/// or all that ELU supports if `names` is empty.
///
/// # Errors
///
/// Returns an error if a name does not exist or names an unsupported dtype, or if nothing is replaced.
pub(crate) fn select(
    entries: &[Entry],
    names: &[String],
    words: &Words,
) -> Result<Vec<Option<DType>>> {
    let Words { one, dtypes } = words;
    for name in names {
        let Some(entry) = entries.iter().find(|entry| entry.name == *name) else {
            let nearest = nearest(entries, name);
            if nearest.is_empty() {
                bail!("no {one} named {name:?}");
            }
            bail!("no {one} named {name:?}; similar names: {nearest}");
        };
        ensure!(
            entry.dtype.is_some(),
            "{one} {name:?} is {}, needed {dtypes}",
            entry.stored
        );
    }
    let is_selected = |entry: &&Entry| names.is_empty() || names.contains(&entry.name);
    let selected: Vec<_> = entries
        .iter()
        .map(|entry| Some(entry).filter(is_selected)?.dtype)
        .collect();
    ensure!(selected.iter().any(Option::is_some), "no {one} of {dtypes}");
    Ok(selected)
}

/// Describes the result, such as `2 tensors of 13 elements (unchanged: ids (I64))`.
pub(crate) fn summary(entries: &[Entry], selected: &[Option<DType>], words: &Words) -> String {
    let (replaced, kept): (Vec<_>, Vec<_>) = entries
        .iter()
        .zip(selected)
        .partition(|(_, dtype)| dtype.is_some());
    let (count, one) = (replaced.len(), words.one);
    let elements: u64 = replaced.iter().map(|(entry, _)| entry.len()).sum();
    let mut text = format!(
        "{} of {}",
        counted(count as u64, one),
        counted(elements, "element")
    );
    if !kept.is_empty() {
        let kept = kept
            .iter()
            .map(|(entry, _)| format!("{} ({})", entry.name, entry.stored));
        text += &format!(" (unchanged: {})", list(kept, one, MAX_LIST));
    }
    text
}

/// Returns a number with its noun, such as `1 tensor` or `2 tensors`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Joins texts with commas. If they are longer than `max` characters, ends with the number of those that are left out,
/// as `and 3 more`; if even the first one is too long, returns only the number with `noun`.
pub(crate) fn list(texts: impl ExactSizeIterator<Item = String>, noun: &str, max: usize) -> String {
    let mut remaining = texts.len();
    let (mut list, mut length) = (String::new(), 0);
    for text in texts {
        length += text.chars().count() + SEPARATOR.len();
        // The last text has no separator.
        if length > max + SEPARATOR.len() {
            break;
        }
        list += if list.is_empty() { "" } else { SEPARATOR };
        list += &text;
        remaining -= 1;
    }
    match (list.is_empty(), remaining) {
        (_, 0) => list,
        (true, count) => counted(count as u64, noun),
        (false, count) => format!("{list} and {count} more"),
    }
}

// ---- Internals ----

/// What separates the texts of a list.
const SEPARATOR: &str = ", ";

/// The largest number of characters of a list of names, so that a summary stays within 200 characters.
const MAX_LIST: usize = 60;

/// The longest name in bytes that [`nearest`] compares and shows.
const MAX_NEAREST: usize = 100;

/// Returns the names that are most like `name`, with quotation marks.
fn nearest(entries: &[Entry], name: &str) -> String {
    let mut names: Vec<_> = entries
        .iter()
        .filter(|entry| entry.name.len() <= MAX_NEAREST)
        .map(|entry| {
            // Adjacent pairs of characters also find a part of a name, such as `weight` in `layer.0.weight`.
            let likeness = strsim::sorensen_dice(&entry.name, name);
            (likeness, &entry.name)
        })
        .filter(|(likeness, _)| *likeness > 0.0)
        .collect();
    names.sort_by(|one, other| other.0.total_cmp(&one.0));
    let names: Vec<_> = names
        .iter()
        .take(3)
        .map(|(_, name)| format!("{name:?}"))
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_ends_with_a_number() {
        let text = |texts: &[&str]| list(texts.iter().map(|&text| text.to_owned()), "tensor", 10);
        assert_eq!(text(&[]), "");
        assert_eq!(text(&["a", "b"]), "a, b");
        let long = "x".repeat(11);
        assert_eq!(text(&["a", "b", &long, "c"]), "a, b and 2 more");
        assert_eq!(text(&[&long, "c"]), "2 tensors");
        assert_eq!(text(&[&long]), "1 tensor");
        assert_eq!(text(&["é".repeat(10).as_str()]), "é".repeat(10));
    }

    #[test]
    fn the_nearest_names_come_first() {
        let entry = |name: &str| Entry {
            name: name.into(),
            stored: "F32".into(),
            dtype: Some(DType::F32),
            shape: vec![],
            size: 4,
        };
        let entries = ["bias", "layer.0.weight", "layer.1.weight", "norm.scale"].map(entry);
        assert_eq!(
            nearest(&entries, "layer.1.weigth"),
            "\"layer.1.weight\", \"layer.0.weight\""
        );
        assert_eq!(
            nearest(&entries, "weight"),
            "\"layer.0.weight\", \"layer.1.weight\""
        );
        assert_eq!(nearest(&[entry(&"x".repeat(MAX_NEAREST + 1))], "xx"), "");
        assert_eq!(nearest(&entries, "quux"), "");
    }
}
