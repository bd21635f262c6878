//! Tests of `elu check`.

use std::fs;

use conformance::native::gpus;

use crate::common::Folder;

#[test]
fn every_device_keeps_the_contract() {
    let mut devices = vec![vec!["--device", "cpu"]];
    let adapters: Vec<String> = gpus()
        .iter()
        .map(|gpu| wgpu_elu::Device::Gpu(gpu.clone()).to_string())
        .collect();
    devices.extend(adapters.iter().map(|name| vec!["--adapter", name.as_str()]));
    for device in &devices {
        for args in [
            &["--dtype", "float16"][..],
            &["--dtype", "bfloat16", "--op", "backward", "--alpha", "0.5"],
            &["--dtype", "float16", "--op", "backward-from-output"],
        ] {
            let folder = Folder::new();
            let files = ["--json", "results.json", "--plot", "error.svg"];
            let output = folder.elu(&[&["check"], &device[..], args, &files].concat());
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(0), "{stderr}");
            let table = String::from_utf8(output.stdout).unwrap();
            assert!(table.ends_with(": kept\n"), "{table}");
            assert!(
                table.lines().all(|line| line.chars().count() <= 80),
                "{table}"
            );
            let json: serde_json::Value =
                serde_json::from_slice(&fs::read(folder.path("results.json")).unwrap()).unwrap();
            assert_eq!(json["contract"]["kept"], true);
            assert_eq!(json["dtype"], args[1]);
            let results = json["results"].as_u64().unwrap();
            // Forward is tested with each of the 65,536 bit patterns once. The gradients are tested with several
            // incoming gradients for each x. backward-from-output omits numbers below -alpha, which no input has as its
            // output.
            if args.contains(&"--op") {
                assert!(results > 500_000, "{results}");
            } else {
                assert_eq!(results, 65_536);
            }
            let others = &json["other_factors"];
            assert_eq!(others["contract"]["kept"], true);
            assert!(others["factors"].as_u64().unwrap() > 80, "{others}");
            assert!(others["results"].as_u64().unwrap() > 100_000, "{others}");
            assert!(others["worst"]["nearest"]["bits"].is_string(), "{others}");
            let picture = fs::read_to_string(folder.path("error.svg")).unwrap();
            assert!(picture.starts_with("<svg") && picture.contains("largest error, ULP"));
        }
    }
}

#[test]
fn check_rejects_wrong_arguments_and_existing_files() {
    let folder = Folder::new();
    for (args, text) in [
        (
            &["--dtype", "float64", "--exhaustive"][..],
            "--exhaustive: float64 has 2^64 values, which would take centuries; omit the option to test a sample",
        ),
        (
            &["--plot", "error.pdf"],
            "--plot error.pdf: needed a name that ends in .svg or .png",
        ),
        (
            &["--alpha", "0", "--op", "backward-from-output"],
            "backward-from-output needs a positive, finite alpha * scale in float32, found 0.0: use backward with the input \
             of ELU",
        ),
        (
            &["--dtype", "f16", "--alpha", "1e39"],
            "--alpha \"1e39\": for float16, needed inf or a float32 number, at most 3.4028235e38 in magnitude",
        ),
        (
            &["--json", "one.svg", "--plot", "./one.svg"],
            "--json and --plot name the same file, needed two files",
        ),
    ] {
        let stderr = folder.usage_error(&[&["check", "--device", "cpu"], args].concat());
        assert_eq!(stderr, text);
    }
    folder.write("results.json", b"{}");
    let args = [
        "check",
        "--device",
        "cpu",
        "--dtype",
        "float16",
        "--json",
        "results.json",
    ];
    assert_eq!(
        folder.error(&args),
        "results.json: already exists: use --force to replace it"
    );
    assert!(
        folder
            .elu(&[&args[..], &["--force"]].concat())
            .status
            .success()
    );
}

#[test]
fn check_draws_a_png_and_prints_json() {
    let folder = Folder::new();
    let args = ["check", "--device", "cpu", "--dtype", "bfloat16"];
    let output = folder.elu(&[&args[..], &["--plot", "error.png", "--json", "-"]].concat());
    assert!(output.status.success());
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["ranges"].as_array().unwrap().len(), 9);
    assert!(
        fs::read(folder.path("error.png"))
            .unwrap()
            .starts_with(b"\x89PNG")
    );
}
