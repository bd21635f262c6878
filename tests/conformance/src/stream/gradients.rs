//! Tests of streams of gradients: the two sources, their errors, and the buffers.

use super::*;

const GRADIENTS: [Op; 2] = [Op::Backward, Op::BackwardFromOutput];

/// Returns `len` incoming gradients as bytes, each different from the element at the same place.
fn gradients(dtype: DType, len: usize) -> Vec<u8> {
    let bytes = elements(dtype, len + 1000);
    bytes[1000 * dtype.size()..].to_vec()
}

/// Returns the gradients as bytes, computed without a stream.
async fn expected_gradients(
    target: TestDevice<'_>,
    op: Op,
    dtype: DType,
    x: &[u8],
    grad: &[u8],
) -> Vec<u8> {
    let shape = [x.len() / dtype.size()];
    let tensor = |bytes| Tensor::from_bytes(target.device, dtype, bytes, &shape).unwrap();
    let grad_x = Elu::new(ALPHA).apply(op, &tensor(x), Some(&tensor(grad)));
    grad_x.unwrap().to_bytes().await.unwrap()
}

/// Runs a stream on the bytes `x` and `grad`, and checks the results.
async fn check_gradients(
    target: TestDevice<'_>,
    stream: &mut Stream,
    op: Op,
    x: &[u8],
    grad: &[u8],
) {
    let (name, dtype) = (target.name, stream.dtype());
    let mut out = Vec::new();
    // The sources return different numbers of bytes at a time.
    let source = Trickle::new(x);
    let len = match op {
        Op::Forward => panic!("forward has no gradient"),
        Op::Backward => stream.backward(source, grad, &mut out).await,
        Op::BackwardFromOutput => stream.backward_from_output(source, grad, &mut out).await,
    };
    assert_eq!(len.unwrap(), (x.len() / dtype.size()) as u64, "{name}");
    let expected = expected_gradients(target, op, dtype, x, grad).await;
    assert!(out == expected, "{name} {op} {dtype} {}", x.len());
}

#[everywhere]
async fn gradients_may_end_anywhere_within_a_chunk() {
    on_every_device(async |target| {
        for dtype in DType::ALL {
            if !supports(target.device, dtype) {
                continue;
            }
            for (op, budget) in GRADIENTS
                .into_iter()
                .flat_map(|op| [0, 500].map(|b| (op, b)))
            {
                let mut stream = stream(target.device, dtype).with_budget(budget);
                let chunk = usize::try_from(stream.chunk_len(op)).unwrap();
                let bytes = (2 * chunk * dtype.size()) as u64;
                assert!(chunk == 1 || bytes <= budget, "{chunk}");
                for len in [0, 1, chunk - 1, chunk, chunk + 1, 3 * chunk, 4 * chunk + 1] {
                    let (x, grad) = (elements(dtype, len), gradients(dtype, len));
                    check_gradients(target, &mut stream, op, &x, &grad).await;
                }
            }
        }
    })
    .await;
}

/// Another operation replaces the slots, so a budget holds for each operation.
#[everywhere]
async fn one_stream_computes_every_operation_in_turn() {
    on_every_device(async |target| {
        let dtype = DType::F32;
        let mut stream = stream(target.device, dtype).with_budget(1200);
        let (x, grad) = (elements(dtype, 1001), gradients(dtype, 1001));
        for _ in 0..2 {
            check(target, &mut stream, &x[..], &x).await;
            for op in GRADIENTS {
                assert!(stream.chunk_len(op) < stream.chunk_len(Op::Forward));
                check_gradients(target, &mut stream, op, &x, &grad).await;
            }
        }
    })
    .await;
}

#[everywhere]
async fn slices_of_gradients_are_streamed() {
    on_every_device(async |target| {
        let dtype = DType::F16;
        let mut stream = stream(target.device, dtype).with_budget(1000);
        for len in [0, 1, 777, 10_001] {
            let (x, grad) = (elements(dtype, len), gradients(dtype, len));
            let values = |bytes| bytemuck::pod_collect_to_vec::<u8, f16>(bytes);
            let (xs, grads) = (values(&x), values(&grad));
            let mut out = vec![f16::ZERO; len];
            for op in GRADIENTS {
                let done = match op {
                    Op::Backward => stream.backward_slice(&xs, &grads, &mut out).await,
                    _ => {
                        stream
                            .backward_from_output_slice(&xs, &grads, &mut out)
                            .await
                    }
                };
                done.unwrap();
                let expected = expected_gradients(target, op, dtype, &x, &grad).await;
                let out: &[u8] = bytemuck::cast_slice(&out);
                assert!(out == expected, "{} {op} {len}", target.name);
            }
        }
        let mut out = [f16::ONE; 3];
        for (grad, len, text) in [
            (
                2,
                3,
                "the gradient must be as long as the input: needed 3 elements, found 2",
            ),
            (
                3,
                1,
                "the output must be as long as the input: needed 3 elements, found 1",
            ),
        ] {
            let grad = &[f16::ZERO; 3][..grad];
            let error = stream
                .backward_slice(&[f16::ZERO; 3], grad, &mut out[..len])
                .await;
            let error = error.unwrap_err();
            assert!(matches!(error, Error::LengthMismatch { .. }));
            assert_eq!(error.to_string(), text);
        }
        let error = stream.backward_slice(&[0.0f32], &[0.0], &mut [0.0]).await;
        assert_eq!(
            error.unwrap_err().to_string(),
            "the input has elements of float32, needed float16"
        );
        for (op, grad, text) in [
            (
                Op::Forward,
                Some(&[f16::ZERO; 3][..]),
                "forward takes 1 input, found 2",
            ),
            (Op::Backward, None, "backward takes 2 inputs, found 1"),
        ] {
            let error = stream
                .apply_slice(op, &[f16::ZERO; 3], grad, &mut out)
                .await;
            assert_eq!(error.unwrap_err().to_string(), text);
            let grad = grad.map(bytemuck::cast_slice);
            let error = stream.apply(op, &[0; 6][..], grad, io::sink()).await;
            assert_eq!(error.unwrap_err().to_string(), text);
        }
        assert_eq!(out, [f16::ONE; 3]);
    })
    .await;
}

/// What was written before the error is the beginning of the results. The stream still works after it.
#[everywhere]
async fn sources_of_different_lengths_are_an_error() {
    on_every_device(async |target| {
        let (dtype, op) = (DType::F32, Op::Backward);
        let mut stream = stream(target.device, dtype).with_budget(1200);
        let chunk = usize::try_from(stream.chunk_len(op)).unwrap();
        let len = 4 * chunk + 7;
        let (x, grad) = (elements(dtype, len), gradients(dtype, len));
        let results = expected_gradients(target, op, dtype, &x, &grad).await;
        for short in [0, 1, chunk - 1, chunk, 3 * chunk, 3 * chunk + 1, len - 1] {
            for is_grad in [false, true] {
                let (part, role) = (4 * short, if is_grad { Role::Gradient } else { Role::Input });
                let (x_part, grad_part) = match is_grad {
                    true => (&x[..], &grad[..part]),
                    false => (&x[..part], &grad[..]),
                };
                let mut out = Vec::new();
                let error = stream.backward(x_part, grad_part, &mut out).await.unwrap_err();
                let plural = if short == 1 { "" } else { "s" };
                assert_eq!(
                    error.to_string(),
                    format!(
                        "{role} has {short} element{plural}, {} has more: both must have the same length",
                        if is_grad { Role::Input } else { Role::Gradient }
                    ),
                    "{}",
                    target.name
                );
                let found = short as u64;
                assert!(
                    matches!(error, Error::EndsEarly { role: r, found: f } if r == role && f == found)
                );
                assert!(out.len() <= part && results.starts_with(&out), "{}", target.name);
                check_gradients(target, &mut stream, op, &x, &grad).await;
            }
        }
    })
    .await;
}

#[everywhere]
async fn a_stream_of_gradients_works_after_an_error() {
    on_every_device(async |target| {
        let (dtype, op) = (DType::F32, Op::BackwardFromOutput);
        let mut stream = stream(target.device, dtype).with_budget(1200);
        let (x, grad) = (elements(dtype, 1000), gradients(dtype, 1000));
        let results = expected_gradients(target, op, dtype, &x, &grad).await;
        for good in [0, 3, 400, 1201, 3999] {
            let mut out = Vec::new();
            let sink = &mut out;
            let error = stream.backward_from_output(&x[..], Broken { good }, sink).await;
            let error = error.unwrap_err();
            assert!(matches!(&error, Error::Read { role: Role::Gradient, .. }), "{error}");
            assert_eq!(
                error.to_string(),
                "reading the gradient failed: the disk is damaged"
            );
            let error = stream.backward_from_output(Broken { good }, &grad[..], io::sink()).await;
            assert_eq!(
                error.unwrap_err().to_string(),
                "reading the input failed: the disk is damaged"
            );
            let sink = Broken { good };
            let error = stream.backward_from_output(&x[..], &grad[..], sink).await;
            assert!(matches!(error.unwrap_err(), Error::Write { .. }));
            check_gradients(target, &mut stream, op, &x, &grad).await;
        }
        for bytes in [1, 402, 3999] {
            let mut out = Vec::new();
            let error = stream.backward_from_output(&x[..], &grad[..bytes], &mut out).await;
            assert_eq!(
                error.unwrap_err().to_string(),
                format!("the gradient ends within an element: needed a multiple of 4 bytes, found {bytes}")
            );
            assert!(results.starts_with(&out));
            check_gradients(target, &mut stream, op, &x, &grad).await;
        }
        let mut flat = Stream::new(target.device, Elu::new(0.0), dtype).unwrap();
        // Nothing is read, so the broken reader does not matter.
        let broken = Broken { good: 0 };
        let error = flat.backward_from_output(broken, &grad[..], io::sink()).await;
        assert!(matches!(error.unwrap_err(), Error::NotInvertible { .. }));
        let error = flat.backward_from_output_slice(&[0.0f32; 0], &[], &mut []).await;
        assert!(matches!(error.unwrap_err(), Error::NotInvertible { .. }));
    })
    .await;
}

/// A gradient needs more buffers of each slot, and forward does not pay for them.
#[test]
fn a_gradient_has_shorter_chunks() {
    let chunk_lens = |stream: &Stream| Op::ALL.map(|op| stream.chunk_len(op));
    let on_cpu = stream(&Device::Cpu, DType::F32).with_budget(3600);
    assert_eq!(chunk_lens(&on_cpu), [900, 450, 450]);
    on_every_gpu(|gpu, name| {
        // On a lent device without `MAPPABLE_PRIMARY_BUFFERS`, each of the three slots has an upload and a staging
        // buffer for each input, and a download buffer.
        let lent = Device::Gpu(with_limits(gpu, |limits| limits));
        let staged = stream(&lent, DType::F32).with_budget(3600);
        assert_eq!(chunk_lens(&staged), [100, 60, 60], "{name}");
    });
}

/// Without a driver, the kernel does nothing, so the results are the unchanged incoming gradients.
#[test]
fn streams_of_gradients_work_without_a_driver() {
    let device = Device::Gpu(noop(wgpu::Limits::default()));
    for dtype in [DType::F32, DType::F16] {
        let mut stream = stream(&device, dtype).with_budget(5000);
        let (x, grad) = (elements(dtype, 10_001), gradients(dtype, 10_001));
        let mut out = Vec::new();
        let len = stream.backward_blocking(&x[..], &grad[..], &mut out);
        assert!(len.unwrap() == 10_001 && out == grad);
    }
}
