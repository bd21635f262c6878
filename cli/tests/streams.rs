//! Tests of standard output and standard error, of other open descriptors, and of pipes.

use std::fs;

use crate::common::{Folder, folder_with_x, header, npy, shell};

#[test]
fn paths_of_descriptors_are_the_open_descriptors() {
    let folder = folder_with_x();
    let x = fs::read(folder.path("x.npy")).unwrap();
    for (target, link) in [("/dev/stdout", "link"), ("/dev/fd", "folder")] {
        std::os::unix::fs::symlink(target, folder.path(link)).unwrap();
    }
    for (output, redirection) in [
        ("/dev/stdout", ">>"),
        ("/proc/self/fd/1", ">>"),
        ("/proc/self/../self/fd/1", ">>"),
        ("link", ">>"),
        ("folder/1", ">>"),
        ("-", ">>"),
        ("/dev/fd/5", "5>>"),
        ("/proc/self/fd/5", "5>>"),
    ] {
        folder.write("log", b"old\n");
        let line = format!("$ELU run x.npy --force -o {output} {redirection} log");
        let (code, _, error) = shell(&folder, &line);
        assert_eq!(code, Some(0), "{output}: {error}");
        let log = fs::read(folder.path("log")).unwrap();
        assert_eq!(log, [b"old\n", &x[..]].concat(), "{output}");
    }
}

/// The command opens descriptors of its own. They get the lowest free numbers.
#[test]
fn a_descriptor_that_the_caller_did_not_open_is_an_error() {
    let folder = folder_with_x();
    for number in ["3", "4", "5", "6", "99"] {
        let path = format!("/dev/fd/{number}");
        let close = if number == "99" {
            String::new()
        } else {
            format!("{number}>&-")
        };
        assert_eq!(
            shell(&folder, &format!("$ELU run x.npy -o {path} {close}")),
            (
                Some(1),
                String::new(),
                format!("elu: {path}: file descriptor {number} is not open\n")
            )
        );
    }
    // Rust's runtime opens `/dev/null` in the place of a standard stream that is closed.
    let (code, ..) = shell(&folder, "$ELU run x.npy -o /dev/stderr 2>&-");
    assert_eq!(code, Some(1));
}

#[test]
fn a_descriptor_that_is_open_only_for_reading_is_an_error() {
    let folder = folder_with_x();
    for (args, redirection, error) in [
        ("run x.npy -o -", "1<", "standard output"),
        ("info", "1<", "standard output"),
        ("--version", "1<", "standard output"),
        (
            "run x.npy -o /dev/fd/5",
            "5<",
            "/dev/fd/5: file descriptor 5",
        ),
    ] {
        assert_eq!(
            shell(&folder, &format!("$ELU {args} {redirection} /dev/null")),
            (
                Some(1),
                String::new(),
                format!("elu: {error} is open only for reading\n")
            )
        );
    }
}

/// Network file systems report an exceeded quota when a descriptor is closed.
#[test]
fn an_error_of_closing_is_reported() {
    let folder = folder_with_x();
    // Traces only the calls that close a descriptor of /dev/null, which here is a duplicate of standard output.
    let strace = "strace -f -qq -o trace -P /dev/null -e trace=close";
    let line = |more: &str| format!("{strace} {more} $ELU run x.npy --device cpu -o - > /dev/null");
    let (code, _, error) = shell(&folder, &line(""));
    assert_eq!(code, Some(0), "{error}");
    let trace = fs::read_to_string(folder.path("trace")).unwrap();
    let closed = trace.lines().filter(|line| line.contains("close(")).count();
    // The last call closes the duplicate that was written. The call before it closes another duplicate only to see the
    // error, because Rust ignores the error of the last call.
    let last_but_one = closed - 1;
    let fault = format!("-e inject=close:error=EDQUOT:when={last_but_one}");
    assert_eq!(
        shell(&folder, &line(&fault)),
        (
            Some(1),
            String::new(),
            "elu: standard output: Disk quota exceeded (os error 122)\n".into()
        )
    );
}

#[test]
fn a_closed_standard_output_is_an_error() {
    let folder = folder_with_x();
    for args in [
        "run x.npy -o -",
        "run x.npy -o /dev/stdout",
        "shader",
        "info",
        "check --device cpu --dtype float16",
        "--help",
    ] {
        for xdg in ["", "unset XDG_RUNTIME_DIR; "] {
            let (code, _, error) = shell(&folder, &format!("{xdg}$ELU {args} >&-"));
            let error = error.lines().last().unwrap_or_default();
            let path = if args.contains("/dev/stdout") {
                "/dev/stdout: "
            } else {
                ""
            };
            assert_eq!(
                error,
                format!("elu: {path}standard output is closed"),
                "{args}"
            );
            assert_eq!(code, Some(1), "{args}");
        }
    }
    // A file needs no standard output.
    let (code, _, error) = shell(&folder, "$ELU run x.npy -o y.npy >&-");
    assert_eq!(code, Some(0), "{error}");
}

#[test]
fn a_full_or_closed_standard_error_is_no_panic() {
    let folder = folder_with_x();
    for stderr in ["2>/dev/full", "2>&-"] {
        for (args, expected) in [
            ("run x.npy -o - > y.npy", 0),
            ("run no.npy", 1),
            ("run", 2),
            ("run x.npy --alpha two", 2),
        ] {
            let (code, ..) = shell(&folder, &format!("$ELU {args} {stderr}"));
            assert_eq!(code, Some(expected), "{args} {stderr}");
        }
    }
}

/// The reader of a pipe, such as `head`, may stop before it has read everything.
#[test]
fn a_broken_pipe_ends_the_command_quietly() {
    let folder = Folder::new();
    // More than a pipe holds.
    let header = header("<f4", false, &format!("({},)", 1 << 20));
    folder.write("x.npy", &npy(1, &header, &vec![0; 4 << 20]));
    for args in ["run x.npy -o -", "info", "shader", "run --help"] {
        let (code, output, error) = shell(
            &folder,
            &format!("$ELU {args} | head -c 1; exit ${{PIPESTATUS[0]}}"),
        );
        assert_eq!(code, Some(0), "{args}");
        assert_eq!(output.chars().count(), 1, "{args}");
        assert_eq!(error, "", "{args}");
    }
}

#[test]
fn every_report_is_tried_before_the_command_fails() {
    let folder = Folder::new();
    std::os::unix::fs::symlink("/dev/full", folder.path("full.svg")).unwrap();
    let line =
        "$ELU check --device cpu --dtype float16 --json /dev/full --plot full.svg > /dev/full";
    let full = "No space left on device (os error 28)";
    assert_eq!(
        shell(&folder, line),
        (
            Some(1),
            String::new(),
            format!(
                "elu: /dev/full: {full}\nelu: full.svg: {full}\nelu: standard output: {full}\n"
            )
        )
    );
    for command in [
        "bench --device cpu --max 2^10",
        "check --device cpu --dtype float16",
    ] {
        let line = format!("$ELU {command} --json /dev/full --plot plot.svg --force");
        let (code, table, error) = shell(&folder, &line);
        assert_eq!(
            error,
            "elu: /dev/full: No space left on device (os error 28)\n"
        );
        assert_eq!(code, Some(1), "{line}");
        assert!(table.lines().count() > 5, "{table}");
        let plot = fs::read_to_string(folder.path("plot.svg")).unwrap();
        assert!(plot.starts_with("<svg"));
    }
}
