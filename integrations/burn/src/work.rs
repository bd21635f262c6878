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
/// Like burn's own kernels, this neither waits nor fails. If the work fails, the result carries the error: reading the
/// result, or anything computed from it, returns the error.
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
    registry::server(&output.client).submit(move |server| work.run(server));
    output
}

// ---- Internals ----

/// Returns a tensor for the result: the incoming gradient or `x`, if burn says that nothing else uses it, or a new one.
fn output(x: &CubeTensor, grad: Option<&CubeTensor>) -> CubeTensor {
    let mut inputs = grad.into_iter().chain([x]);
    let in_place = inputs.find(|tensor| tensor.can_mut() && tensor.dtype == x.dtype);
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
        // Not in the scope below: in it the output counts as unwritten, and burn refuses its buffer.
        let buffers = self.buffers(server, stream);
        let reads = [Some(&self.x), self.grad.as_ref()].into_iter().flatten();
        let written = vec![self.output.clone()];
        let scope =
            ExecuteScope::launching(server, KernelId::new::<Self>(), stream, reads, written);
        // The output carries a failure, so it is reported there.
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

    /// Submits what is pending on every stream, and returns the buffers of the tensors.
    ///
    /// The pending work computes the inputs, or still reads memory that the output takes: a thread may have dropped a
    /// tensor that its pending work reads, so that burn says that nothing else uses it.
    fn buffers(&self, server: &mut Server, stream: StreamId) -> Result<Buffers, ServerError> {
        server.write_streams().flush_all();
        let mut buffer = |binding: &BufferBinding| server.get_resource(binding.clone(), stream);
        Ok(Buffers {
            x: buffer(&self.x)?,
            grad: self.grad.as_ref().map(&mut buffer).transpose()?,
            output: buffer(&self.output)?,
        })
    }

    /// Records and submits the operation. Later work of burn is submitted later, to the same queue.
    fn submit(&self, buffers: &Buffers) -> Result<(), Error> {
        let (gpu, kernel) = self.kernel.as_ref().map_err(Clone::clone)?;
        let [x, output] = [&buffers.x, &buffers.output].map(|buffer| self.slice(buffer));
        let grad = buffers.grad.as_ref().map(|buffer| self.slice(buffer));
        let step = kernel.prepare_op(self.op, self.elu, x, grad, output)?;
        let mut encoder = gpu
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor {
                label: Some("wgpu_elu.burn"),
            });
        step.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
        gpu.queue().submit([encoder.finish()]);
        Ok(())
    }

    fn slice<'a>(&self, buffer: &'a Buffer) -> wgpu::BufferSlice<'a> {
        let resource = buffer.resource();
        resource
            .buffer
            .slice(resource.offset..resource.offset + self.bytes)
    }
}

type Buffer = ManagedResource<WgpuResource>;

/// The buffers of one operation.
struct Buffers {
    x: Buffer,
    grad: Option<Buffer>,
    output: Buffer,
}

fn server_error(error: &Error) -> ServerError {
    ServerError::Generic {
        reason: error.to_string(),
        backtrace: BackTrace::capture(),
    }
}

#[cfg(test)]
mod tests;
