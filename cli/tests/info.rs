//! Tests of `elu info`.

use std::process::Command;

use conformance::native::gpus;
use serde_json::Value;
use wgpu_elu::{
    Device,
    device::{Request, full_name},
};

use crate::common::{ELU, Folder};

/// Returns what `elu info` prints as text and as JSON.
fn info(command: impl Fn() -> Command) -> (String, Value) {
    let run = |args: &[&str]| {
        let output = command().args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let json = serde_json::from_slice(&run(&["info", "--json"])).unwrap();
    (String::from_utf8(run(&["info"])).unwrap(), json)
}

/// Returns the name of the device that `auto` selects, as the text of `elu info` contains it.
fn selected(json: &Value) -> String {
    match &json["auto"]["selects"] {
        Value::Null => "nothing, which is an error".into(),
        device if device["kind"] == "cpu" => "CPU".into(),
        adapter => adapter["text"].as_str().unwrap().into(),
    }
}

#[test]
fn info_lists_every_adapter() {
    let (text, json) = info(|| Command::new(ELU));
    let adapters = json["adapters"].as_array().unwrap();
    for gpu in gpus() {
        assert!(text.contains(&gpu.info().name), "{text}");
        let found = adapters
            .iter()
            .find(|adapter| adapter["name"] == gpu.info().name)
            .unwrap();
        assert!(found["limits"]["max_buffer_size"].as_u64().unwrap() > 0);
    }
    assert_eq!(json["cpu"]["simd"], wgpu_elu::cpu::simd_level());
    let (selected, why) = (selected(&json), json["auto"]["why"].as_str().unwrap());
    let line = format!("auto selects: {selected}, because {why}");
    assert!(text.contains(&line), "{text}");
}

/// `elu info` names the device that the library selects for the same `WGPU_ADAPTER_NAME`.
#[test]
fn info_selects_what_the_library_selects() {
    let mut names: Vec<String> = gpus().iter().map(|gpu| full_name(gpu.info())).collect();
    names.extend([
        "GL".into(),
        "Vulkan".into(),
        "Voodoo 2".into(),
        String::new(),
    ]);
    for name in names {
        let (_, json) = info(|| {
            let mut command = Command::new(ELU);
            command.env("WGPU_ADAPTER_NAME", &name);
            command
        });
        let request = match &*name {
            "" => Request::Auto,
            name => Request::Named(name.into()),
        };
        let expected = match Device::select_blocking(&request) {
            Ok((Device::Gpu(gpu), _)) => full_name(gpu.info()),
            Ok((Device::Cpu, _)) => "CPU".into(),
            Err(_) => "nothing, which is an error".into(),
        };
        assert_eq!(selected(&json), expected, "{name:?}");
    }
}

#[test]
fn info_writes_only_to_standard_output() {
    let folder = Folder::new();
    let output = folder.elu(&["info"]);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(folder.names(), [""; 0]);
}
