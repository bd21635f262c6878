use std::{fs, os::unix::fs::symlink};

use crate::support::{elu_sql, message, rows, write};

fn names(directory: &std::path::Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn parquet_in_and_out() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    write(
        "SELECT value AS id, [value - 2.0, 1.0] AS v FROM generate_series(0, 2)",
        &at("x.parquet"),
    );
    let elu = format!(
        "SELECT id, elu(v) AS y FROM '{}/*.parquet' ORDER BY id",
        directory.path().display()
    );
    fs::create_dir(at("out")).unwrap();
    write(&elu, &at("out/y.parquet"));
    write(&elu, &at("out/parts/"));
    let expected = [
        "0  | [-0.8646647167633873, 1.0]",
        "1  | [-0.6321205588285577, 1.0]",
        "2  | [0.0, 1.0]",
    ];
    for table in ["out/y.parquet", "out/parts/"] {
        let sql = format!("SELECT * FROM '{}' ORDER BY id", at(table).display());
        assert_eq!(rows(&[&sql]), expected);
    }
    assert_eq!(names(&at("out")), ["parts", "y.parquet"]);
}

#[test]
fn a_failed_query_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("y.parquet");
    let sql = "SELECT celu(1.0, value) FROM generate_series(100000, -1, -1)"; // the last rows fail
    let path = path.to_str().unwrap();
    let message = message(&["query", sql, "-o", path], 1);
    assert!(
        message.contains("celu: alpha must be between 2^-64 and 2^64, found 0"),
        "{message}"
    );
    assert_eq!(names(directory.path()), [""; 0]);
}

#[test]
fn rows_beyond_the_limit_are_counted() {
    let args = [
        "query",
        "SELECT * FROM generate_series(1, 100)",
        "--rows",
        "3",
    ];
    let output = elu_sql(args).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.ends_with("... and 97 more rows: --rows N prints more, -o y.parquet writes all\n"),
        "{text}"
    );
}

#[test]
fn root_confines_what_queries_read_and_write() {
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path().canonicalize().unwrap();
    let (root, outside) = (base.join("root"), base.join("outside"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&outside).unwrap();
    write("SELECT 1.0 AS x", &root.join("x.parquet"));
    write("SELECT 2.0 AS x", &outside.join("x.parquet"));
    symlink(outside.join("x.parquet"), root.join("link.parquet")).unwrap();
    symlink(&outside, root.join("links")).unwrap();
    let root_name = root.to_str().unwrap();
    let select = |path: &std::path::Path| format!("SELECT elu(x) FROM '{}'", path.display());

    assert_eq!(
        rows(&[&select(&root.join("x.parquet")), "--root", root_name]),
        ["1.0"]
    );
    for path in [
        outside.join("x.parquet"),
        root.join("../outside/x.parquet"),
        root.join("link.parquet"),
        root.join("links/x.parquet"),
    ] {
        let message = message(&["query", &select(&path), "--root", root_name], 1);
        let reason =
            format!("not found; files outside of {root_name} are not found either (--root)\n");
        assert!(message.ends_with(&reason), "{}: {message}", path.display());
    }
    for target in [outside.join("y.parquet"), root.join("links/y.parquet")] {
        let sql = format!("COPY (SELECT 1.0 AS x) TO '{}'", target.display());
        let message = message(&["query", &sql, "--root", root_name], 1);
        assert!(message.contains("(--root)"), "{message}");
    }
    assert_eq!(names(&outside), ["x.parquet"]);
    let sql = format!("COPY (SELECT 1.0 AS x) TO '{}/y.parquet'", root.display());
    assert_eq!(rows(&[&sql, "--root", root_name]), ["1"]);
    let sql = "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'http://127.0.0.1/x.csv'";
    let message = message(&["query", sql, "--root", root_name], 1);
    assert!(message.contains("(--root)"), "{message}");
}
