//! ELU on tensors of burn's wgpu runtime, on the thread on which burn works with the device.

use burn::backend::TensorMetadata;
use burn_cubecl::{
    cubecl::{
        prelude::KernelId,
        server::{BufferBinding, ServerError, ServerStorage},
        wgpu::WgpuResource,
    },
    ops::numeric::empty_device_contiguous_dtype,
    tensor::CubeTensor,
};
use cubecl_environment::{backtrace::BackTrace, stream::StreamId};
use cubecl_server::{
    storage::ManagedResource,
    stream::{ExecuteScope, WriteScoped},
};
use wgpu_elu::{Elu, Gpu, Kernel, Op, wgpu};

use crate::{
    error::Error,
    layout::dense,
    registry::{self, Server},
};

/// Applies `op` to `x` and, if it takes one, to the incoming gradient.
///
/// Like burn's own kernels, this neither waits nor fails. If the work fails, the result carries the error, and burn
/// returns the error to whoever reads the result, or what is computed from it.
pub(crate) fn apply(op: Op, elu: Elu, x: CubeTensor, grad: Option<CubeTensor>) -> CubeTensor {
    if x.shape().num_elements() == 0 {
        return x;
    }
    let (x, grad) = dense(x, grad);
    let output = output(&x, grad.as_ref());
    let work = Work {
        kernel: registry::kernel(&x.device, x.dtype),
        op,
        elu,
        bytes: (x.shape().num_elements() * x.dtype.size()) as u64,
        x: x.handle.binding(),
        grad: grad.map(|grad| grad.handle.binding()),
        output: output.handle.clone().binding(),
    };
    registry::server(&output.device).submit(move |server| work.run(server));
    output
}

// ---- Internals ----

/// Returns a tensor for the result: the incoming gradient or `x` if burn says that nobody else uses it, else a new one.
fn output(x: &CubeTensor, grad: Option<&CubeTensor>) -> CubeTensor {
    let in_place = grad.into_iter().chain([x]).find(|tensor| tensor.can_mut());
    in_place.cloned().unwrap_or_else(|| {
        let (client, device) = (x.client.clone(), x.device.clone());
        let mut output = empty_device_contiguous_dtype(client, device, x.shape(), x.dtype);
        output.meta = x.meta.clone(); // the elements in the order of `x`
        output
    })
}

/// One operation, with everything that it needs on the device's thread.
struct Work {
    kernel: Result<(Gpu, Kernel), Error>,
    op: Op,
    elu: Elu,
    /// The size of each tensor.
    bytes: u64,
    // Bindings keep their memory from being reused, moved or freed.
    x: BufferBinding,
    grad: Option<BufferBinding>,
    output: BufferBinding,
}

impl Work {
    /// Does the work. If it fails, the output carries the error.
    fn run(self, server: &mut Server) {
        let stream = StreamId::current();
        // Before the scope, in which the output counts as not written.
        let buffers = self.buffers(server, stream);
        let reads = [Some(&self.x), self.grad.as_ref()].into_iter().flatten();
        let written = vec![self.output.clone()];
        let scope =
            ExecuteScope::launching(server, KernelId::new::<Self>(), stream, reads, written);
        // The outcome is reported to whoever reads the output.
        let _outcome = scope.execute(|server| {
            let buffers = buffers?;
            if server
                .capturing(stream)
                .is_some_and(|capture| capture.is_recording())
            {
                return Err(server_error(&Error::Recording));
            }
            self.submit(&buffers).map_err(|error| server_error(&error))
        });
    }

    /// Returns the buffers of the tensors: `x`, the output, and the incoming gradient, if there is one.
    ///
    /// This also submits what is pending on the streams of the tensors and on the current stream, so that the work that
    /// computes the inputs comes first (cubecl-wgpu-0.11.3/src/compute/server.rs, `fn get_resource`).
    fn buffers(
        &self,
        server: &mut Server,
        stream: StreamId,
    ) -> Result<Vec<ManagedResource<WgpuResource>>, ServerError> {
        let bindings = [Some(&self.x), Some(&self.output), self.grad.as_ref()];
        let bindings = bindings.into_iter().flatten().cloned();
        bindings
            .map(|binding| server.get_resource(binding, stream))
            .collect()
    }

    /// Records and submits the operation. Later work of burn is submitted later, to the same queue.
    fn submit(&self, buffers: &[ManagedResource<WgpuResource>]) -> Result<(), Error> {
        let (gpu, kernel) = self.kernel.as_ref().map_err(Clone::clone)?;
        let mut slices = buffers.iter().map(|buffer| {
            let resource = buffer.resource();
            resource
                .buffer
                .slice(resource.offset..resource.offset + self.bytes)
        });
        let (Some(x), Some(output)) = (slices.next(), slices.next()) else {
            return Ok(()); // `buffers` always has these two
        };
        let step = kernel.prepare_op(self.op, self.elu, x, slices.next(), output)?;
        let mut encoder = gpu
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor {
                label: Some("wgpu_elu.burn"),
            });
        step.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
        gpu.queue().submit([encoder.finish()]);
        Ok(())
    }
}

fn server_error(error: &Error) -> ServerError {
    ServerError::Generic {
        reason: error.to_string(),
        backtrace: BackTrace::capture(),
    }
}

#[cfg(test)]
mod tests;
