//! The examples, as their readers run them.

use std::process::{Command, Output};

use crate::common::gpus;

fn run(name: &str, args: &[&str]) -> Output {
    // With the features of this build, so that nothing is built again.
    let features = [
        ("cli", cfg!(feature = "cli")),
        ("serde", cfg!(feature = "serde")),
    ];
    let features: Vec<&str> = features.iter().filter(|f| f.1).map(|f| f.0).collect();
    let output = Command::new(env!("CARGO"))
        .args([
            "run",
            "--quiet",
            "--locked",
            "--features",
            &features.join(","),
        ])
        .args(["--example", name, "--"])
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("WGPU_ADAPTER_NAME")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn hello() {
    let said = said(&run("hello", &[]));
    assert!(said.starts_with("on "), "{said}");
    assert!(said.contains("\nELU(-1) = -0.63212"), "{said}");
    assert!(said.ends_with("\nELU(1) = 1\n"), "{said}");
}

#[test]
fn embed() {
    if gpus().is_empty() {
        return; // which has been told
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rings.png");
    run("embed", &[path.to_str().unwrap()]);
    let file = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
    let mut picture = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; picture.output_buffer_size().unwrap()];
    let frame = picture.next_frame(&mut pixels).unwrap();
    assert_eq!((frame.width, frame.height), (256, 256));
    // 1.125 from the middle 3 sin(4 x) is -2.93, of which ELU is -0.95, and 0.5 from it 2.73, which is drawn as 1.
    let pixel =
        |x: usize, y: usize| <[u8; 3]>::try_from(&pixels[4 * (256 * y + x)..][..3]).unwrap();
    assert_eq!(pixel(128 + 16, 128), [199, 79, 0]);
    let [red, green, blue] = pixel(128 + 36, 128);
    assert!(red < 20 && (90..100).contains(&green) && (160..170).contains(&blue));
}

#[test]
fn fuse() {
    if gpus().is_empty() {
        return; // which has been told
    }
    let said = said(&run("fuse", &[]));
    assert!(said.starts_with("256 rows on "), "{said}");
}
