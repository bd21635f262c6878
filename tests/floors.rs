//! Checks the floors in CONTRIBUTING.md: every module of the library is on one floor and imports from lower floors
//! only.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Returns the floor of every module that the text lists. Floor 0 is the lowest.
fn floors(text: &str) -> BTreeMap<String, usize> {
    let (_, list) = text
        .split_once("```floors\n")
        .expect("CONTRIBUTING.md has no block `floors`");
    let (list, _) = list.split_once("```").unwrap();
    let lines = list.lines().enumerate();
    let modules = lines.flat_map(|(floor, line)| {
        line.split_whitespace()
            .map(move |name| (name.into(), floor))
    });
    let all: Vec<(String, usize)> = modules.collect();
    let map: BTreeMap<String, usize> = all.iter().cloned().collect();
    assert_eq!(map.len(), all.len(), "a module is listed twice");
    map
}

/// Returns the code of a file without comments and without unit tests, which come last.
fn code(text: &str) -> String {
    let (text, _) = text.split_once("#[cfg(test)]").unwrap_or((text, ""));
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the modules that the code imports with `crate::name` or `use crate::{name, ...}`. If the code imports a name
/// that the crate root exports, returns this name, which is on no floor.
fn imports(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if code[..at].ends_with('$') {
            continue; // a macro names this crate in the code of another crate
        }
        match rest.strip_prefix('{') {
            Some(list) => names.extend(first_level(list)),
            None => names.push(word(rest).to_owned()),
        }
    }
    names
}

/// Returns the identifier that the text starts with.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// Returns the first identifier of every item in a list, up to the closing brace. Items may contain nested lists.
fn first_level(list: &str) -> Vec<String> {
    let (mut depth, mut item, mut items) = (0, String::new(), Vec::new());
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(std::mem::take(&mut item)),
            _ => {}
        }
        if depth == 0 && c != ',' && c != '}' {
            item.push(c);
        }
    }
    items.push(item);
    let words = items.iter().map(|item| word(item.trim()).to_owned());
    words.filter(|word| !word.is_empty()).collect()
}

/// Returns the files in a folder and its subfolders.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    });
    files.collect()
}

#[test]
fn modules_import_from_lower_floors_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let floors = floors(&fs::read_to_string(root.join("CONTRIBUTING.md")).unwrap());
    let source = root.join("src");
    let mut import_counts = BTreeMap::new();
    for path in files(&source) {
        let inner = path.strip_prefix(&source).unwrap().with_extension("");
        let module = inner.iter().next().unwrap().to_str().unwrap().to_owned();
        if module == "lib" || inner.ends_with("tests") {
            continue;
        }
        let floor = *floors
            .get(&module)
            .unwrap_or_else(|| panic!("{module} is on no floor"));
        let imports = imports(&code(&fs::read_to_string(&path).unwrap()));
        *import_counts.entry(module.clone()).or_insert(0) += imports.len();
        for import in imports {
            let import_floor = *floors
                .get(&import)
                .unwrap_or_else(|| panic!("{import} is on no floor"));
            let is_itself = import == module;
            assert!(
                is_itself || import_floor < floor,
                "{} imports {import}, which is not on a lower floor",
                path.display()
            );
        }
    }
    let missing: Vec<_> = floors
        .keys()
        .filter(|name| !import_counts.contains_key(*name))
        .collect();
    assert!(
        missing.is_empty(),
        "the list names modules that do not exist: {missing:?}"
    );
    assert!(
        import_counts.values().sum::<usize>() > 100,
        "too few imports were found: {import_counts:?}"
    );
}

#[test]
fn imports_of_every_form_are_found() {
    let text = "
        use crate::{dtype::{DType, Element}, error::{Error, Result}, op::Op};
        // use crate::layer::Layer;
        fn f() -> crate::tensor::Tensor { $crate::stream!(); }
        #[cfg(test)] mod tests { use crate::accuracy; }";
    assert_eq!(imports(&code(text)), ["dtype", "error", "op", "tensor"]);
    let floors = floors("```floors\ndtype op\nerror\n```");
    assert_eq!((floors["op"], floors["error"]), (0, 1));
}
