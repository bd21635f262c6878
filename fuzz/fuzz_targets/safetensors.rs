//! `.safetensors` files as `elu run` reads them: no panic, and what is not changed is written as it was.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(
    dead_code,
    reason = "the command reads paths, which the target leaves out"
)]
#[path = "../../src/bin/elu/safetensors.rs"]
mod reader;

use reader::Tensors;

fuzz_target!(|file: &[u8]| {
    let mut tensors = match Tensors::from_bytes(file.to_vec()) {
        Ok(tensors) => tensors,
        Err(error) => {
            // What the user would see.
            let _ = format!("{error:#}");
            return;
        }
    };
    for index in 0..tensors.entries().len() {
        let entry = &tensors.entries()[index];
        let bytes = tensors.get(entry);
        if let Some(dtype) = entry.dtype {
            let elements: usize = entry.shape.iter().product();
            assert_eq!(bytes.len(), elements * dtype.size(), "{}", entry.name);
        }
        // Others, and back: entries share no bytes, so that no other entry sees it.
        let inverted: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
        let others: Vec<_> = others(&tensors, index);
        tensors.set(index, inverted.clone());
        assert_eq!(tensors.get(&tensors.entries()[index]), inverted);
        assert_eq!(self::others(&tensors, index), others);
        tensors.set(index, bytes);
    }
    let mut written = Vec::new();
    tensors.write(&mut written).unwrap();
    assert_eq!(written, file);
});

/// What all entries hold but the one at `index`.
fn others(tensors: &Tensors, index: usize) -> Vec<Vec<u8>> {
    let entries = tensors.entries().iter().enumerate();
    entries
        .filter(|&(i, _)| i != index)
        .map(|(_, entry)| tensors.get(entry))
        .collect()
}
