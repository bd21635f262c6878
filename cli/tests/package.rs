//! What `cargo package` makes of the published packages: they hold every file that they need, and build from there.

use std::{fs, path::Path, process::Command};

/// Packages the library and the command, as `cargo publish` would, and builds and tests the unpacked library.
#[test]
fn the_packages_build_on_their_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = tempfile::tempdir().unwrap();
    let cargo = |folder: &Path, args: &[&str]| {
        let mut command = Command::new(env!("CARGO"));
        let output = command
            .args(args)
            .current_dir(folder)
            .env("CARGO_TARGET_DIR", target.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "cargo {args:?}: {said}");
        said
    };
    // Those that are published need no other of this workspace.
    let packaged = [
        "package",
        "--workspace",
        "--exclude",
        "conformance",
        "--exclude",
        "benchmarks",
    ];
    cargo(
        &root,
        &[&packaged[..], &["--allow-dirty", "--no-verify"]].concat(),
    );
    let unpack = |name: &str| {
        let file = target.path().join(format!(
            "package/{name}-{}.crate",
            env!("CARGO_PKG_VERSION")
        ));
        let unpacked = Command::new("tar")
            .arg("xzf")
            .arg(&file)
            .current_dir(target.path())
            .status();
        assert!(unpacked.unwrap().success(), "{}", file.display());
        target
            .path()
            .join(format!("{name}-{}", env!("CARGO_PKG_VERSION")))
    };
    let library = unpack("wgpu-elu");
    for needed in [
        "examples/hello.rs",
        "docs/keras.md",
        "shaders/map.wgsl",
        "README.md",
    ] {
        assert!(library.join(needed).exists(), "{needed}");
    }
    let command = unpack("elu-cli");
    let manifest = fs::read_to_string(command.join("Cargo.toml")).unwrap();
    assert!(!manifest.contains("conformance"), "{manifest}");
    // Without any feature: the crates that this needs are few.
    cargo(&library, &["check", "--lib", "--no-default-features"]);
}
