//! Tests of streams with chunks of any size, on the CPU path, every adapter, and a device without a driver.

// Streams of gradients, which have two sources.
mod gradients;

use std::io::{self, Read, Write};

use wgpu_elu::{DType, Device, Elu, Error, Op, Role, Stream, Tensor, half::f16};
#[cfg(test)]
use wgpu_elu::{Gpu, wgpu};

use crate::everywhere::{SPECIAL_BITS, TestDevice, everywhere, on_every_device, supports, varied};
#[cfg(test)]
use crate::native::{adapter_of, gpu, noop, on_every_gpu, with_limits};
use wgpu_elu::accuracy;

const ALPHA: f64 = 0.7;

/// Returns `len` elements as bytes: special values, then varied ones.
fn elements(dtype: DType, len: usize) -> Vec<u8> {
    let special = SPECIAL_BITS.map(f32::from_bits);
    let values = special.into_iter().chain(varied(len)).take(len);
    let bits = values.map(|value| accuracy::bits(dtype, value.into()));
    bits.flat_map(|bits| bits.to_ne_bytes()[..dtype.size()].to_vec())
        .collect()
}

/// Returns ELU of these elements as bytes, computed without a stream.
async fn expected(target: TestDevice<'_>, dtype: DType, x: &[u8]) -> Vec<u8> {
    let shape = [x.len() / dtype.size()];
    let x = Tensor::from_bytes(target.device, dtype, x, &shape).unwrap();
    let y = Elu::new(ALPHA).forward(&x).unwrap();
    y.to_bytes().await.unwrap()
}

fn stream(device: &Device, dtype: DType) -> Stream {
    Stream::new(device, Elu::new(ALPHA), dtype).unwrap()
}

/// A reader that returns at most 29 bytes at a time, and an error of the kind `Interrupted` every third time.
struct Trickle<'a> {
    left: &'a [u8],
    reads: usize,
}

impl<'a> Trickle<'a> {
    fn new(left: &'a [u8]) -> Self {
        Self { left, reads: 0 }
    }
}

impl Read for Trickle<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.reads.is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = bytes.len().min(self.reads % 29 + 1);
        self.left.read(&mut bytes[..count])
    }
}

/// Runs a stream on the bytes `x`, which `source` returns, and checks the results.
async fn check(target: TestDevice<'_>, stream: &mut Stream, source: impl Read, x: &[u8]) {
    let (name, dtype) = (target.name, stream.dtype());
    let mut y = Vec::new();
    let len = stream.forward(source, &mut y).await.unwrap();
    assert_eq!(len, (x.len() / dtype.size()) as u64, "{name} {dtype}");
    assert!(
        y == expected(target, dtype, x).await,
        "{name} {dtype} {len}"
    );
}

#[everywhere]
async fn data_may_end_anywhere_within_a_chunk() {
    on_every_device(async |target| {
        for dtype in DType::ALL {
            if !supports(target.device, dtype) {
                continue;
            }
            for budget in [0, 100, 2000] {
                let mut stream = stream(target.device, dtype).with_budget(budget);
                let chunk = usize::try_from(stream.chunk_len(Op::Forward)).unwrap();
                let bytes = (chunk * dtype.size()) as u64;
                assert!(chunk == 1 || bytes <= budget, "{chunk}");
                let mut lengths = vec![0, 1, 3 * chunk - 1, 3 * chunk, 4 * chunk + 1];
                lengths.extend([chunk - 1, chunk, chunk + 1, 2 * chunk]);
                for len in lengths {
                    let x = elements(dtype, len);
                    check(target, &mut stream, &x[..], &x).await;
                }
                let x = elements(dtype, 5 * chunk + chunk / 3);
                check(target, &mut stream, Trickle::new(&x), &x).await;
            }
        }
    })
    .await;
}

#[everywhere]
async fn chunks_are_whole_pages_or_as_short_as_the_expected_data() {
    on_every_device(async |target| {
        let x = elements(DType::F16, 100_001);
        let mut paged = stream(target.device, DType::F16).with_budget(100_000);
        check(target, &mut paged, &x[..], &x).await;
        assert_eq!(paged.chunk_len(Op::Forward) % 2048, 0); // a page of 4096 bytes
        let mut short = stream(target.device, DType::F16).with_expected_len(10_001);
        assert_eq!(short.chunk_len(Op::Forward), 10_001);
        // The data is longer than expected, and then as long as expected.
        check(target, &mut short, Trickle::new(&x), &x).await;
        check(target, &mut short, &x[..20_002], &x[..20_002]).await;
    })
    .await;
}

#[everywhere]
async fn slices_of_any_length_are_streamed() {
    on_every_device(async |target| {
        let mut stream = stream(target.device, DType::F16).with_budget(1000);
        for len in [0, 1, 2, 777, 10_001] {
            let x = elements(DType::F16, len);
            let mut y = vec![f16::ZERO; len];
            let values: Vec<f16> = bytemuck::pod_collect_to_vec(&x);
            stream.forward_slice(&values, &mut y).await.unwrap();
            let y: &[u8] = bytemuck::cast_slice(&y);
            assert!(
                y == expected(target, DType::F16, &x).await,
                "{} {len}",
                target.name
            );
        }
        let mut y = [f16::ONE; 2];
        let error = stream.forward_slice(&[f16::ZERO; 3], &mut y).await;
        let error = error.unwrap_err();
        assert!(matches!(error, Error::LengthMismatch { .. }));
        assert_eq!(
            error.to_string(),
            "the output must be as long as the input: needed 3 elements, found 2"
        );
        let error = stream.forward_slice(&[0.0f32; 2], &mut [0.0; 2]).await;
        let error = error.unwrap_err();
        assert!(matches!(error, Error::DTypeMismatch { .. }));
        assert_eq!(
            error.to_string(),
            "the input has elements of float32, needed float16"
        );
        assert_eq!(y, [f16::ONE; 2]);
    })
    .await;
}

/// A reader that returns `good` bytes and then an error.
struct Broken {
    good: usize,
}

impl Read for Broken {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.good == 0 {
            return Err(io::Error::other("the disk is damaged"));
        }
        let count = bytes.len().min(self.good);
        bytes[..count].fill(0);
        self.good -= count;
        Ok(count)
    }
}

/// A writer that accepts `good` bytes and then returns an error.
impl Write for Broken {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.good == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let count = bytes.len().min(self.good);
        self.good -= count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that breaks the contract of `Read`: it reports more bytes than were requested.
struct Overreporting;

impl Read for Overreporting {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        Ok(bytes.len() + 1)
    }
}

#[everywhere]
async fn a_stream_works_after_an_error() {
    on_every_device(async |target| {
        let mut stream = stream(target.device, DType::F32).with_budget(1200);
        let x = elements(DType::F32, 1000);
        let check_again = async |stream: &mut Stream| check(target, stream, &x[..], &x).await;
        for good in [0, 3, 400, 1201, 4000] {
            let error = stream.forward(Broken { good }, io::sink()).await;
            let error = error.unwrap_err();
            let is_input = matches!(&error, Error::Read { role: Role::Input, .. });
            assert!(is_input, "{error}");
            assert_eq!(error.to_string(), "reading the input failed: the disk is damaged");
            check_again(&mut stream).await;

            let error = stream.forward(&x[..], Broken { good }).await;
            if good < 4000 {
                let error = error.unwrap_err();
                assert!(
                    matches!(&error, Error::Write { error } if error.kind() == io::ErrorKind::StorageFull)
                );
                assert_eq!(error.to_string(), "writing failed: no storage space");
                check_again(&mut stream).await;
            } else {
                assert_eq!(error.unwrap(), 1000);
            }
        }
        for bytes in [1, 399, 402, 3999] {
            let mut y = Vec::new();
            let error = stream.forward(&x[..bytes], &mut y).await.unwrap_err();
            assert!(matches!(
                error,
                Error::PartialElement { role: Role::Input, needed: 4, found } if found == bytes as u64
            ));
            assert_eq!(
                error.to_string(),
                format!(
                    "the input ends within an element: needed a multiple of 4 bytes, found {bytes}"
                )
            );
            assert!(expected(target, DType::F32, &x).await.starts_with(&y));
            check_again(&mut stream).await;
        }
        let error = stream.forward(Overreporting, io::sink()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "reading the input failed: the reader reports more bytes than were requested"
        );
        check_again(&mut stream).await;
    })
    .await;
}

#[test]
fn a_huge_budget_is_capped() {
    // On the CPU, a stream allocates no more than it needs. On a GPU, the device's limits cap the size of a chunk.
    let mut stream = stream(&Device::Cpu, DType::F64).with_budget(u64::MAX);
    let mut y = Vec::new();
    assert_eq!(stream.forward_blocking(&[0; 16][..], &mut y).unwrap(), 2);
    on_every_gpu(|gpu, name| {
        let device = Device::Gpu(gpu.clone());
        let stream = self::stream(&device, DType::F32).with_budget(u64::MAX);
        let limits = gpu.device().limits();
        let bytes = 4 * stream.chunk_len(Op::Forward);
        assert!(bytes <= limits.max_buffer_size, "{name}");
        assert!(bytes <= limits.max_storage_buffer_binding_size, "{name}");
    });
}

#[test]
fn chunks_fit_into_small_limits() {
    on_every_gpu(|gpu, name| {
        let small = with_limits(gpu, |limits| wgpu::Limits {
            max_buffer_size: 1 << 16,
            max_storage_buffer_binding_size: 1 << 12,
            ..limits
        });
        let mut stream = stream(&Device::Gpu(small), DType::F32);
        assert_eq!(stream.chunk_len(Op::Forward), 1 << 10);
        let device = &Device::Gpu(gpu.clone());
        let x = elements(DType::F32, 100_000);
        pollster::block_on(check(TestDevice { device, name }, &mut stream, &x[..], &x));
    });
}

/// An endless reader that destroys the device after `left` bytes.
#[cfg(test)]
struct Destroyer<'a> {
    gpu: &'a Gpu,
    left: usize,
}

#[cfg(test)]
impl Read for Destroyer<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.left < bytes.len() {
            self.gpu.device().destroy();
        }
        self.left = self.left.saturating_sub(bytes.len());
        Ok(bytes.len())
    }
}

#[test]
fn a_device_that_is_lost_during_a_stream_is_reported() {
    on_every_gpu(|gpu, name| {
        for left in [0, 500, 5000] {
            let own = pollster::block_on(Device::from_adapter(&adapter_of(gpu))).unwrap();
            let lent = Device::Gpu(with_limits(gpu, |limits| limits));
            for device in [own, lent] {
                let gpu = &self::gpu(device.clone());
                let mut stream = stream(&device, DType::F32).with_budget(1200);
                for _ in 0..2 {
                    let source = Destroyer { gpu, left };
                    let error = stream.forward_blocking(source, io::sink()).unwrap_err();
                    assert!(
                        matches!(error, Error::DeviceLost { .. }),
                        "{name}, {left}: {error}"
                    );
                }
                let error = stream.forward_slice_blocking(&[0.0f32; 9], &mut [0.0; 9]);
                assert!(matches!(error, Err(Error::DeviceLost { .. })), "{name}");
            }
        }
    });
}

/// Without a driver, the kernel does nothing, so the results are the unchanged inputs. Everything else works.
#[test]
fn streams_work_without_a_driver() {
    let device = Device::Gpu(noop(wgpu::Limits::default()));
    let error = Stream::new(&device, Elu::default(), DType::F64).unwrap_err();
    assert!(matches!(error, Error::MissingFeature { .. }));
    assert_eq!(
        error.to_string(),
        "float64 needs the device feature SHADER_F64; the CPU path does not need it"
    );
    for dtype in [DType::F32, DType::F16] {
        let mut stream = stream(&device, dtype).with_budget(5000);
        assert_eq!(*stream.device(), device);
        let x = elements(dtype, 10_001);
        let mut y = Vec::new();
        let len = stream.forward_blocking(&x[..], &mut y).unwrap();
        assert!(len == 10_001 && x == y);
    }

    let device = Device::Gpu(noop(wgpu::Limits {
        max_buffer_size: 3,
        ..wgpu::Limits::default()
    }));
    let mut stream = stream(&device, DType::F32);
    assert_eq!(stream.chunk_len(Op::Forward), 1);
    for _ in 0..2 {
        let error = stream.forward_blocking(&[0; 4][..], io::sink());
        assert_eq!(
            error.unwrap_err().to_string(),
            "the device's limit max_buffer_size is 3, needed at least 4"
        );
    }
}

/// Software adapters share the CPU's memory. Except through GL they can map the kernel's buffers, and streams must do
/// so.
#[test]
fn streams_map_the_kernels_buffers_if_possible() {
    on_every_gpu(|gpu, name| {
        let needed = wgpu::Features::MAPPABLE_PRIMARY_BUFFERS;
        let is_software = gpu.info().device_type == wgpu::DeviceType::Cpu;
        let can_map = gpu.device().features().contains(needed);
        let is_gl = gpu.info().backend == wgpu::Backend::Gl;
        if is_software {
            assert_eq!(can_map, !is_gl, "{name}");
            let stream = stream(&Device::Gpu(gpu.clone()), DType::F32).with_budget(3600);
            // Each of the three slots has one mapped buffer, or an upload, a staging and a download buffer.
            let chunk_len = if can_map { 300 } else { 100 };
            assert_eq!(stream.chunk_len(Op::Forward), chunk_len, "{name}");
        }
        // On a lent device without the feature, streams use copies.
        let lent = Device::Gpu(with_limits(gpu, |limits| limits));
        let stream = stream(&lent, DType::F32).with_budget(3600);
        assert_eq!(stream.chunk_len(Op::Forward), 100, "{name}");
    });
}
