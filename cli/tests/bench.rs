//! Tests of `elu bench`.

use std::{fs, process::Command};

use conformance::native::{announce, gpus};
use wgpu_elu::device::full_name;

use crate::common::{ELU, Folder};

/// Runs a benchmark of two sizes, and checks its table and its chart. Returns the table and the JSON.
#[track_caller]
fn bench(args: &[&str]) -> (String, serde_json::Value) {
    let folder = Folder::new();
    let files = ["--json", "results.json", "--plot", "speed.svg"];
    let output = folder.elu(&[&["bench", "--max", "2^12"], args, &files].concat());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
    let table = String::from_utf8(output.stdout).unwrap();
    let widest = table.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{table}");
    let picture = fs::read_to_string(folder.path("speed.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("GB/s, bytes read plus written"));
    let json = fs::read(folder.path("results.json")).unwrap();
    (table, serde_json::from_slice(&json).unwrap())
}

/// Checks that the numbers in the JSON are consistent, and that exactly these `measurements` exist. `buffers` is the
/// number of buffers that the operation reads plus the one that it writes, and `size` is the size of an element in
/// bytes.
#[track_caller]
fn check_benchmark(json: &serde_json::Value, buffers: u64, size: u64, measurements: &[&str]) {
    let sizes = json["sizes"].as_array().unwrap();
    let lens: Vec<u64> = sizes
        .iter()
        .map(|row| row["elements"].as_u64().unwrap())
        .collect();
    assert_eq!(lens, [1 << 10, 1 << 12]);
    assert_eq!(json["left_out"], serde_json::json!([]));
    for row in sizes {
        let bytes = row["bytes"].as_u64().unwrap();
        assert_eq!(bytes, buffers * size * row["elements"].as_u64().unwrap());
        let timed = row["measurements"].as_object().unwrap();
        assert!(timed.keys().eq(measurements), "{timed:?}");
        let median = |measurement: &str| timed[measurement]["seconds"]["median"].as_f64().unwrap();
        let number = |field: &str| row[field].as_f64().unwrap();
        let clocks = median("cpu") / number("seconds_per_clock") / number("elements");
        assert!(
            (number("clocks_per_element") / clocks - 1.0).abs() < 1e-9,
            "{row}"
        );
        for (measurement, stats) in timed {
            let quartile = |which| stats["seconds"][which].as_f64().unwrap();
            let (first, third) = (quartile("first_quartile"), quartile("third_quartile"));
            assert!(
                0.0 < first && first <= median(measurement) && median(measurement) <= third,
                "{measurement}: {stats}"
            );
            assert!(
                (5..=101).contains(&stats["samples"].as_u64().unwrap()),
                "{measurement}: {stats}"
            );
            let speed = stats["gb_per_s"].as_f64().unwrap();
            assert!(
                (speed * median(measurement) * 1e9 / bytes as f64 - 1.0).abs() < 1e-9,
                "{measurement}: {stats}"
            );
            for (copy, values) in stats["share_of"].as_object().unwrap() {
                let exact = median(copy) / median(measurement);
                let share = values["share"].as_f64().unwrap();
                assert!((share / exact - 1.0).abs() < 1e-9, "{measurement}: {stats}");
                assert_eq!(values["is_noise"], share > 1.05, "{measurement}: {stats}");
            }
        }
    }
}

#[test]
fn bench_measures_the_cpu_alone() {
    let (table, json) = bench(&["--device", "cpu"]);
    assert!(
        table.starts_with("forward float32, alpha 1\nCPU: "),
        "{table}"
    );
    assert!(table.contains("\nGPU: none, as requested\n"), "{table}");
    check_benchmark(&json, 2, 4, &["cpu", "cpu_copy"]);
    assert_eq!(
        (&json["gpu"], &json["gpu_wins_from"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
    assert_eq!(json["input"], "random");
    let args = [
        "--device", "cpu", "--dtype", "float64", "--op", "backward", "--alpha", "0.5", "--input",
        "ramp",
    ];
    let (table, json) = bench(&args);
    assert_eq!(json["input"], "ramp");
    assert!(
        table.contains("\ninput: multiples of 0.001 from -2.5 to 1.5\n"),
        "{table}"
    );
    assert!(
        table.starts_with("backward float64, alpha 0.5\n"),
        "{table}"
    );
    check_benchmark(&json, 3, 8, &["cpu", "cpu_copy"]);
    assert_eq!(json["alpha"], 0.5);
}

#[test]
fn bench_compares_every_adapter() {
    let cases = [
        (&["--dtype", "float32"][..], 2, 4),
        (&["--dtype", "float16", "--op", "backward"], 3, 2),
        (
            &["--dtype", "bfloat16", "--op", "backward-from-output"],
            3,
            2,
        ),
    ];
    for gpu in gpus() {
        let name = wgpu_elu::Device::Gpu(gpu.clone()).to_string();
        let has_timestamps = gpu
            .device()
            .features()
            .contains(wgpu_elu::wgpu::Features::TIMESTAMP_QUERY);
        for (args, buffers, size) in cases {
            let (table, json) = bench(&[args, &["--adapter", &name]].concat());
            assert!(table.contains(&format!("\nGPU: {name}")), "{table}");
            assert!(
                table.contains("\ndata on the GPU: GPU ") && table.contains("\nround trip: GPU "),
                "{table}"
            );
            assert_eq!(json["gpu"]["text"], full_name(gpu.info()));
            // A driver that offers timestamps may count too coarsely for them to be used.
            let timed_by = json["gpu"]["kernel_timed_by"].as_str();
            assert!(timed_by.is_none() || (timed_by == Some("timestamps") && has_timestamps));
            let mut measurements = vec!["cpu", "cpu_copy"];
            measurements.extend(timed_by.map(|_| "kernel"));
            measurements.extend([
                "submit_and_wait",
                "shader_copy",
                "buffer_copy",
                "round_trip",
                "transfers",
            ]);
            check_benchmark(&json, buffers, size, &measurements);
        }
    }
}

/// If no hardware GPU is found, the CPU is compared with a software adapter.
#[test]
fn bench_falls_back_to_a_software_adapter() {
    if gpus().is_empty() {
        announce("SKIPPED: the adapter that bench falls back to (no adapter used)");
        return;
    }
    let (table, json) = bench(&[]);
    let is_software = json["gpu"]["kind"] == "software_adapter";
    assert_eq!(
        table.contains(": software adapter; no hardware GPU found\n"),
        is_software,
        "{table}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn bench_without_any_adapter() {
    let folder = Folder::new();
    let run = |args: &[&str]| {
        Command::new(ELU)
            .args(["bench", "--max", "1500"])
            .args(args)
            .current_dir(folder.0.path())
            .env("WGPU_BACKEND", "metal") // Linux has no Metal, so wgpu finds no adapter
            .env_remove("WGPU_ADAPTER_NAME")
            .output()
            .unwrap()
    };
    let output = run(&[]);
    assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(
        table.contains("\nGPU: none: wgpu finds no adapter\n"),
        "{table}"
    );
    assert!(
        table.contains("\n1500 ") && !table.contains("round trip"),
        "{table}"
    );
    let output = run(&["--device", "gpu"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "elu: --device gpu: found no GPU with compute shaders; there are no adapters: RUST_LOG=debug prints why\n"
    );
}

#[test]
fn bench_draws_a_png_and_prints_json() {
    let folder = Folder::new();
    let args = [
        "bench", "--device", "cpu", "--max", "1024", "--dtype", "bf16",
    ];
    let output = folder.elu(&[&args[..], &["--plot", "speed.png", "--json", "-"]].concat());
    assert!(output.status.success());
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["dtype"], "bfloat16");
    let picture = fs::read(folder.path("speed.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
    assert_eq!(
        folder.error(&[&args[..], &["--plot", "speed.png"]].concat()),
        "speed.png: already exists: use --force to replace it"
    );
}

#[test]
fn bench_rejects_wrong_arguments() {
    let folder = Folder::new();
    for (args, text) in [
        (
            &["--plot", "speed.pdf"][..],
            "--plot speed.pdf: needed a name that ends in .svg or .png",
        ),
        (
            &["--json", "one.svg", "--plot", "./one.svg"],
            "--json and --plot name the same file, needed two files",
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
    ] {
        assert_eq!(
            folder.usage_error(&[&["bench", "--device", "cpu"], args].concat()),
            text
        );
    }
    for max in ["0", "1023", "2^31", "3^10", "1e400", "4096.5", "all"] {
        let output = folder.elu(&["bench", "--max", max]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        let error = format!(
            "error: invalid value '{max}' for '--max <N>': needed a number from 2^10 to 2^30, such as 2^20, 1e6 or 4096\n"
        );
        assert!(stderr.starts_with(&error), "{stderr}");
    }
}
