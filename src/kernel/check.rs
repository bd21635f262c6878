//! Checks of the slices that a host passes and of the limits of its device.

use super::plan::WORD;
use crate::{
    error::{Error, Result, Role},
    shader,
};

/// Fails unless the device can run a compute shader with two storage buffers and a uniform buffer.
pub(super) fn check_device(limits: &wgpu::Limits) -> Result<()> {
    for (limit, found) in [
        (
            "max_compute_invocations_per_workgroup",
            limits.max_compute_invocations_per_workgroup,
        ),
        (
            "max_compute_workgroup_size_x",
            limits.max_compute_workgroup_size_x,
        ),
        (
            "max_compute_workgroups_per_dimension",
            limits.max_compute_workgroups_per_dimension,
        ),
        (
            "max_uniform_buffers_per_shader_stage",
            limits.max_uniform_buffers_per_shader_stage,
        ),
    ] {
        check_limit(limit, 1u32, found)?;
    }
    check_bindings(limits, 2)
}

/// Fails unless the device can bind this number of storage buffers and the uniform buffer.
pub(super) fn check_bindings(limits: &wgpu::Limits, storage_buffers: usize) -> Result<()> {
    let needed = u32::try_from(storage_buffers).unwrap_or(u32::MAX);
    let found = limits.max_storage_buffers_per_shader_stage;
    check_limit("max_storage_buffers_per_shader_stage", needed, found)?;
    // This limit applies to the largest binding number plus one.
    let found = limits.max_bindings_per_bind_group;
    check_limit("max_bindings_per_bind_group", shader::Y_BINDING + 1, found)
}

/// Fails if a limit of the device is smaller than needed.
pub(super) fn check_limit(
    limit: &'static str,
    needed: impl Into<u64>,
    found: impl Into<u64>,
) -> Result<()> {
    let (needed, found) = (needed.into(), found.into());
    if found < needed {
        return Err(Error::Limit {
            limit,
            needed,
            found,
        });
    }
    Ok(())
}

/// Fails unless the offset and size of the slice are multiples of `element` bytes, and its buffer has the usage
/// `STORAGE` and contains the slice's last word completely.
pub(super) fn check_slice(role: Role, slice: wgpu::BufferSlice<'_>, element: u64) -> Result<()> {
    let (offset, size) = (slice.offset(), slice.size());
    if offset % element != 0 || size % element != 0 {
        return Err(Error::Misaligned {
            role,
            needed: element,
            offset,
            size,
        });
    }
    check_usage(role, slice.buffer(), wgpu::BufferUsages::STORAGE)?;
    let (needed, found) = (
        (offset + size).next_multiple_of(WORD),
        slice.buffer().size(),
    );
    if needed > found {
        return Err(Error::PartialWord {
            role,
            needed,
            found,
        });
    }
    Ok(())
}

/// Fails unless the buffer was created with this usage.
pub(crate) fn check_usage(
    role: Role,
    buffer: &wgpu::Buffer,
    needed: wgpu::BufferUsages,
) -> Result<()> {
    let found = buffer.usage();
    match (needed - found).iter_names().next() {
        None => Ok(()),
        Some((needed, _)) => Err(Error::MissingUsage {
            role,
            needed,
            found: names(found),
        }),
    }
}

/// Returns whether an input must be bound together with the output because both lie in the same buffer. Fails if they
/// overlap there without being the same slice.
pub(super) fn shares(
    role: Role,
    slice: wgpu::BufferSlice<'_>,
    output: wgpu::BufferSlice<'_>,
) -> Result<bool> {
    let bytes_of = |slice: wgpu::BufferSlice<'_>| slice.offset()..slice.offset() + slice.size();
    let (bytes, output_bytes) = (bytes_of(slice), bytes_of(output));
    if slice.buffer() != output.buffer() {
        Ok(false)
    } else if bytes == output_bytes
        || bytes.end <= output_bytes.start
        || output_bytes.end <= bytes.start
    {
        Ok(true)
    } else {
        Err(Error::Overlap {
            role,
            bytes,
            output: output_bytes,
        })
    }
}

// ---- Internals ----

fn names(usages: wgpu::BufferUsages) -> String {
    let names: Vec<&str> = usages.iter_names().map(|(name, _)| name).collect();
    if names.is_empty() {
        return "none".into();
    }
    names.join(" | ")
}
