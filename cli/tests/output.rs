//! Tests of outputs, and of outputs that cannot be written.

use std::fs;
#[cfg(target_os = "linux")]
use std::{
    fs::File,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

#[cfg(target_os = "linux")]
use conformance::native::announce;

#[cfg(target_os = "linux")]
use crate::common::{DIGITS, ELU, has_unnamed_files, header, npy, parts};
use crate::common::{Folder, folder_with_x, model, read};

#[test]
fn an_existing_file_is_replaced_only_with_force() {
    let folder = folder_with_x();
    folder.write("y.npy", b"precious");
    assert_eq!(
        folder.error(&["run", "x.npy", "-o", "y.npy"]),
        "y.npy: already exists: use --force to replace it"
    );
    assert_eq!(fs::read(folder.path("y.npy")).unwrap(), b"precious");
    folder.success(&["run", "x.npy", "-o", "y.npy", "--force"]);
    assert_eq!(read(&folder.path("y.npy")).1, [0.0; 3]);
    assert_eq!(folder.names(), ["x.npy", "y.npy"]);
}

#[test]
fn a_failure_leaves_the_existing_file_unchanged() {
    let folder = Folder::new();
    folder.write("y.npy", b"precious");
    folder.write("bad.npy", b"bad");
    folder.error(&["run", "bad.npy", "-o", "y.npy", "--force"]);
    assert_eq!(fs::read(folder.path("y.npy")).unwrap(), b"precious");
    assert_eq!(folder.names(), ["bad.npy", "y.npy"]);
}

#[test]
fn the_input_may_be_the_output() {
    let folder = folder_with_x();
    folder.success(&["run", "x.npy", "-o", "x.npy", "--force"]);
    assert_eq!(read(&folder.path("x.npy")).1, [0.0; 3]);
}

#[test]
fn a_directory_is_not_an_output() {
    let folder = folder_with_x();
    assert_eq!(
        folder.error(&["run", "x.npy", "-o", "no/y.npy"]),
        "no/y.npy: directory no does not exist"
    );
    assert_eq!(
        folder.error(&["run", "x.npy", "-o", "."]),
        ".: needed a file to write, found a directory"
    );
    for path in ["no/", "no.npy/", "no/.", "no/.."] {
        assert_eq!(
            folder.error(&["run", "x.npy", "-o", path, "--force"]),
            format!("{path}: directory {path} does not exist")
        );
    }
}

#[test]
fn the_output_has_the_format_of_the_input() {
    let folder = folder_with_x();
    folder.write("model.safetensors", &model());
    assert_eq!(
        folder.usage_error(&["run", "x.npy", "-o", "z.SafeTensors"]),
        "z.SafeTensors: the result is a .npy file like INPUT: use the extension .npy"
    );
    assert_eq!(
        folder.usage_error(&["run", "model.safetensors", "-o", "z.npy"]),
        "z.npy: the result is a .safetensors file like INPUT: use the extension .safetensors"
    );
    assert_eq!(
        folder.usage_error(&["run", "x.npy", "-o", "z.csv"]),
        "z.csv: the result is a .npy file like INPUT: use the extension .npy"
    );
    folder.success(&["run", "x.npy", "-o", "z.NPY"]);
    folder.success(&["run", "x.npy", "-o", "z"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_reported() {
    let folder = Folder::new();
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
}

#[cfg(target_os = "linux")]
#[test]
fn device_files_are_written_and_not_replaced() {
    let folder = folder_with_x();
    assert_eq!(
        folder.error(&["run", "x.npy", "-o", "/dev/full"]),
        "/dev/full: No space left on device (os error 28)"
    );
    folder.success(&["run", "x.npy", "-o", "/dev/null"]);
    assert!(
        !fs::metadata("/dev/null").unwrap().is_file(),
        "a device file must not be replaced by a regular file"
    );
}

/// A pipe or a device file may have any name.
#[cfg(target_os = "linux")]
#[test]
fn a_pipe_is_written_whatever_its_name() {
    let folder = folder_with_x();
    let pipe = folder.path("p.fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let reader = thread::spawn(move || fs::read(pipe).unwrap());
    folder.success(&["run", "x.npy", "-o", "p.fifo"]);
    assert_eq!(
        reader.join().unwrap(),
        fs::read(folder.path("x.npy")).unwrap()
    );
    assert_eq!(folder.names(), ["p.fifo", "x.npy"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_directory_that_refuses_files_is_reported() {
    // Nobody can create files in /proc, not even root.
    assert_eq!(
        folder_with_x().error(&["run", "x.npy", "-o", "/proc/y.npy"]),
        "/proc/y.npy: cannot write to directory /proc: No such file or directory (os error 2)"
    );
}

/// An error while writing leaves no new file, and the existing file unchanged.
#[cfg(target_os = "linux")]
#[test]
fn an_error_while_writing_leaves_the_existing_file_unchanged() {
    let folder = Folder::new();
    folder.write("full.npy", b"precious");
    let digits = format!("{DIGITS}/digits_preact_f32.npy");
    // Beyond the limit, the system also sends the signal SIGXFSZ, which would end the process.
    let output = Command::new("bash")
        .args([
            "-c",
            "ulimit -f 8; exec \"$0\" run \"$1\" -o full.npy --force --device cpu",
            ELU,
            &digits,
        ])
        .current_dir(folder.0.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "elu: full.npy: needed a file of more than 8192 bytes, the limit of `ulimit -f`\n"
    );
    assert_eq!(fs::read(folder.path("full.npy")).unwrap(), b"precious");
    assert_eq!(folder.names(), ["full.npy"]);
}

#[cfg(target_os = "linux")]
fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[cfg(target_os = "linux")]
#[test]
fn a_new_file_has_the_usual_permissions() {
    let folder = folder_with_x();
    folder.success(&["run", "x.npy"]);
    assert_eq!(mode(&folder.path("x.elu.npy")), mode(&folder.path("x.npy")));
}

#[cfg(target_os = "linux")]
#[test]
fn a_replaced_file_keeps_its_permissions() {
    let folder = folder_with_x();
    let secret = folder.write("secret.npy", b"old");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    folder.success(&["run", "x.npy", "-o", "secret.npy", "--force"]);
    assert_eq!(mode(&secret), 0o600);
}

#[cfg(target_os = "linux")]
#[test]
fn the_target_of_a_link_is_replaced() {
    use std::os::unix::fs::symlink;

    let folder = folder_with_x();
    symlink("nowhere.npy", folder.path("dangling.npy")).unwrap();
    assert_eq!(
        folder.error(&["run", "x.npy", "-o", "dangling.npy", "--force"]),
        "dangling.npy: is a link to a file that does not exist"
    );
    let target = folder.write("target.npy", b"old");
    let link = folder.path("link.npy");
    symlink(&target, &link).unwrap();
    folder.success(&["run", "x.npy", "-o", "link.npy", "--force"]);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(read(&target).1, [0.0; 3]);
}

#[cfg(target_os = "linux")]
#[test]
fn writers_that_replace_the_same_file_do_not_disturb_each_other() {
    let folder = folder_with_x();
    for _ in 0..20 {
        let _ = fs::remove_file(folder.path("y.npy"));
        let run = || folder.elu(&["run", "x.npy", "-o", "y.npy", "-f", "--device", "cpu"]);
        let outputs = thread::scope(|scope| {
            [scope.spawn(run), scope.spawn(run)].map(|thread| thread.join().unwrap())
        });
        for output in outputs {
            let (code, _, error) = parts(output);
            assert_eq!(code, Some(0), "{error}");
        }
    }
    assert_eq!(folder.names(), ["x.npy", "y.npy"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_replaced_file_keeps_its_owner_but_not_the_set_user_id_bit() {
    let folder = folder_with_x();
    let y = folder.write("y.npy", b"old");
    let is_root = fs::metadata(&y).unwrap().uid() == 0;
    if is_root {
        chown(&y, Some(65534), Some(65534)).unwrap();
    } else {
        announce("SKIPPED: replacing the file of another user (only root may give files away)");
    }
    fs::set_permissions(&y, fs::Permissions::from_mode(0o6751)).unwrap();
    let before = fs::metadata(&y).unwrap();
    folder.success(&["run", "x.npy", "-o", "y.npy", "--force"]);
    let after = fs::metadata(&y).unwrap();
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    assert_eq!(after.mode() & 0o7777, 0o751);
}

#[cfg(target_os = "linux")]
#[test]
fn a_block_device_is_overwritten_only_with_force() {
    let is_block_device = |entry: &fs::DirEntry| {
        let kind = entry.file_type();
        kind.is_ok_and(|kind| kind.is_block_device())
    };
    let device = fs::read_dir("/dev")
        .unwrap()
        .flatten()
        .find(is_block_device);
    let Some(device) = device.map(|entry| entry.path().display().to_string()) else {
        announce("SKIPPED: a block device as the output (/dev has none)");
        return;
    };
    assert_eq!(
        folder_with_x().error(&["run", "x.npy", "-o", &device]),
        format!("{device}: is a block device: use --force to overwrite its data")
    );
}

/// SIGKILL cannot be handled, but on Linux a new file has no name until it is complete.
#[cfg(target_os = "linux")]
#[test]
fn a_killed_process_leaves_no_new_file() {
    let folder = Folder::new();
    if !has_unnamed_files(&folder) {
        return;
    }
    let mut child = folder.start(&["run", "-", "-o", "y.npy", "--device", "cpu"]);
    let mut stdin = child.stdin.take().unwrap();
    let start = npy(1, &header("<f4", false, "(1000,)"), &[0; 400]);
    std::io::Write::write_all(&mut stdin, &start).unwrap();
    let descriptors = format!("/proc/{}/fd", child.id());
    let has_file = || {
        let links = fs::read_dir(&descriptors).unwrap().flatten();
        let mut targets = links.filter_map(|link| fs::read_link(link.path()).ok());
        targets.any(|target| target.starts_with(folder.0.path()))
    };
    while !has_file() {
        assert!(child.try_wait().unwrap().is_none(), "the command has ended");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(folder.names(), [""; 0]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(folder.names(), [""; 0]);
}
