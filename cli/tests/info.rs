//! Tests of `elu info`.

use conformance::native::gpus;

use crate::common::Folder;

#[test]
fn info() {
    let folder = Folder::new();
    let text = String::from_utf8(folder.elu(&["info"]).stdout).unwrap();
    let json: serde_json::Value =
        serde_json::from_slice(&folder.elu(&["info", "--json"]).stdout).unwrap();
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
    let takes = json["auto"]["selects"].as_str().unwrap();
    assert!(
        text.contains(&format!(
            "auto selects: {takes}, since {}",
            json["auto"]["why"].as_str().unwrap()
        )),
        "{text}"
    );
}
