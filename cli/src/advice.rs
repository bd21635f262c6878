//! Advice in clap's errors about the command line.

use std::{ffi::OsString, path::Path};

use clap::{
    Command,
    error::{ContextKind, ContextValue, ErrorKind},
};

/// Adds advice to an error, or replaces clap's advice if it would not help. `args` is the command line.
pub(crate) fn with_advice(mut error: clap::Error, args: &[OsString], cli: &Command) -> clap::Error {
    match error.kind() {
        ErrorKind::InvalidSubcommand => about_subcommand(&mut error, cli),
        ErrorKind::UnknownArgument
        | ErrorKind::InvalidValue
        | ErrorKind::MissingRequiredArgument => about_hyphen(&mut error, args),
        _ => {}
    }
    error
}

// ---- Internals ----

/// The extensions of the files that `elu run` reads.
const INPUTS: [&str; 3] = ["npy", "npz", "safetensors"];

/// Advises the subcommand that the user probably meant.
fn about_subcommand(error: &mut clap::Error, cli: &Command) {
    let Some(name) = string(error, ContextKind::InvalidSubcommand) else {
        return;
    };
    let path = Path::new(&name);
    let has_extension = path
        .extension()
        .is_some_and(|extension| INPUTS.iter().any(|e| extension.eq_ignore_ascii_case(e)));
    if has_extension || name == "-" || path.is_file() {
        return advise(
            error,
            format!("to apply ELU to a file: elu run {}", quoted(&name)),
        );
    }
    // clap compares by the letters that two words have in common, and finds nothing similar to `rnu`.
    let distance = |candidate: &&str| strsim::osa_distance(candidate, &name.to_lowercase());
    let closest = cli
        .get_subcommands()
        .map(Command::get_name)
        .min_by_key(distance);
    if let Some(closest) =
        closest.filter(|closest| 2 * distance(closest) <= closest.len().max(name.len()))
    {
        let closest = ContextValue::Strings(vec![closest.to_owned()]);
        error.insert(ContextKind::SuggestedSubcommand, closest);
    }
}

/// Advises how to write the name of a file that starts with a hyphen. clap takes `-x.npy` for the short options `-x`,
/// `-.` and so on, and advises `-- -x`, which is another file, and not possible as the value of an option.
fn about_hyphen(error: &mut clap::Error, args: &[OsString]) {
    let unknown = string(error, ContextKind::InvalidArg);
    let has_advice = error.get(ContextKind::Suggested).is_some();
    // Looks for the argument that caused the error:
    // - An unknown long option: clap names the whole argument.
    // - An unknown short option: clap names one letter, and the argument contains it, as `-x.npy` contains `-x`.
    // - Any other error: only an existing file counts, because clap does not name the argument.
    let is_meant = |arg: &&str| {
        let extension = Path::new(arg).extension().and_then(|e| e.to_str());
        let looks_like_file = extension.is_some_and(|e| e.starts_with(char::is_alphabetic));
        let is_file = Path::new(arg).is_file();
        match unknown.as_deref() {
            _ if !arg.starts_with('-') => false,
            Some(long) if long.starts_with("--") => {
                *arg == long && (has_advice || looks_like_file || is_file)
            }
            Some(short) if error.kind() == ErrorKind::UnknownArgument => {
                let is_cluster =
                    !arg.starts_with("--") && arg.contains(short.trim_start_matches('-'));
                is_cluster && (has_advice || looks_like_file || is_file)
            }
            _ => is_file,
        }
    };
    let mut args = args.iter().skip(1).take_while(|arg| *arg != "--");
    let first = args.clone().next().and_then(|arg| arg.to_str());
    let Some(name) = args.find_map(|arg| arg.to_str().filter(is_meant)) else {
        return;
    };
    let path = quoted(&format!("./{name}"));
    let advice = if first == Some(name) {
        format!("to apply ELU to a file: elu run {path}")
    } else {
        format!("a file whose name starts with a hyphen needs ./ before it: {path}")
    };
    advise(error, advice);
}

/// Replaces clap's advice.
fn advise(error: &mut clap::Error, advice: String) {
    let advice = ContextValue::StyledStrs(vec![advice.into()]);
    error.insert(ContextKind::Suggested, advice);
}

fn string(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    }
}

/// Quotes a file name for a shell, if necessary. Returns `FILE` for a name that single quotes cannot quote on one line.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./+@%:,=".contains(c);
    if name.chars().all(is_plain) {
        name.to_owned()
    } else if name.contains(|c: char| c == '\'' || c.is_control()) {
        "FILE".to_owned()
    } else {
        format!("'{name}'")
    }
}
