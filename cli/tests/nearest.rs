//! Tests of `--nearest`.

use wgpu_elu::{DType, Elu, Op, Rounding, cpu, shader};

use crate::common::{Folder, header, npy};

/// The SHA-256 of all float16 results with alpha 1, from docs/accuracy.md.
const FLOAT16: &str = "9534e0c40d501b3d6d41b02287ad7a8b46f1365c10b64ec3d9b90a76c2240ba5";

/// Returns what a successful command prints on standard output.
fn printed(folder: &Folder, args: &[&str]) -> String {
    let output = folder.elu(args);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), &*error), (Some(0), ""), "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn run_writes_the_nearest_numbers() {
    let x: Vec<f32> = (0..1000).map(|i| i as f32 * -0.01).collect();
    let elu = Elu::new(0.5).with_rounding(Rounding::Nearest);
    let mut y = vec![0.0; x.len()];
    cpu::forward(elu, &x, &mut y).unwrap();
    for device in ["cpu", "auto"] {
        let folder = Folder::new();
        folder.write(
            "x.npy",
            &npy(
                1,
                &header("<f4", false, "(1000,)"),
                bytemuck::cast_slice(&x),
            ),
        );
        let summary = folder.success(&[
            "run",
            "x.npy",
            "--nearest",
            "--alpha",
            "0.5",
            "--device",
            device,
        ]);
        assert!(
            summary.contains(", alpha 0.5, rounded to nearest, "),
            "{summary}"
        );
        let written = std::fs::read(folder.path("x.elu.npy")).unwrap();
        assert_eq!(
            written[written.len() - 4000..],
            *bytemuck::cast_slice::<f32, u8>(&y)
        );
    }
}

#[test]
fn check_prints_the_digest_of_all_nearest_results() {
    let folder = Folder::new();
    let args = [
        "check",
        "-d",
        "cpu",
        "--dtype",
        "float16",
        "--nearest",
        "--exhaustive",
        "--json",
        "check.json",
    ];
    let text = printed(&folder, &args);
    assert!(
        text.starts_with("forward float16, alpha 1, rounded to nearest, on CPU"),
        "{text}"
    );
    assert!(
        text.contains("\ncontract: the nearest number: kept\n"),
        "{text}"
    );
    assert!(text.ends_with(&format!("\nSHA-256 {FLOAT16}\n")), "{text}");
    let json = std::fs::read(folder.path("check.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(
        (&json["rounding"], &json["sha256"]),
        (&"nearest".into(), &FLOAT16.into())
    );
}

#[test]
fn shader_prints_the_nearest_shader() {
    let folder = Folder::new();
    let source = shader::source(
        DType::F32,
        Op::Forward,
        Rounding::Nearest,
        shader::Shared::default(),
    );
    assert_eq!(printed(&folder, &["shader", "--nearest"]), source.unwrap());
    let error = folder.usage_error(&["shader", "--nearest", "--dtype", "float64"]);
    assert_eq!(
        error,
        "float64 has no WGSL with --nearest, because only the CPU path rounds it to nearest: choose another --dtype, or omit --nearest"
    );
}
