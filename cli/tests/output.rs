//! Tests of outputs, and of outputs that cannot be written.

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
        "y.npy: already exists: use --force to replace it"
    );
    assert_eq!(fs::read(folder.path("y.npy")).unwrap(), b"precious");
    // A failure leaves the existing file unchanged, even with --force.
    folder.write("bad.npy", b"bad");
    folder.error(&["run", "bad.npy", "-o", "y.npy", "--force"]);
    assert_eq!(fs::read(folder.path("y.npy")).unwrap(), b"precious");
    folder.success(&["run", "x.npy", "-o", "y.npy", "--force"]);
    assert_eq!(read(&folder.path("y.npy")).1, [0.0; 3]);
    assert_eq!(folder.names(), ["bad.npy", "x.npy", "y.npy"]);
    // The input file is also the output file.
    folder.success(&["run", "x.npy", "-o", "x.npy", "--force"]);

    assert_eq!(
        folder.error(&["run", "x.npy", "-o", "no/y.npy"]),
        "no/y.npy: directory no does not exist"
    );
    assert_eq!(
        folder.error(&["run", "x.npy", "-o", "."]),
        ".: needed a file to write, found a directory"
    );
    folder.write("model.safetensors", &model());
    assert_eq!(
        folder.usage_error(&["run", "x.npy", "-o", "z.SafeTensors"]),
        "z.SafeTensors: the result is a .npy file like INPUT: use another extension"
    );
    assert_eq!(
        folder.usage_error(&["run", "model.safetensors", "-o", "z.npy"]),
        "z.npy: the result is a .safetensors file like INPUT: use another extension"
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
    // Only the table is lost.
    let json = fs::read(folder.path("found.json")).unwrap();
    serde_json::from_slice::<serde_json::Value>(&json).unwrap();
    fs::remove_file(folder.path("found.json")).unwrap();
    // Nobody can create files in /proc, not even root.
    assert_eq!(
        folder.error(&["run", "x.npy", "-o", "/proc/y.npy"]),
        "/proc/y.npy: cannot write to directory /proc: entity not found"
    );
    folder.success(&["run", "x.npy", "-o", "/dev/null"]);
    assert!(
        !fs::metadata("/dev/null").unwrap().is_file(),
        "a device must not be replaced by a file"
    );

    // An error while writing leaves no new file, and the existing file unchanged.
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

    // A new file has the usual permissions, as the umask allows.
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

    // A replaced file keeps its permissions.
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

    // If the output is a link, its target is replaced.
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
