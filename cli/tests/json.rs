//! Tests that docs/cli.md lists exactly the fields of every JSON.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use conformance::native::{announce, gpus};
use serde_json::Value;
use wgpu_elu::device::full_name;

use crate::common::{folder_with_x, in_folder, model};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");

/// The fields that are written only if a size exceeds the memory or a limit of the device. A unit test of the table of
/// `elu bench` checks them.
const ONLY_AFTER_ERRORS: [&str; 3] = [
    "left_out[].elements",
    "left_out[].measurements",
    "left_out[].why",
];

/// A table: the path of each field and its type, which may be the name of another table.
type Tables = BTreeMap<String, Vec<(String, String)>>;

/// Returns the tables of the document's section "JSON", by their headings.
fn tables() -> Tables {
    let text = fs::read_to_string(DOCUMENT).unwrap();
    let (_, section) = text.split_once("\n## JSON\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut tables = Tables::new();
    for part in section.split("\n### ").skip(1) {
        let (heading, lines) = part.split_once('\n').unwrap();
        let rows = lines.lines().filter_map(|line| line.strip_prefix("| `"));
        let rows = rows.map(|row| {
            let (path, rest) = row.split_once("` | ").unwrap();
            let (kind, _) = rest.split_once(" | ").unwrap();
            (path.to_owned(), kind.to_owned())
        });
        tables.insert(heading.replace('`', ""), rows.collect());
    }
    tables
}

/// Returns the paths of the fields that a table lists. Fields of other tables take the place of their name.
fn documented(tables: &Tables, name: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for (path, kinds) in &tables[name] {
        let mut is_plain = true;
        for kind in kinds
            .split(" or ")
            .filter(|kind| tables.contains_key(*kind))
        {
            is_plain = false;
            let fields = documented(tables, kind);
            paths.extend(fields.iter().map(|field| format!("{path}.{field}")));
        }
        if is_plain {
            paths.insert(path.clone());
        }
    }
    paths
}

/// Adds the paths of the values in `json` that are no objects and no lists.
fn add_written(json: &Value, path: &str, paths: &mut BTreeSet<String>) {
    match json {
        Value::Object(fields) => {
            for (name, value) in fields {
                let is_map = path.ends_with("measurements") || path.ends_with("share_of");
                let name = if is_map { "NAME" } else { name };
                let dot = if path.is_empty() { "" } else { "." };
                add_written(value, &format!("{path}{dot}{name}"), paths);
            }
        }
        Value::Array(values) => {
            for value in values {
                add_written(value, &format!("{path}[]"), paths);
            }
        }
        _ => {
            paths.insert(path.to_owned());
        }
    }
}

/// Compares the fields that `runs` of a command write with those that the table lists. Each run has arguments and a
/// value for `WGPU_ADAPTER_NAME`.
#[track_caller]
fn check(table: &str, runs: &[(&[&str], Option<&str>)]) {
    let documented = documented(&tables(), table);
    let mut written = BTreeSet::new();
    let folder = folder_with_x();
    folder.write("model.safetensors", &model());
    folder.write("bad.npy", b"bad");
    for (args, adapter) in runs {
        let mut command = std::process::Command::new(crate::common::ELU);
        let command = in_folder(&mut command, &folder).args(*args);
        let output = command
            .envs(adapter.map(|name| ("WGPU_ADAPTER_NAME", name)))
            .output();
        let output = output.unwrap();
        let code = if args.contains(&"bad.npy") { 1 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["version"], 1, "{args:?}");
        add_written(&json, "", &mut written);
    }
    // An object that does not exist is null.
    written.retain(|path| {
        let fields = format!("{path}.");
        !documented.iter().any(|field| field.starts_with(&fields))
    });
    let missing: Vec<_> = written.difference(&documented).collect();
    assert!(missing.is_empty(), "{table} does not list {missing:?}");
    if gpus().is_empty() {
        announce(&format!(
            "SKIPPED: that every field of {table} in docs/cli.md is written (no adapter used)"
        ));
        return;
    }
    let unwritten: Vec<_> = documented
        .difference(&written)
        .filter(|path| !ONLY_AFTER_ERRORS.contains(&path.as_str()))
        .collect();
    assert!(unwritten.is_empty(), "{table} lists {unwritten:?}");
}

/// Returns the name of an adapter, if there is one.
fn adapter() -> Option<String> {
    gpus().first().map(|gpu| full_name(gpu.info()))
}

#[test]
fn the_fields_of_run_are_documented() {
    let args = [
        "run",
        "x.npy",
        "model.safetensors",
        "bad.npy",
        "--json",
        "-f",
    ];
    let on_cpu = [&args[..], &["--device", "cpu"]].concat();
    let adapter = adapter();
    let mut runs = vec![(&on_cpu[..], None)];
    runs.extend(adapter.as_deref().map(|name| (&args[..], Some(name))));
    check("elu run", &runs);
}

#[test]
fn the_fields_of_check_are_documented() {
    let args = ["check", "--dtype", "float16", "--json", "-"];
    // Only gradients have an incoming gradient.
    let on_cpu = [&args[..], &["--device", "cpu", "--op", "backward"]].concat();
    let adapter = adapter();
    let mut runs = vec![(&on_cpu[..], None)];
    runs.extend(adapter.as_deref().map(|name| (&args[..], Some(name))));
    check("elu check", &runs);
}

#[test]
fn the_fields_of_bench_are_documented() {
    let args = ["bench", "--max", "2^10", "--json", "-"];
    let on_cpu = [&args[..], &["--device", "cpu"]].concat();
    let adapter = adapter();
    let mut runs = vec![(&on_cpu[..], None)];
    runs.extend(adapter.as_deref().map(|name| (&args[..], Some(name))));
    check("elu bench", &runs);
}

#[test]
fn the_fields_of_info_are_documented() {
    let args = ["info", "--json"];
    let adapter = adapter();
    // The last run finds no adapter of this name, and selects nothing.
    let mut runs = vec![(&args[..], None), (&args, Some("Voodoo 2"))];
    runs.extend(adapter.as_deref().map(|name| (&args[..], Some(name))));
    check("elu info", &runs);
}
