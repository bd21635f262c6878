//! `Stream`: chunks on the CPU, on every adapter, and on a device that does nothing.
use crate::common::{on_every_device, supports, varied};
use wgpu_elu::{DType, Elu, Stream, Tensor};

#[test]
fn smoke() {
    on_every_device(|place| {
        for dtype in DType::ALL {
            if !supports(place.device, dtype) {
                continue;
            }
            let mut stream = Stream::new(place.device, Elu::new(0.5), dtype)
                .unwrap()
                .with_budget(1000);
            eprintln!("{} {dtype} {}", place.name, stream.chunk_len());
            for len in [0usize, 1, 3, 1000, 12345] {
                let bytes: Vec<u8> = match dtype {
                    DType::F32 => bytemuck::cast_slice(&varied(len)).to_vec(),
                    DType::F64 => varied(len)
                        .iter()
                        .flat_map(|v| f64::from(*v).to_ne_bytes())
                        .collect(),
                    _ => varied(len)
                        .iter()
                        .flat_map(|v| wgpu_elu::half::f16::from_f32(*v).to_ne_bytes())
                        .collect(),
                };
                let mut y = Vec::new();
                let n = stream.forward_blocking(&bytes[..], &mut y).unwrap();
                assert_eq!(n, len as u64);
                let x = Tensor::from_bytes(place.device, dtype, &bytes, &[len]).unwrap();
                let e = Elu::new(0.5)
                    .forward(&x)
                    .unwrap()
                    .to_bytes_blocking()
                    .unwrap();
                assert!(e == y, "{len}");
            }
        }
    });
}
