//! Tests of `elu completions`.

use std::process::Command;

use conformance::native::announce;

use crate::common::{Folder, parts};

const SUBCOMMANDS: [&str; 6] = ["run", "check", "bench", "info", "shader", "completions"];

#[test]
fn every_shell_gets_every_subcommand_and_option() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish", "BASH"] {
        let (code, script, error) = parts(folder.elu(&["completions", shell]));
        assert_eq!((code, error.as_str()), (Some(0), ""), "{shell}");
        for word in SUBCOMMANDS.into_iter().chain(["adapter", "exhaustive"]) {
            assert!(script.contains(word), "{shell} has no {word}");
        }
    }
    assert_eq!(folder.names(), [""; 0]);
    let (code, _, error) = parts(folder.elu(&["completions", "cmd"]));
    assert_eq!(code, Some(2), "{error}");
    let expected = "error: invalid value 'cmd' for '<SHELL>'\n  \
                    [possible values: bash, elvish, fish, powershell, zsh]\n";
    assert!(error.starts_with(expected), "{error}");
}

/// Lets bash complete a line, as it does after Tab.
#[test]
fn bash_completes_subcommands_and_options() {
    if Command::new("bash").arg("--version").output().is_err() {
        announce("SKIPPED: completions in bash (there is no bash)");
        return;
    }
    let folder = Folder::new();
    let script = folder.elu(&["completions", "bash"]).stdout;
    let script = folder.write("elu.bash", &script);
    let checked = Command::new("bash").arg("-n").arg(&script).output();
    assert_eq!(parts(checked.unwrap()), (Some(0), "".into(), "".into()));
    // bash passes the command, the word that is completed, and the word before it.
    let complete = |words: &[&str]| {
        let last = words.len() - 1;
        let line = "source elu.bash && COMP_WORDS=(\"$@\") && COMP_CWORD=$(($# - 1)) && \
                    _elu elu \"${COMP_WORDS[-1]}\" \"${COMP_WORDS[-2]}\" && echo \"${COMPREPLY[*]}\"";
        let mut bash = Command::new("bash");
        bash.args(["-c", line, "bash"]).args(words);
        let (code, reply, error) = parts(bash.current_dir(folder.0.path()).output().unwrap());
        assert_eq!((code, error.as_str()), (Some(0), ""), "{}", words[last]);
        reply.trim_end().to_owned()
    };
    assert_eq!(complete(&["elu", "ch"]), "check");
    assert_eq!(complete(&["elu", "bench", "--pl"]), "--plot");
    assert_eq!(complete(&["elu", "run", "--device", ""]), "auto cpu gpu");
}
