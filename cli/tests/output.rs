//! Where results go, and where they cannot.

use std::{
    fs::{self, File},
    process::Command,
};

use crate::common::{DIGITS, ELU, Folder, header, model, npy, read};

#[test]
fn outputs_that_cannot_be_written() {
    let folder = Folder::new();
    folder.write("x.npy", &npy(1, &header("<f4", false, "(3,)"), &[0; 12]));
    folder.write("y.npy", b"precious");
    assert_eq!(
        folder.error(&["run", "x.npy", "-o", "y.npy"]),
        "y.npy: exists already, give --force to replace it"
    );
    assert_eq!(fs::read(folder.path("y.npy")).unwrap(), b"precious");
    // A failure leaves it, even with --force.
    folder.write("bad.npy", b"bad");
    folder.error(&["run", "bad.npy", "-o", "y.npy", "--force"]);
    assert_eq!(fs::read(folder.path("y.npy")).unwrap(), b"precious");
    folder.success(&["run", "x.npy", "-o", "y.npy", "--force"]);
    assert_eq!(read(&folder.path("y.npy")).1, [0.0; 3]);
    assert_eq!(folder.names(), ["bad.npy", "x.npy", "y.npy"]);
    // In place, file to the same file.
    folder.success(&["run", "x.npy", "-o", "x.npy", "--force"]);

    assert_eq!(
        folder.error(&["run", "x.npy", "-o", "no/y.npy"]),
        "no/y.npy: there is no folder no"
    );
    assert_eq!(
        folder.error(&["run", "x.npy", "-o", "."]),
        ".: needed a file to write, found a folder"
    );
    folder.write("model.safetensors", &model());
    assert_eq!(
        folder.usage_error(&["run", "x.npy", "-o", "z.SafeTensors"]),
        "z.SafeTensors: the result is a .npy file, as INPUT is: give it another name"
    );
    assert_eq!(
        folder.usage_error(&["run", "model.safetensors", "-o", "z.npy"]),
        "z.npy: the result is a .safetensors file, as INPUT is: give it another name"
    );
    folder.success(&["run", "x.npy", "-o", "z.bin"]);
}

#[cfg(target_os = "linux")]
#[test]
fn outputs_on_linux() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    folder.write("x.npy", &npy(1, &header("<f4", false, "(3,)"), &[0; 12]));
    assert_eq!(
        folder.error(&["run", "x.npy", "-o", "/dev/full"]),
        "/dev/full: No space left on device (os error 28)"
    );
    for args in [
        &["info"][..],
        &["check", "--dtype", "f16", "--json", "found.json"],
        &["check", "--dtype", "f16", "--json", "-"],
        &["bench", "--max", "2^10", "--device", "cpu"],
    ] {
        let output = Command::new(ELU)
            .args(args)
            .current_dir(folder.0.path())
            .env("XDG_RUNTIME_DIR", folder.0.path())
            .stdout(File::options().write(true).open("/dev/full").unwrap())
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            "elu: standard output: No space left on device (os error 28)\n"
        );
        assert_eq!(output.status.code(), Some(1), "{args:?}");
    }
    // The table is lost, and nothing else.
    let json = fs::read(folder.path("found.json")).unwrap();
    serde_json::from_slice::<serde_json::Value>(&json).unwrap();
    fs::remove_file(folder.path("found.json")).unwrap();
    // /proc can be written to by no one, root included.
    assert_eq!(
        folder.error(&["run", "x.npy", "-o", "/proc/y.npy"]),
        "/proc/y.npy: cannot write to folder /proc: entity not found"
    );
    folder.success(&["run", "x.npy", "-o", "/dev/null"]);
    assert!(
        !fs::metadata("/dev/null").unwrap().is_file(),
        "a device must not be replaced by a file"
    );

    // In the middle of writing: nothing is left, and what was there stays.
    folder.write("full.npy", b"precious");
    let digits = format!("{DIGITS}/digits_preact_f32.npy");
    let before = folder.names();
    let output = Command::new("sh")
        .args([
            "-c",
            "trap '' 25; ulimit -f 8; exec \"$0\" run \"$1\" -o full.npy --force --device cpu",
            ELU,
            &digits,
        ])
        .current_dir(folder.0.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "elu: full.npy: File too large (os error 27)\n"
    );
    assert_eq!(
        (folder.names(), fs::read(folder.path("full.npy")).unwrap()),
        (before, b"precious".to_vec())
    );

    // As any new file: readable by others, if the umask lets them.
    let plain = fs::metadata(folder.path("x.npy"))
        .unwrap()
        .permissions()
        .mode();
    folder.success(&["run", "x.npy"]);
    assert_eq!(
        fs::metadata(folder.path("x.elu.npy"))
            .unwrap()
            .permissions()
            .mode(),
        plain
    );

    // What is replaced keeps its permissions.
    folder.write("secret.npy", b"old");
    fs::set_permissions(folder.path("secret.npy"), fs::Permissions::from_mode(0o600)).unwrap();
    folder.success(&["run", "x.npy", "-o", "secret.npy", "--force"]);
    assert_eq!(
        fs::metadata(folder.path("secret.npy"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );

    std::os::unix::fs::symlink("nowhere.npy", folder.path("dangling.npy")).unwrap();
    assert_eq!(
        folder.error(&["run", "x.npy", "-o", "dangling.npy", "--force"]),
        "dangling.npy: is a link to a file that does not exist"
    );

    // Through a link, what it points to is replaced.
    folder.write("target.npy", b"old");
    std::os::unix::fs::symlink(folder.path("target.npy"), folder.path("link.npy")).unwrap();
    folder.success(&["run", "x.npy", "-o", "link.npy", "--force"]);
    assert!(
        fs::symlink_metadata(folder.path("link.npy"))
            .unwrap()
            .is_symlink()
    );
    assert_eq!(read(&folder.path("target.npy")).1, [0.0; 3]);
}
