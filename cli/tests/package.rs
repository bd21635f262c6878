//! Tests that the packages that `cargo package` creates contain every file that they need, build, and pass their
//! doctests.

use std::{fs::OpenOptions, io::Write, path::Path, process::Command};

/// Runs cargo in `folder` with the target folder of this build, in which most dependencies are already compiled.
fn cargo(folder: &Path, args: &[&str]) {
    let target = Path::new(env!("CARGO_BIN_EXE_elu")).ancestors().nth(2);
    let output = Command::new(env!("CARGO"))
        .args(args)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target.unwrap())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {args:?}: {stderr}");
}

#[test]
fn the_packages_stand_by_themselves() {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    cargo(
        &root,
        &["package", "--workspace", "--no-verify", "--allow-dirty"],
    );

    let target = Path::new(env!("CARGO_BIN_EXE_elu"))
        .ancestors()
        .nth(2)
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let unpacked = |name: &str| {
        let file = target.join(format!("package/{name}-{VERSION}.crate"));
        let mut tar = Command::new("tar");
        let done = tar
            .arg("xzmf") // with new times, or cargo would reuse what it built from the repository
            .arg(&file)
            .current_dir(folder.path())
            .status();
        assert!(done.unwrap().success(), "{}", file.display());
        let package = folder.path().join(format!("{name}-{VERSION}"));
        // A workspace of its own: cargo must not look for one in the folders above, which are not ours.
        let mut manifest = OpenOptions::new()
            .append(true)
            .open(package.join("Cargo.toml"))
            .unwrap();
        manifest.write_all(b"\n[workspace]\n").unwrap();
        package
    };
    let command = unpacked("elu-cli");
    let library = unpacked("wgpu-elu");
    for (package, needed) in [
        (&library, "examples/hello.rs"),
        (&library, "docs/keras.md"),
        (&library, "README.md"),
        (&library, "LICENSE-MIT"),
        (&command, "LICENSE-MIT"),
        (&command, "licenses/UFL.txt"),
    ] {
        assert!(package.join(needed).exists(), "{needed}");
    }
    // crates.io does not have this version of the library, so the command is built with the unpacked one.
    let patch = format!("patch.crates-io.wgpu-elu.path='{}'", library.display());
    cargo(&command, &["check", "--bin", "elu", "--config", &patch]);
    // Without optimization, which takes minutes.
    let fast = "profile.dev.package.wgpu-elu.opt-level=0";
    let features = "accuracy,serde,translate";
    cargo(
        &library,
        &["test", "--doc", "--features", features, "--config", fast],
    );
    cargo(&library, &["check", "--lib", "--no-default-features"]);
}
