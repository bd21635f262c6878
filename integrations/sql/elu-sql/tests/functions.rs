use crate::support::{message, rows, write};

const TABLE: &str =
    "(SELECT arrow_cast(column1, 'Float32') AS x FROM (VALUES (-1.0), (NULL), (2.0), (-0.5)))";

#[test]
fn every_function() {
    for (call, y) in [
        ("elu(-1.0)", "-0.6321205588285577"),
        ("elu(arrow_cast(-1.0, 'Float32'))", "-0.63212055"),
        ("elu(-1, 0.5)", "-0.31606027941427883"),
        ("elu(NULL)", ""),
        ("elu(-1.0, NULL)", ""),
        ("elu(-1.0, 'NaN'::double)", "NaN"),
        ("selu(1.0)", "1.0507009873554805"),
        ("celu(-1.0, 2)", "-0.7869386805747332"),
        ("celu(-1.0, 1.0 + 1.0)", "-0.7869386805747332"),
        ("elu_backward(-1.0, 2.0)", "0.7357588823428847"),
        ("elu_backward_from_output(-0.5, 3)", "1.5"),
        ("elu(x => -1.0, alpha => 0.5)", "-0.31606027941427883"),
        ("elu([-1.0, NULL, 2.0])", "[-0.6321205588285577, , 2.0]"),
        ("arrow_typeof(elu(arrow_cast(1, 'Float16')))", "Float16"),
        (
            "arrow_typeof(elu(arrow_cast('1', 'Dictionary(Int8, Utf8)')::float))",
            "Float32",
        ),
    ] {
        assert_eq!(rows(&[&format!("SELECT {call}")]), [y], "{call}");
    }
}

#[test]
fn columns() {
    assert_eq!(
        rows(&[&format!("SELECT elu(x, 0.5) AS y FROM {TABLE}")]),
        ["-0.31606027", "", "2.0", "-0.19673467"]
    );
    assert_eq!(
        rows(&[&format!(
            "SELECT elu(x, CASE WHEN x < -0.7 THEN 1 ELSE 2 END) AS y FROM {TABLE}"
        )]),
        ["-0.63212055", "", "2.0", "-0.78693867"]
    );
    assert_eq!(
        rows(&[&format!("SELECT elu_backward(x, elu(x)) AS y FROM {TABLE}")]),
        ["-0.23254415", "", "2.0", "-0.23865122"]
    );
}

#[test]
fn nearest_rounding_is_in_the_plan() {
    let sql = format!("EXPLAIN SELECT elu(x, 0.5), selu(x) FROM {TABLE}");
    let plan = rows(&[&sql, "--rounding", "nearest"]).join("\n");
    assert!(
        plan.contains("elu_nearest(") && plan.contains("selu_nearest("),
        "{plan}"
    );
    let plan = rows(&[&sql]).join("\n");
    assert!(!plan.contains("nearest"), "{plan}");
}

#[test]
fn nearest_rounding_keeps_the_name_of_the_column() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.parquet");
    write(&format!("SELECT * FROM {TABLE}"), &path);
    let columns = |rounding| {
        let sql = format!(
            "DESCRIBE SELECT elu(x), elu(x, 0.5) FROM '{}'",
            path.display()
        );
        rows(&[&sql, "--rounding", rounding])
    };
    assert_eq!(columns("nearest"), columns("faithful"));
}

#[test]
fn nearest_results_of_a_sorted_table_need_no_sort() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.parquet");
    write(
        "SELECT arrow_cast(value, 'Float32') / 7 - 4 AS x FROM generate_series(0, 99) ORDER BY x",
        &path,
    );
    // The order of a file is known if it is in a table with an order.
    let plan = |rounding| {
        let sql = format!(
            "EXPLAIN SELECT elu(x) AS y FROM (SELECT x FROM '{}' ORDER BY x LIMIT 50) ORDER BY y",
            path.display()
        );
        let plan = rows(&[&sql, "--rounding", rounding, "--partitions", "1"]);
        plan.iter().filter(|line| line.contains("SortExec")).count()
    };
    assert_eq!((plan("faithful"), plan("nearest")), (2, 1));
}

#[test]
fn functions_are_documented() {
    let sql = "SELECT routine_name, syntax_example FROM information_schema.routines WHERE routine_name LIKE '%elu%' \
               AND routine_name NOT LIKE '%nearest' ORDER BY 1";
    let found: Vec<_> = rows(&[sql])
        .iter()
        .map(|row| row.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        found,
        [
            "celu | celu(x, alpha)",
            "elu | elu(x [, alpha])",
            "elu_backward | elu_backward(x, grad [, alpha])",
            "elu_backward_from_output | elu_backward_from_output(y, grad [, alpha])",
            "selu | selu(x)",
        ]
    );
}

#[test]
fn errors_say_what_is_needed() {
    for (call, expected) in [
        (
            "elu('a')",
            "elu: x must be numbers, or List, LargeList or FixedSizeList of numbers, found Utf8",
        ),
        ("elu()", "elu(x [, alpha]) takes 1 or 2 arguments, found 0"),
        (
            "celu(1.0, 0)",
            "celu: alpha must be between 2^-64 and 2^64, found 0",
        ),
    ] {
        let message = message(&["query", &format!("SELECT {call}")], 1);
        assert!(message.contains(expected), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}
