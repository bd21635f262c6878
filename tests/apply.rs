//! Tests of the methods of `Elu`, `cpu` and `Kernel` that take the operation as an argument. They give the same results
//! as the named methods, write to existing tensors and in place, and reject a wrong number of inputs. Also tests of
//! `Kernel::compile`, which compiles ahead of time.

use wgpu_elu::{
    DType, Device, Elu, Error, Kernel, Op, Role, Tensor, accuracy::bits, cpu, shader::Shared, wgpu,
};

use conformance::native::{
    bits_of, gpus, noop, on_every_device, on_every_gpu, supports, tensor, varied, with_limits,
};

const ELU: Elu = Elu::new(0.5);

/// Returns a tensor of float32 values. Different seeds give different values.
fn floats(device: &Device, seed: usize) -> Tensor {
    let values: Vec<f32> = varied(600 + seed).split_off(seed);
    Tensor::from_slice(device, &values, &[2, 300]).unwrap()
}

/// Returns `grad` if the operation takes a gradient.
fn gradient(op: Op, grad: &Tensor) -> Option<&Tensor> {
    op.has_grad().then_some(grad)
}

#[test]
fn the_named_methods_give_the_same_results_as_the_general_one() {
    on_every_device(|target| {
        let (x, grad) = (floats(target.device, 0), floats(target.device, 7));
        let results = [
            ELU.forward(&x),
            ELU.backward(&x, &grad),
            ELU.backward_from_output(&x, &grad),
        ];
        for (op, named) in Op::ALL.into_iter().zip(results) {
            let general = ELU.apply(op, &x, gradient(op, &grad)).unwrap();
            assert_eq!(
                bits_of(&general),
                bits_of(&named.unwrap()),
                "{}, {op}",
                target.name
            );
        }
    });
}

#[test]
fn results_are_written_to_an_existing_tensor() {
    on_every_device(|target| {
        for dtype in DType::ALL {
            if !supports(target.device, dtype) {
                continue;
            }
            let [x, grad] = [0, 7].map(|seed| {
                let values = varied(100 + seed).split_off(seed);
                let bits: Vec<u64> = values.iter().map(|&v| bits(dtype, v.into())).collect();
                tensor(target.device, dtype, &bits)
            });
            for op in Op::ALL {
                let new = ELU.apply(op, &x, gradient(op, &grad)).unwrap();
                let mut out = Tensor::zeros(target.device, dtype, &[100]).unwrap();
                let buffer = out.as_buffer_slice().map(|slice| slice.buffer().clone());
                ELU.apply_into(op, &x, gradient(op, &grad), &mut out)
                    .unwrap();
                assert_eq!(
                    bits_of(&out),
                    bits_of(&new),
                    "{}, {dtype}, {op}",
                    target.name
                );
                let after = out.as_buffer_slice().map(|slice| slice.buffer().clone());
                assert_eq!(buffer, after, "{}: the buffer was replaced", target.name);
            }
        }
    });
}

#[test]
fn writing_to_a_clone_leaves_the_original_unchanged() {
    on_every_device(|target| {
        let (x, grad) = (floats(target.device, 0), floats(target.device, 7));
        let before = bits_of(&grad);
        for op in Op::ALL {
            let expected = bits_of(&ELU.apply(op, &x, gradient(op, &grad)).unwrap());
            let mut out = grad.clone();
            ELU.apply_into(op, &x, gradient(op, &grad), &mut out)
                .unwrap();
            assert_eq!(bits_of(&out), expected, "{}, {op}", target.name);
            let mut values = if op.has_grad() {
                grad.clone()
            } else {
                x.clone()
            };
            ELU.apply_in_place(op, op.has_grad().then_some(&x), &mut values)
                .unwrap();
            assert_eq!(
                bits_of(&values),
                expected,
                "{}, {op}, in place",
                target.name
            );
            assert_eq!(bits_of(&grad), before, "{}, {op}", target.name);
        }
    });
}

#[test]
fn a_wrong_number_of_inputs_is_refused() {
    on_every_device(|target| {
        let (x, mut out) = (floats(target.device, 0), floats(target.device, 7));
        let before = bits_of(&out);
        for (op, text) in [
            (Op::Forward, "forward takes 1 input, found 2"),
            (Op::Backward, "backward takes 2 inputs, found 1"),
            (
                Op::BackwardFromOutput,
                "backward-from-output takes 2 inputs, found 1",
            ),
        ] {
            let wrong = (!op.has_grad()).then_some(&x);
            let errors = [
                ELU.apply(op, &x, wrong).map(drop),
                ELU.apply_into(op, &x, wrong, &mut out),
                ELU.apply_in_place(op, wrong, &mut out),
            ];
            for error in errors {
                let error = error.unwrap_err();
                assert!(matches!(error, Error::Inputs { .. }), "{error}");
                assert_eq!(error.to_string(), text);
            }
        }
        assert_eq!(bits_of(&out), before, "{}", target.name);
    });
    let (x, mut y) = ([1.0f32], [2.0]);
    let error = cpu::apply(Op::Backward, 1.0, &x, None, &mut y).unwrap_err();
    assert_eq!(error.to_string(), "backward takes 2 inputs, found 1");
    let error = cpu::apply_in_place(Op::Backward, 1.0, None, &mut y).unwrap_err();
    assert_eq!(error.to_string(), "backward takes 2 inputs, found 1");
    let error = cpu::apply_in_place(Op::Forward, 1.0, Some(&x), &mut y).unwrap_err();
    assert_eq!(error.to_string(), "forward takes 1 input, found 2");
    assert_eq!(y, [2.0]);
}

#[test]
fn an_output_of_another_shape_dtype_or_device_is_refused() {
    on_every_device(|target| {
        let x = floats(target.device, 0);
        let mut flat = x.reshape(&[600]).unwrap();
        let error = ELU.forward_into(&x, &mut flat).unwrap_err();
        assert!(matches!(
            error,
            Error::ShapesDiffer {
                role: Role::Output,
                ..
            }
        ));
        assert_eq!(
            error.to_string(),
            "the output must have the input's shape: needed [2, 300], found [600]"
        );
        let mut halves = Tensor::zeros(target.device, DType::F16, &[2, 300]).unwrap();
        let error = ELU.backward_into(&x, &x, &mut halves).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the output has elements of float16, needed float32"
        );
    });
    for gpu in gpus() {
        let gpu = Device::Gpu(gpu.clone());
        let (x, mut on_gpu) = (floats(&Device::Cpu, 0), floats(&gpu, 0));
        let error = ELU.forward_into(&x, &mut on_gpu).unwrap_err();
        assert!(matches!(
            error,
            Error::DeviceMismatch {
                role: Role::Output,
                ..
            }
        ));
        let text = format!(
            "the output must be on the input's device: needed {}, found {gpu}",
            Device::Cpu
        );
        assert_eq!(error.to_string(), text);
    }
}

/// Functions that take an ELU also take a number, which is its alpha.
#[test]
fn a_number_converts_to_an_elu_with_this_alpha() {
    assert_eq!(Elu::from(0.25f32), Elu::new(0.25));
    assert_eq!(Elu::from(0.25f64), Elu::new(0.25));
    assert_eq!(Elu::from(0.1f32).alpha(), f64::from(0.1f32));
    let mut y = [-1.0f32];
    cpu::forward_in_place(0.5f32, &mut y);
    assert_eq!(y, [-0.316_060_27]);
}

/// After `Kernel::compile`, the first `prepare` creates no pipeline.
#[test]
fn compile_creates_the_pipelines_that_prepare_needs() {
    on_every_gpu(|gpu, name| {
        // A separate device, because other tests compile on the shared one.
        let gpu = &with_limits(gpu, |limits| limits);
        let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
        let separate = Shared::default();
        for op in Op::ALL {
            // In place, the output shares the buffer of the gradient, or that of `x` if there is no gradient.
            let in_place = Shared {
                x: !op.has_grad(),
                grad: op.has_grad(),
            };
            for shared in [separate, in_place] {
                kernel.compile(op, 0.5, shared).unwrap();
            }
        }
        kernel.compile_penalty().unwrap();
        let pipelines = || {
            gpu.device()
                .get_internal_counters()
                .hal
                .compute_pipelines
                .read()
        };
        let compiled = pipelines();
        assert!(compiled > 0, "{name}: wgpu counts pipelines");
        let [x, grad] = [
            floats(&Device::Gpu(gpu.clone()), 0),
            floats(&Device::Gpu(gpu.clone()), 7),
        ];
        let (x, grad) = (
            x.as_buffer_slice().unwrap(),
            grad.as_buffer_slice().unwrap(),
        );
        let y = Tensor::zeros(&Device::Gpu(gpu.clone()), DType::F32, &[2, 300]).unwrap();
        let y = y.as_buffer_slice().unwrap();
        for op in Op::ALL {
            let grad = op.has_grad().then_some(grad);
            for out in [y, grad.unwrap_or(x)] {
                let step = kernel.prepare_op(op, 0.25, x, grad, out).unwrap();
                assert!(step.dispatches() > 0);
            }
        }
        let out = y.buffer().slice(..4);
        let step = kernel.prepare_penalty(0.1, 0.2, 1.0, x, out).unwrap();
        assert!(step.dispatches() > 0);
        assert_eq!(pipelines(), compiled, "{name}: prepare created a pipeline");
    });
}

#[test]
fn compile_reports_limits_that_are_too_small() {
    let gpu = noop(wgpu::Limits {
        max_storage_buffers_per_shader_stage: 2,
        ..wgpu::Limits::default()
    });
    let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
    kernel.compile(Op::Forward, 1.0, Shared::default()).unwrap();
    let error = kernel
        .compile(Op::Backward, 1.0, Shared::default())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the device's limit max_storage_buffers_per_shader_stage is 2, needed at least 3"
    );
    let error = Kernel::new(gpu.device(), DType::F64).unwrap_err();
    assert!(matches!(error, Error::MissingFeature { .. }), "{error}");
}
