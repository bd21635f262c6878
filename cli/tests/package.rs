//! Tests that the packages that `cargo package` creates contain every file that they need, build, and pass their
//! doctests.

use std::{fs, path::Path, process::Command};

/// Runs cargo in `folder` with the target folder of this build, in which most dependencies are already compiled.
fn cargo(folder: &Path, args: &[&str]) {
    let target = Path::new(env!("CARGO_BIN_EXE_elu")).ancestors().nth(2);
    let output = Command::new(env!("CARGO"))
        .args(args)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target.unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {args:?}: {said}");
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
            .arg("xzf")
            .arg(&file)
            .current_dir(folder.path())
            .status();
        assert!(done.unwrap().success(), "{}", file.display());
        folder.path().join(format!("{name}-{VERSION}"))
    };
    let command = fs::read_to_string(unpacked("elu-cli").join("Cargo.toml")).unwrap();
    assert!(!command.contains("path = \"..\""), "{command}");

    let library = unpacked("wgpu-elu");
    for needed in [
        "examples/hello.rs",
        "docs/keras.md",
        "README.md",
        "LICENSE-MIT",
    ] {
        assert!(library.join(needed).exists(), "{needed}");
    }
    cargo(
        &library,
        &["test", "--doc", "--features", "accuracy,serde,translate"],
    );
    cargo(&library, &["check", "--lib", "--no-default-features"]);
}
