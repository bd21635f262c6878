//! Tests of unavailable devices and wrong command lines.

use std::process::Command;

use conformance::native::{announce, gpus};
use wgpu_elu::DType;

use crate::common::{ELU, Folder, header, model, npy};

#[test]
fn an_unknown_adapter_name_is_an_error() {
    let folder = Folder::new();
    folder.write("x.npy", &npy(1, &header("<f4", false, "(3,)"), &[0; 12]));
    let error = folder.error(&["run", "x.npy", "--adapter", "Voodoo 2"]);
    assert!(
        error.starts_with("--adapter: found no adapter named \"Voodoo 2\"; "),
        "{error}"
    );
    for gpu in gpus() {
        assert!(error.contains(&gpu.info().name), "{error}");
    }
}

#[test]
fn float64_on_a_requested_gpu_without_float64_is_an_error() {
    let folder = Folder::new();
    folder.write("x.npy", &npy(1, &header("<f8", false, "(1,)"), &[0; 8]));
    folder.write("model.safetensors", &model());
    let mut tested = false;
    for gpu in gpus() {
        let features = gpu.device().features();
        if features.contains(wgpu_elu::Kernel::required_features(DType::F64)) {
            continue;
        }
        tested = true;
        let name = wgpu_elu::Device::Gpu(gpu.clone()).to_string();
        let text = format!("{name} has no SHADER_F64, which float64 needs: use --device cpu");
        let error = |args: &[&str]| folder.error(&[args, &["--adapter", &name]].concat());
        assert_eq!(error(&["run", "x.npy"]), format!("x.npy: {text}"));
        assert_eq!(error(&["check", "--dtype", "float64"]), text);
        assert_eq!(error(&["bench", "--dtype", "float64"]), text);
        assert_eq!(
            error(&["run", "model.safetensors"]),
            format!("model.safetensors: tensor \"double\": {text}")
        );
    }
    if !tested {
        announce("SKIPPED: float64 on a GPU that does not support it (all do, or there is none)");
    }
}

#[test]
fn unknown_backends_are_usage_errors() {
    for (backends, code) in [
        ("vulcan", 2),
        ("gl,vulcan", 2),
        ("noop", 2),
        ("Metal, d3d12,", 0),
        ("", 0),
    ] {
        let mut info = Command::new(ELU);
        info.arg("info").env("WGPU_BACKEND", backends);
        let output = info.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let expected = if code == 0 {
            String::new()
        } else {
            format!(
                "elu: WGPU_BACKEND {backends:?}: needed vulkan, metal, dx12 or gl, or several separated by commas\n"
            )
        };
        assert_eq!((output.status.code(), stderr), (Some(code), expected));
    }
}

#[test]
fn wrong_command_lines_exit_with_2() {
    let folder = Folder::new();
    for args in [
        &["run"][..],
        &["walk"],
        &["run", "x.npy", "--device", "tpu"],
        &["run", "x.npy", "--device", "cpu", "--adapter", "llvmpipe"],
        &["run", "x.npy", "--what"],
    ] {
        let output = folder.elu(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            String::from_utf8(output.stderr)
                .unwrap()
                .starts_with("error: "),
            "{args:?}"
        );
    }
    let version = String::from_utf8(folder.elu(&["--version"]).stdout).unwrap();
    assert_eq!(version, format!("elu {}\n", env!("CARGO_PKG_VERSION")));
    let help = folder.elu(&["run", "--help"]);
    assert!(
        help.status.success()
            && String::from_utf8(help.stdout)
                .unwrap()
                .contains("--adapter <NAME>")
    );
}
