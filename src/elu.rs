//! ELU over tensors, on whichever device they live.

use crate::{checked::checked, cpu, device::Gpu, dtype::DType, error::Result, tensor::Tensor};

/// The ELU activation: `x` where `x >= 0`, else `alpha * (exp(x) - 1)`.
///
/// ```
/// use wgpu_elu::{Device, Elu, Tensor};
///
/// let mut x = Tensor::from_slice(&Device::Cpu, &[-1.0f32, 2.0], &[2])?;
/// Elu::new(0.5).forward_in_place(&mut x)?;
/// assert_eq!(x.to_vec_blocking::<f32>()?, [-0.31606027, 2.0]);
/// # Ok::<(), wgpu_elu::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Elu {
    alpha: f64,
}

impl Default for Elu {
    /// With `alpha = 1`.
    fn default() -> Self {
        Self { alpha: 1.0 }
    }
}

impl Elu {
    /// ELU with this alpha, which may be any number: zero, negative, infinite and NaN too, which touch negative `x` only.
    pub fn new(alpha: f64) -> Self {
        Self { alpha }
    }

    /// What the negative side tends to, with its sign changed.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// ELU of `x`, in a new tensor on the same device. On a GPU the work is submitted and not waited for.
    ///
    /// # Errors
    ///
    /// On a GPU: as [`Kernel::new`](crate::Kernel::new) and [`Kernel::prepare`](crate::Kernel::prepare),
    /// and [`Error::DeviceLost`](crate::Error::DeviceLost). Everywhere: [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut y = Tensor::zeros(&x.device(), x.dtype(), x.shape())?;
        if let (Some((gpu, x_bytes)), Some((_, y_bytes))) = (x.on_gpu(), y.on_gpu()) {
            self.submit(gpu, x.dtype(), x_bytes, y_bytes)?;
            return Ok(y);
        }
        match x.dtype() {
            DType::F32 => {
                let (x, y) = (x.as_slice().unwrap_or_default(), y.as_mut_slice());
                cpu::forward(self.alpha, x, y.unwrap_or_default())?;
            }
        }
        Ok(y)
    }

    /// Replaces `x` by its ELU, in the same memory unless other tensors share it: those keep their values.
    ///
    /// # Errors
    ///
    /// As [`Elu::forward`].
    pub fn forward_in_place(&self, x: &mut Tensor) -> Result<()> {
        if !x.is_shared() {
            if let Some((gpu, bytes)) = x.on_gpu() {
                return self.submit(gpu, x.dtype(), bytes, bytes);
            }
            match x.dtype() {
                DType::F32 => {
                    if let Some(values) = x.as_mut_slice() {
                        cpu::forward_in_place(self.alpha, values);
                        return Ok(());
                    }
                }
            }
        }
        *x = self.forward(x)?;
        Ok(())
    }
}

// ---- Internals ----

impl Elu {
    /// The embed contract's three calls, in an encoder of our own.
    fn submit(
        &self,
        gpu: &Gpu,
        dtype: DType,
        x: wgpu::BufferSlice<'_>,
        y: wgpu::BufferSlice<'_>,
    ) -> Result<()> {
        gpu.check_alive()?;
        let step = gpu.kernel(dtype)?.prepare(self.alpha, x, y)?;
        // A host's buffer may be mapped or destroyed.
        checked(gpu.device(), "the work", || {
            let label = Some("wgpu_elu.forward");
            let mut encoder = gpu
                .device()
                .create_command_encoder(&wgpu::CommandEncoderDescriptor { label });
            step.record(
                &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label,
                    timestamp_writes: None,
                }),
            );
            gpu.queue().submit([encoder.finish()]);
        })
        .map_err(|error| gpu.lost_or(error))
    }
}
