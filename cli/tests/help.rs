//! Tests of `-h` and `--help`.

use std::fs;

use crate::common::{Folder, folder_with_x, model, shell};

/// The subcommands; an empty name is the command without a subcommand.
const SUBCOMMANDS: [&str; 7] = ["", "run", "check", "bench", "info", "shader", "completions"];

/// Returns the command's help, for a terminal with 80 columns.
fn help(subcommand: &str, option: &str) -> String {
    let line = format!("COLUMNS=80 $ELU {subcommand} {option}");
    let (code, text, error) = shell(&Folder::new(), &line);
    assert_eq!((code, error.as_str()), (Some(0), ""), "{line}");
    text
}

#[test]
fn the_short_help_fits_a_screen() {
    for subcommand in SUBCOMMANDS {
        let text = help(subcommand, "-h");
        assert!(text.lines().count() <= 24, "{subcommand}: {text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert!(text.contains("(see more with '--help')"), "{text}");
    }
    // Without arguments, the command prints the short help.
    let (code, _, error) = shell(&Folder::new(), "COLUMNS=80 $ELU");
    assert_eq!((code, error), (Some(2), help("", "-h")));
}

/// Runs the examples as they are, each in a folder with the files that they name.
#[test]
fn the_examples_of_the_long_help_work() {
    for subcommand in SUBCOMMANDS {
        let text = help(subcommand, "--help");
        let (_, examples) = text
            .split_once("\nExamples:\n")
            .unwrap_or_else(|| panic!("{subcommand} has no examples"));
        let examples: Vec<&str> = examples
            .lines()
            .take_while(|line| line.starts_with("  "))
            .map(str::trim)
            .collect();
        assert!(examples.len() >= 2, "{subcommand}: {examples:?}");
        for example in examples {
            let folder = folder_with_x();
            if example.contains("./-x.npy") {
                fs::copy(folder.path("x.npy"), folder.path("-x.npy")).unwrap();
            }
            if example.contains("grad.npy") {
                fs::copy(folder.path("x.npy"), folder.path("grad.npy")).unwrap();
            }
            folder.write("model.safetensors", &model());
            folder.write("x.bin", &[0; 12]);
            let layer = br#"{"class_name": "ELU", "config": {"name": "last"}}"#;
            folder.write("model.keras", layer);
            let before = folder.names().len();
            let (code, output, error) =
                shell(&folder, &format!("elu() {{ \"$ELU\" \"$@\"; }}; {example}"));
            assert_eq!(code, Some(0), "{example}: {error}");
            assert!(
                !output.is_empty() || folder.names().len() > before,
                "{example} printed nothing and wrote no file"
            );
        }
    }
}
