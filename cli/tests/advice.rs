//! Tests of the advice for wrong command lines.

use std::fs;

use crate::common::{Folder, folder_with_x, parts};

/// Runs the command, which must fail with exit code 2. Returns what it prints on standard error.
#[track_caller]
fn error(folder: &Folder, args: &[&str]) -> String {
    let (code, output, error) = parts(folder.elu(args));
    assert_eq!((code, output.as_str()), (Some(2), ""), "{args:?}: {error}");
    error
}

/// Returns clap's error with this advice.
fn expected(error: &str, tip: &str, usage: &str) -> String {
    let end = "For more information, try '--help'.";
    format!("error: {error}\n\n  tip: {tip}\n\nUsage: {usage}\n\n{end}\n")
}

#[test]
fn a_mistyped_subcommand_gets_a_suggestion() {
    let folder = Folder::new();
    for (typed, meant) in [
        ("rnu", "run"),
        ("RUN", "run"),
        ("chekc", "check"),
        ("benhc", "bench"),
        ("ifno", "info"),
        ("shadr", "shader"),
        ("complete", "completions"),
    ] {
        assert_eq!(
            error(&folder, &[typed]),
            expected(
                &format!("unrecognized subcommand '{typed}'"),
                &format!("a similar subcommand exists: '{meant}'"),
                "elu <COMMAND>"
            )
        );
    }
    assert!(!error(&folder, &["walk"]).contains("tip"));
    assert!(!error(&folder, &[""]).contains("tip"));
}

#[test]
fn a_file_without_a_subcommand_gets_the_command_line() {
    let folder = folder_with_x();
    fs::copy(folder.path("x.npy"), folder.path("rnu")).unwrap();
    for (name, quoted) in [
        ("x.npy", "x.npy"),
        ("missing.NPZ", "missing.NPZ"),
        ("my model.safetensors", "'my model.safetensors'"),
        ("it's.npy", "FILE"),
        ("-", "-"),
        ("rnu", "rnu"), // a file of this name exists
    ] {
        assert_eq!(
            error(&folder, &[name]),
            expected(
                &format!("unrecognized subcommand '{name}'"),
                &format!("to apply ELU to a file: elu run {quoted}"),
                "elu <COMMAND>"
            )
        );
    }
    folder.success(&["run", "x.npy"]);
    assert_eq!(
        error(&folder, &["-x.npy"]),
        expected(
            "unexpected argument '-x' found",
            "to apply ELU to a file: elu run ./-x.npy",
            "elu <COMMAND>"
        )
    );
}

#[test]
fn a_file_whose_name_starts_with_a_hyphen_gets_advice_that_works() {
    let folder = folder_with_x();
    for name in ["-x.npy", "-f.npy", "--x.npy", "-o.npy", "-é.npy"] {
        fs::copy(folder.path("x.npy"), folder.path(name)).unwrap();
    }
    let tip =
        |name: &str| format!("a file whose name starts with a hyphen needs ./ before it: ./{name}");
    let usage = "elu run [OPTIONS] <INPUT>...";
    for (args, unknown, name) in [
        (&["run", "-x.npy"][..], "-x", "-x.npy"),
        (&["run", "-f.npy"], "-.", "-f.npy"),
        (&["run", "--x.npy"], "--x.npy", "--x.npy"),
        (&["run", "-é.npy"], "-é", "-é.npy"),
        (&["run", "x.npy", "-o", "-y.npy"], "-y", "-y.npy"),
        (&["run", "x.npy", "-o", "-y"], "-y", "-y"),
        (&["run", "-fz", "x.npy"], "-z", "-fz"),
    ] {
        let what = format!("unexpected argument '{unknown}' found");
        assert_eq!(error(&folder, args), expected(&what, &tip(name), usage));
    }
    assert_eq!(
        error(&folder, &["check", "--json", "-y.json"]),
        expected(
            "unexpected argument '-y' found",
            &tip("-y.json"),
            "elu check [OPTIONS]"
        )
    );
    // `-o.npy` is a valid option, so that only INPUT is missing.
    assert_eq!(
        error(&folder, &["run", "-o.npy"]),
        expected(
            "the following required arguments were not provided:\n  <INPUT>...",
            &tip("-o.npy"),
            "elu run --output <OUTPUT> <INPUT>..."
        )
    );
    for name in ["./-x.npy", "./-f.npy", "./--x.npy", "./-o.npy", "./-é.npy"] {
        folder.success(&["run", name]);
    }
    folder.success(&["run", "x.npy", "-o", "./-y.npy"]);
    folder.success(&["run", "--force", "--", "-x.npy"]);
    // Other arguments get no advice about files.
    for args in [
        &["run", "x.npy", ""][..],
        &["check", "é.npy"],
        &["run", "x.npy", "--forse"],
        &["run", "x.npy", "--device", "tpu"],
        &["run"],
    ] {
        assert!(!error(&folder, args).contains("./"), "{args:?}");
    }
}

#[test]
fn conflicts_have_the_usage_line_of_the_subcommand() {
    let folder = folder_with_x();
    let adapter = "--adapter names a GPU, but --device cpu uses none: give only one of them";
    for (args, text, usage) in [
        (
            &["run", "x.npy", "--tensor", "a"][..],
            "--tensor needs a .npz or .safetensors file as INPUT",
            "elu run [OPTIONS] <INPUT>...",
        ),
        (
            &["run", "x.npy", "-d", "cpu", "--adapter", "a"],
            adapter,
            "elu run [OPTIONS] <INPUT>...",
        ),
        (
            &["check", "-d", "cpu", "--adapter", "a"],
            adapter,
            "elu check [OPTIONS]",
        ),
        (
            &["bench", "-d", "cpu", "--adapter", "a"],
            adapter,
            "elu bench [OPTIONS]",
        ),
    ] {
        let end = "For more information, try '--help'.";
        assert_eq!(
            error(&folder, args),
            format!("error: {text}\n\nUsage: {usage}\n\n{end}\n")
        );
    }
}

#[test]
fn values_are_accepted_in_any_case() {
    let folder = folder_with_x();
    for device in ["CPU", "Cpu", "cpu"] {
        folder.success(&["run", "x.npy", "--force", "-d", device]);
        folder.success(&["run", "x.npy", "--force", "--device", device]);
    }
    let wgsl = |args: &[&str]| folder.elu(&[&["shader"], args].concat()).stdout;
    let args = ["--dtype", "Float16", "--op", "Backward-From-Output"];
    let expected = wgsl(&["--dtype", "float16", "--op", "backward-from-output"]);
    assert!(!expected.is_empty());
    assert_eq!(wgsl(&args), expected);
    // The identifier in JSON.
    let args = ["--dtype", "f16", "--op", "backward_from_output"];
    assert_eq!(wgsl(&args), expected);
    let glsl = wgsl(&["--language", "glsl", "--entry", "elements"]);
    assert!(!glsl.is_empty());
    assert_eq!(wgsl(&["-l", "GLSL", "--entry", "Elements"]), glsl);
}
