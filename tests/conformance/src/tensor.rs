//! Tests of devices, tensors and `Elu` on the CPU path, every adapter, and a device without a driver.

use wgpu_elu::{DType, Device, Elu, Error, Tensor, wgpu};
#[cfg(test)]
use wgpu_elu::{Gpu, Kernel, Step, Stream};

use crate::everywhere::{self, everywhere, on_every_gpu, varied};
#[cfg(test)]
use crate::native::{self, gpu, gpus, noop, with_limits};

/// Runs `test` on the CPU path and every adapter.
async fn on_every_device(test: impl AsyncFn(&Device)) {
    everywhere::on_every_device(async |target| test(target.device).await).await;
}

#[everywhere]
async fn one_program_runs_on_every_device() {
    on_every_device(async |device| {
        let x = Tensor::from_slice(device, &[-2.0f32, -0.5, 0.0, 1.5, -1.0, 3.0], &[2, 3]).unwrap();
        let y = Elu::new(1.0).forward(&x).unwrap();
        assert_eq!(
            (y.shape(), y.dtype(), y.len(), y.device()),
            (&[2, 3][..], DType::F32, 6, device.clone())
        );
        let y = y.to_vec::<f32>().await.unwrap();
        for (y, expected) in y
            .iter()
            .zip([-0.864_664_7, -0.393_469_3, 0.0, 1.5, -0.632_120_6, 3.0])
        {
            assert!(
                (y - expected).abs() < 1e-6,
                "{device}: {y} is not {expected}"
            );
        }
        assert_eq!(
            x.to_vec::<f32>().await.unwrap()[0],
            -2.0,
            "{device}: the input changed"
        );
        device.wait().await.unwrap();
    })
    .await;
}

#[everywhere]
async fn views_share_memory_but_keep_their_values() {
    on_every_device(async |device| {
        let values = varied(12);
        let mut x = Tensor::from_vec(device, values.clone(), &[4, 3]).unwrap();
        let rows = x.rows(1..3).unwrap();
        assert_eq!(rows.shape(), [2, 3]);
        assert_eq!(rows.to_vec::<f32>().await.unwrap(), values[3..9]);
        assert_eq!(
            rows.rows(1..2).unwrap().to_vec::<f32>().await.unwrap(),
            values[6..9]
        );
        assert_eq!(
            x.reshape(&[2, 6])
                .unwrap()
                .rows(1..2)
                .unwrap()
                .to_vec::<f32>()
                .await
                .unwrap(),
            values[6..]
        );

        let expected = Elu::new(0.5)
            .forward(&x)
            .unwrap()
            .to_vec::<f32>()
            .await
            .unwrap();
        Elu::new(0.5).forward_in_place(&mut x).unwrap();
        assert_eq!(x.to_vec::<f32>().await.unwrap(), expected, "{device}");
        assert_eq!(
            rows.to_vec::<f32>().await.unwrap(),
            values[3..9],
            "{device}: a view changed"
        );

        // If no other tensor shares the memory, an operation in place changes only the elements of the view.
        drop(x);
        let mut rows = rows;
        Elu::new(0.5).forward_in_place(&mut rows).unwrap();
        assert_eq!(
            rows.into_vec::<f32>().await.unwrap(),
            expected[3..9],
            "{device}"
        );
    })
    .await;
}

#[everywhere]
async fn scalars_and_empty_tensors_work() {
    on_every_device(async |device| {
        let scalar = Tensor::from_slice(device, &[-1.0f32], &[]).unwrap();
        let y = Elu::default().forward(&scalar).unwrap();
        assert_eq!((y.shape(), y.len()), (&[][..], 1));
        assert!((y.to_vec::<f32>().await.unwrap()[0] + 0.632_120_56).abs() < 1e-7);
        for shape in [&[0][..], &[0, 3], &[3, 0], &[usize::MAX, 0, usize::MAX]] {
            let mut x = Tensor::from_slice::<f32>(device, &[], shape).unwrap();
            assert!(x.is_empty());
            assert_eq!(x.rows(0..shape[0]).unwrap().shape(), shape);
            Elu::default().forward_in_place(&mut x).unwrap();
            let y = Elu::default().forward(&x).unwrap();
            assert!(y.to_vec::<f32>().await.unwrap().is_empty(), "{device}");
        }
        let zeros = Tensor::zeros(device, DType::F32, &[2, 5]).unwrap();
        assert_eq!(zeros.to_vec::<f32>().await.unwrap(), [0.0; 10]);
    })
    .await;
}

#[everywhere]
async fn shapes_that_do_not_fit_are_refused() {
    on_every_device(async |device| {
        let error = Tensor::from_slice(device, &[0.0f32; 5], &[2, 3]).unwrap_err();
        assert!(matches!(
            error,
            Error::ShapeMismatch {
                needed: 6,
                found: 5,
                ..
            }
        ));
        assert_eq!(error.to_string(), "shape [2, 3] needs 6 elements, found 5");

        let error = Tensor::zeros(device, DType::F32, &[usize::MAX, 2]).unwrap_err();
        assert!(matches!(error, Error::ShapeTooLarge { .. }));
        assert_eq!(
            error.to_string(),
            format!(
                "shape [{}, 2] has more elements than this machine can address",
                usize::MAX
            )
        );
        assert!(matches!(
            Tensor::zeros(device, DType::F32, &[usize::MAX / 4]).unwrap_err(),
            Error::ShapeTooLarge { .. }
        ));

        let x = Tensor::zeros(device, DType::F32, &[2, 3]).unwrap();
        assert!(matches!(
            x.reshape(&[4]).unwrap_err(),
            Error::ShapeMismatch {
                needed: 4,
                found: 6,
                ..
            }
        ));
        let error = x.rows(1..3).unwrap_err();
        assert!(matches!(&error, Error::RowsOutside { range, .. } if *range == (1..3)));
        assert_eq!(
            error.to_string(),
            "rows 1..3 are outside a tensor of shape [2, 3]"
        );
        assert!(x.reshape(&[6]).unwrap().rows(6..6).unwrap().is_empty());
        let scalar = Tensor::zeros(device, DType::F32, &[]).unwrap();
        assert!(matches!(
            scalar.rows(0..0).unwrap_err(),
            Error::RowsOutside { .. }
        ));
    })
    .await;
}

#[everywhere]
async fn tensors_can_use_the_hosts_buffers() {
    on_every_gpu(async |gpu, name| {
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST;
        let descriptor = wgpu::BufferDescriptor {
            label: None,
            size: 44,
            usage,
            mapped_at_creation: false,
        };
        let buffer = gpu.device().create_buffer(&descriptor);
        let values = varied(11);
        gpu.queue()
            .write_buffer(&buffer, 0, bytemuck::cast_slice(&values));
        let mut x = Tensor::from_buffer(gpu, buffer.clone(), 8, DType::F32, &[3, 3]).unwrap();
        assert_eq!(x.to_vec::<f32>().await.unwrap(), values[2..]);
        Elu::new(1.0).forward_in_place(&mut x).unwrap();
        let all = Tensor::from_buffer(gpu, buffer.clone(), 0, DType::F32, &[11])
            .unwrap()
            .to_vec::<f32>()
            .await;
        let all = all.unwrap();
        assert_eq!(all[..2], values[..2], "{name}: a neighbour has changed");
        assert_eq!(
            all[2..],
            x.to_vec::<f32>().await.unwrap(),
            "{name}: the host's buffer and the tensor differ"
        );

        let short = Tensor::from_buffer(gpu, buffer.clone(), 8, DType::F32, &[10]).unwrap_err();
        assert!(matches!(
            short,
            Error::ShapeMismatch {
                needed: 10,
                found: 9,
                ..
            }
        ));
        assert!(matches!(
            Tensor::from_buffer(gpu, buffer, 6, DType::F32, &[1]).unwrap_err(),
            Error::Misaligned { offset: 6, .. }
        ));
    })
    .await;
}

#[test]
fn a_hosts_buffer_that_is_mapped_is_refused() {
    native::on_every_gpu(|gpu, name| {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let descriptor = wgpu::BufferDescriptor {
            label: None,
            size: 16,
            usage,
            mapped_at_creation: true,
        };
        let buffer = gpu.device().create_buffer(&descriptor);
        let mut x = Tensor::from_buffer(gpu, buffer.clone(), 0, DType::F32, &[4]).unwrap();
        let refused = |error: Error, work: &str| {
            assert!(
                matches!(&error, Error::Refused { what, .. } if what == work),
                "{name}: {error}"
            );
        };
        refused(Elu::default().forward(&x).unwrap_err(), "the work");
        refused(
            Elu::default().forward_in_place(&mut x).unwrap_err(),
            "the work",
        );
        refused(x.to_vec_blocking::<f32>().unwrap_err(), "a copy");
        buffer.unmap();
        assert_eq!(
            Elu::default()
                .forward(&x)
                .unwrap()
                .to_vec_blocking::<f32>()
                .unwrap(),
            [0.0; 4],
            "{name}"
        );
    });
}

/// wgpu can distinguish the buffers of two devices only if the devices are from one instance. GL devices do not share
/// an instance, so the test skips them.
#[test]
fn a_buffer_of_another_device_is_refused() {
    native::on_every_gpu(|gpu, name| {
        if gpu.info().backend == wgpu::Backend::Gl {
            native::announce(&format!(
                "SKIPPED: buffers of another device on {name} (GL devices do not share an instance)"
            ));
            return;
        }
        let adapter = native::adapter_of(gpu);
        let [one, other] = [(); 2].map(|()| {
            let device = pollster::block_on(Device::from_adapter(&adapter)).unwrap();
            native::gpu(device)
        });
        let fill = |gpu: &Gpu, value: f32| {
            let device = Device::from(gpu.clone());
            Tensor::from_slice(&device, &[value; 4], &[4]).unwrap()
        };
        let (sevens, others) = (fill(&one, 7.0), fill(&other, 42.0));
        let foreign = others.as_buffer_slice().unwrap().buffer().clone();
        let wrong = Tensor::from_buffer(&one, foreign.clone(), 0, DType::F32, &[4]).unwrap();
        let kernel = one.kernel(DType::F32).unwrap();
        let errors = [
            wrong.to_vec_blocking::<f32>().map(drop),
            Elu::default().forward(&wrong).map(drop),
            kernel.prepare_in_place(1.0, foreign.slice(..)).map(drop),
        ];
        for error in errors {
            let error = error.unwrap_err();
            assert!(matches!(error, Error::Refused { .. }), "{name}: {error}");
        }
        assert_eq!(sevens.to_vec_blocking::<f32>().unwrap(), [7.0; 4], "{name}");
        assert_eq!(
            others.to_vec_blocking::<f32>().unwrap(),
            [42.0; 4],
            "{name}"
        );
    });
}

#[test]
fn an_offset_past_the_end_of_a_buffer_is_refused() {
    let gpu = noop(wgpu::Limits::default());
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 16,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let tensor = |offset, shape: &[usize]| {
        Tensor::from_buffer(&gpu, buffer.clone(), offset, DType::F32, shape)
    };
    for shape in [&[0][..], &[1], &[3, 0]] {
        for offset in [20, u64::MAX - 3] {
            let error = tensor(offset, shape).unwrap_err();
            assert!(matches!(error, Error::OffsetOutside { found: 16, .. }));
            let text = format!("offset {offset} is past the end of a buffer of 16 bytes");
            assert_eq!(error.to_string(), text);
        }
    }
    let error = tensor(16, &[1]).unwrap_err();
    assert_eq!(error.to_string(), "shape [1] needs 1 elements, found 0");
    let error = tensor(2, &[0]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the tensor must start and end at a multiple of 4 bytes, found offset 2 and size 0"
    );
    assert!(tensor(16, &[0]).unwrap().is_empty());
}

#[test]
fn exhausted_memory_is_an_error() {
    let error = Tensor::zeros(&Device::Cpu, DType::F32, &[1 << 60]).unwrap_err();
    assert!(matches!(error, Error::OutOfMemory { .. }));
    assert_eq!(
        error.to_string(),
        "out of memory for a tensor of 4611686018427387904 bytes"
    );
}

#[test]
fn a_tensor_larger_than_the_largest_buffer_is_refused() {
    native::on_every_gpu(|gpu, _| {
        let small = with_limits(gpu, |limits| wgpu::Limits {
            max_buffer_size: 1 << 16,
            ..limits
        });
        let device = Device::Gpu(small);
        let error = Tensor::zeros(&device, DType::F32, &[20_000]).unwrap_err();
        assert!(matches!(
            error,
            Error::Limit {
                limit: "max_buffer_size",
                needed: 80_000,
                found: 65_536
            }
        ));
        assert_eq!(
            error.to_string(),
            "the device's limit max_buffer_size is 65536, needed at least 80000"
        );
        assert!(
            Tensor::zeros(&device, DType::F32, &[16_384]).is_ok(),
            "the device does not work after an error"
        );
    });
}

#[test]
fn whole_words_of_a_tensor_must_fit_in_a_buffer() {
    native::on_every_gpu(|gpu, _| {
        let small = with_limits(gpu, |limits| wgpu::Limits {
            max_buffer_size: (1 << 16) + 2,
            ..limits
        });
        let half_of_the_last_word = [(1 << 15) + 1];
        let error = Tensor::zeros(&Device::Gpu(small), DType::F16, &half_of_the_last_word);
        assert_eq!(
            error.unwrap_err().to_string(),
            "the device's limit max_buffer_size is 65538, needed at least 65540"
        );
    });
}

#[test]
fn an_unknown_adapter_name_is_an_error_that_lists_the_adapters() {
    let error = Device::named_blocking("Voodoo 2").unwrap_err();
    let Error::NoAdapter { wanted, found } = &error else {
        panic!("{error}")
    };
    assert_eq!(wanted, "adapter named \"Voodoo 2\"");
    let list = if found.is_empty() {
        "there are no adapters".to_owned()
    } else {
        format!("the adapters are {}", found.join(", "))
    };
    assert_eq!(
        error.to_string(),
        format!("found no adapter named \"Voodoo 2\"; {list}")
    );
    for gpu in gpus() {
        assert!(
            found.iter().any(|name| name.starts_with(&gpu.info().name)),
            "{error}"
        );
        let named = Device::named_blocking(&gpu.info().name.to_uppercase()).unwrap();
        assert_eq!(self::gpu(named).info().name, gpu.info().name);
    }
}

#[test]
fn auto_selects_no_software_adapter() {
    let device = Device::auto_blocking().unwrap();
    match &device {
        Device::Cpu => assert!(
            gpus()
                .iter()
                .all(|gpu| gpu.info().device_type == wgpu::DeviceType::Cpu)
        ),
        Device::Gpu(gpu) => assert_ne!(gpu.info().device_type, wgpu::DeviceType::Cpu),
    }
}

/// Without a driver, kernels do nothing, but everything else works.
#[test]
fn tensors_work_without_a_driver() {
    let device = Device::Gpu(noop(wgpu::Limits::default()));
    let values = varied(1001);
    let mut x = Tensor::from_slice(&device, &values, &[7, 143]).unwrap();
    assert_eq!(x.to_vec_blocking::<f32>().unwrap(), values);
    assert_eq!(
        x.rows(2..3).unwrap().to_vec_blocking::<f32>().unwrap(),
        values[286..429]
    );
    assert_eq!(Elu::new(0.5).forward(&x).unwrap().shape(), [7, 143]);
    Elu::new(0.5).forward_in_place(&mut x).unwrap();
    device.wait_blocking().unwrap();
    assert_eq!(device, device.clone());
    assert_ne!(device, Device::Gpu(noop(wgpu::Limits::default())));
}

#[test]
fn public_types_can_cross_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Device>();
    check::<Gpu>();
    check::<Tensor>();
    check::<Elu>();
    check::<Kernel>();
    check::<Step>();
    check::<Stream>();
    check::<Error>();
}
