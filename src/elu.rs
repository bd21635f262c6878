//! ELU over tensors, on whichever device they live.

use crate::{cpu, device::Device, dtype::DType, error::Result, kernel, tensor::Tensor};

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
        match x.dtype() {
            DType::F32 => match (x.as_slice(), y.as_mut_slice()) {
                (Some(x), Some(y)) => cpu::forward(self.alpha, x, y)?,
                _ => self.submit(x, &y)?,
            },
        }
        Ok(y)
    }

    /// Replaces `x` by its ELU, in the same memory unless other tensors share it: those keep their values.
    ///
    /// # Errors
    ///
    /// As [`Elu::forward`].
    pub fn forward_in_place(&self, x: &mut Tensor) -> Result<()> {
        if x.is_shared() {
            *x = self.forward(x)?;
            return Ok(());
        }
        match x.dtype() {
            DType::F32 => match x.as_mut_slice() {
                Some(x) => cpu::forward_in_place(self.alpha, x),
                None => self.submit(x, x)?,
            },
        }
        Ok(())
    }
}

// ---- Internals ----

impl Elu {
    /// The embed contract's three calls, in an encoder of our own. Both tensors are on the same GPU.
    fn submit(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        if let (Device::Gpu(gpu), Some(x_bytes), Some(y_bytes)) =
            (x.device(), x.as_buffer_slice(), y.as_buffer_slice())
        {
            gpu.check_alive()?;
            let step = gpu
                .kernel(x.dtype())?
                .prepare(self.alpha, x_bytes, y_bytes)?;
            // A host's buffer may be mapped or destroyed.
            kernel::checked(gpu.device(), "the work", || {
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
            .map_err(|error| gpu.lost_or(error))?;
        }
        Ok(())
    }
}
