//! Reads `.safetensors` files as `elu run` does.
//!
//! - Reading must not panic.
//! - It must accept the same bytes as the crate `safetensors`, whether they come from a file or from a pipe.
//! - Writing the header and the data again must give the bytes of the file.

#![no_main]

use std::io::Read;

use elu_cli::safetensors as reader;
use libfuzzer_sys::fuzz_target;
use safetensors::SafeTensors;

fuzz_target!(|file: &[u8]| {
    let read = reader::read(file, Some(file.len() as u64));
    let piped = reader::read(file, None).and_then(|(_, mut data)| {
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    let metadata = SafeTensors::read_metadata(file);
    assert_eq!(read.is_ok(), metadata.is_ok());
    assert_eq!(read.is_ok(), piped.is_ok());
    let (tensors, mut data) = match read {
        Ok(read) => read,
        Err(error) => {
            // Formats the message that the user would see.
            let _ = format!("{error:#}");
            return;
        }
    };
    let mut written = Vec::new();
    tensors.write(&mut written).unwrap();
    let expected = SafeTensors::deserialize(file).unwrap();
    for entry in tensors.entries() {
        let mut bytes = Vec::new();
        let mut source = (&mut data).take(entry.size);
        source.read_to_end(&mut bytes).unwrap();
        let tensor = expected.tensor(&entry.name).unwrap();
        assert_eq!(bytes, tensor.data(), "{}", entry.name);
        if let Some(dtype) = entry.dtype {
            let len: usize = tensor.shape().iter().product();
            assert_eq!(entry.len(), len as u64, "{}", entry.name);
            assert_eq!(bytes.len(), len * dtype.size(), "{}", entry.name);
        }
        written.extend(bytes);
    }
    assert_eq!(written, file);
    assert!(file.ends_with(&piped.unwrap()));
});
