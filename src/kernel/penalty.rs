//! Keras' activity regularizer as a step: every workgroup sums a stretch of the elements, the next ones sum those sums, till a
//! last one has the result.

use std::{ops::Range, sync::OnceLock};

use super::{
    Kernel, Ready, Step, binding, check_limit, check_slice, layout,
    plan::{Bounds, VECTOR, WORD},
};
use crate::{
    checked::checked,
    dtype::DType,
    error::{Error, Result},
    factors::Penalty,
    shader::{
        self,
        penalty::{self as source, Params},
    },
};

impl Kernel {
    /// Gets ready to write the sum over all elements of `l1 * |y| + l2 * y^2`, divided by `divisor`, to `out`: Keras' activity
    /// regularizer, see [`Regularizer`](crate::Regularizer). `out` is one `f32`, or `f64` for elements of that, and may lie in
    /// the buffer of `y`, but not within `y`.
    ///
    /// Without elements, or with both factors 0, `out` becomes 0. Sums on the way there go to a buffer that belongs to the
    /// step, of about 8 bytes for every 64 KiB of `y` (on a software adapter, 16 KiB).
    ///
    /// # Errors
    ///
    /// [`Error::RegularizerFactor`] and [`Error::Divisor`]; [`Error::NotOneElement`] and [`Error::OutputWithinInput`]; and, but
    /// for lengths and overlap, [as listed above](Self#errors).
    pub fn prepare_penalty(
        &self,
        l1: f64,
        l2: f64,
        divisor: f64,
        y: wgpu::BufferSlice<'_>,
        out: wgpu::BufferSlice<'_>,
    ) -> Result<Step> {
        let penalty = Penalty::new(l1, l2)?;
        if !(divisor > 0.0 && divisor.is_finite()) {
            return Err(Error::Divisor { found: divisor });
        }
        self.check_output(y, out)?;
        let size = self.dtype.size() as u64;
        let len = if penalty.is_zero() {
            0
        } else {
            y.size() / size
        };
        let plan = plan(y.offset(), len, out.offset(), self.dtype, &self.bounds)?;
        let variant = self.penalty_variant()?;
        let uniform_size = source::uniform_size(self.dtype);
        let stride = self.uniform_stride(uniform_size);
        let mut bytes = vec![0; stride * plan.dispatches.len()];
        for (slot, dispatch) in bytes.chunks_exact_mut(stride).zip(&plan.dispatches) {
            let uniform = source::uniform(self.dtype, &dispatch.params, penalty, divisor);
            slot[..uniform_size].copy_from_slice(&uniform);
        }
        let uniform = self.uniform(&variant.label, &bytes)?;
        let [even, odd] = plan
            .scratch
            .map(|bytes| self.scratch(&variant.label, bytes));
        let (even, odd) = (even?, odd?);
        let buffer = |place| match place {
            Place::Input => y.buffer(),
            Place::Even => &even,
            Place::Odd => &odd,
            Place::Output => out.buffer(),
        };
        let dispatches = plan.dispatches.iter().enumerate().map(|(i, dispatch)| {
            let params = (i * stride) as u64..(i * stride + uniform_size) as u64;
            let ((from, from_bytes), (to, to_bytes)) = (&dispatch.from, &dispatch.to);
            let entries = [
                binding(shader::PARAMS_BINDING, &uniform, &params),
                binding(shader::X_BINDING, buffer(*from), from_bytes),
                binding(shader::Y_BINDING, buffer(*to), to_bytes),
            ];
            Ok(Ready {
                pipeline: self.penalty_pipeline(variant, dispatch.entry)?.clone(),
                bind_group: self.bind_group(&variant.label, &variant.layout, &entries)?,
                groups: dispatch.groups,
            })
        });
        Ok(Step {
            dispatches: dispatches.collect::<Result<_>>()?,
        })
    }
}

// ---- Internals ----

/// What penalties need: made when they are first asked for, and then kept.
#[derive(Debug)]
pub(super) struct Variant {
    label: String,
    layout: wgpu::BindGroupLayout,
    module: OnceLock<wgpu::ShaderModule>,
    /// By [`Entry`].
    pipelines: [OnceLock<wgpu::ComputePipeline>; 4],
}

impl Kernel {
    fn check_output(&self, y: wgpu::BufferSlice<'_>, out: wgpu::BufferSlice<'_>) -> Result<()> {
        let dtype = source::result_dtype(self.dtype);
        check_slice(("y", y), self.dtype.size() as u64)?;
        check_slice(("out", out), dtype.size() as u64)?;
        if out.size() != dtype.size() as u64 {
            return Err(Error::NotOneElement {
                dtype,
                found: out.size(),
            });
        }
        let [input, output] = [y, out].map(|slice| slice.offset()..slice.offset() + slice.size());
        if y.buffer() == out.buffer() && input.start < output.end && output.start < input.end {
            return Err(Error::OutputWithinInput { input, output });
        }
        Ok(())
    }

    fn penalty_variant(&self) -> Result<&Variant> {
        if let Some(variant) = self.penalty.get() {
            return Ok(variant);
        }
        let found = self.device.limits().max_compute_workgroup_storage_size;
        let sum_size = u32::try_from(source::sum_size(self.dtype)).unwrap_or(u32::MAX);
        let needed = self.bounds.shape.workgroup_size.saturating_mul(sum_size);
        check_limit("max_compute_workgroup_storage_size", needed, found)?;
        let label = format!("wgpu_elu.penalty.{}", self.dtype);
        let uniform_size = source::uniform_size(self.dtype);
        let layout = layout(&self.device, &label, uniform_size, &[shader::X_BINDING])?;
        Ok(self.penalty.get_or_init(|| Variant {
            label,
            layout,
            module: OnceLock::new(),
            pipelines: Default::default(),
        }))
    }

    fn penalty_pipeline<'a>(
        &self,
        variant: &'a Variant,
        entry: Entry,
    ) -> Result<&'a wgpu::ComputePipeline> {
        let cell = &variant.pipelines[entry as usize];
        if let Some(pipeline) = cell.get() {
            return Ok(pipeline);
        }
        let Variant {
            label,
            layout,
            module,
            ..
        } = variant;
        let module = self.module(module, label, || source::source(self.dtype))?;
        let constants = source::constants(self.bounds.shape, entry.name());
        let pipeline = self.compile(label, layout, module, entry.name(), &constants)?;
        Ok(cell.get_or_init(|| pipeline))
    }

    fn scratch(&self, label: &str, size: u64) -> Result<wgpu::Buffer> {
        check_room(
            "max_storage_buffer_binding_size",
            size,
            self.bounds.max_binding,
        )?;
        let found = self.device.limits().max_buffer_size;
        check_room("max_buffer_size", size, found)?;
        checked(&self.device, &format!("a buffer of {size} bytes"), || {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        })
    }
}

fn check_room(limit: &'static str, needed: u64, found: u64) -> Result<()> {
    if needed > found {
        return Err(Error::Limit {
            limit,
            needed,
            found,
        });
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Vectors,
    Elements,
    Sums,
    Last,
}

impl Entry {
    fn name(self) -> &'static str {
        match self {
            Self::Vectors => shader::VECTORS,
            Self::Elements => shader::ELEMENTS,
            Self::Sums => source::SUMS,
            Self::Last => source::LAST,
        }
    }
}

/// A buffer. Sums go to one scratch buffer and from there to the other and so on, since WebGPU lets a dispatch use a buffer
/// in one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Input,
    Even,
    Odd,
    Output,
}

/// One dispatch: an entry point over bound ranges of bytes.
#[derive(Clone, Debug)]
struct Dispatch {
    entry: Entry,
    from: (Place, Range<u64>),
    to: (Place, Range<u64>),
    params: Params,
    groups: [u32; 2],
}

#[derive(Debug)]
struct Plan {
    dispatches: Vec<Dispatch>,
    /// Bytes in [`Place::Even`] and [`Place::Odd`].
    scratch: [u64; 2],
}

/// Cuts `len` elements of `dtype` that start at the byte `start`, and the sums of these, and so on, into dispatches, of which
/// the last writes to the byte `out`.
fn plan(start: u64, len: u64, out: u64, dtype: DType, bounds: &Bounds) -> Result<Plan> {
    let (element, sum) = (dtype.size() as u64, source::sum_size(dtype) as u64);
    let group_size = u64::from(bounds.shape.workgroup_size);
    let mut dispatches = Vec::new();
    let mut count = 0;
    let (mut at, mut left) = (start, len);
    while left > 0 {
        let run = Run::at(at, left, element, bounds)?;
        run.dispatch(&mut count, bounds, &mut dispatches);
        at += run.len() * element;
        left -= run.len();
    }
    // At least one: a binding must not be empty.
    let mut scratch = [count.max(1) * sum, sum];
    for dispatch in &mut dispatches {
        dispatch.to.1 = 0..scratch[0];
    }

    let per_group = group_size * u64::from(source::SUMS_PER_INVOCATION);
    let (mut from, mut to) = ((Place::Even, 0..scratch[0]), Place::Odd);
    while count > per_group {
        let after = count.div_ceil(per_group);
        if to == Place::Odd {
            scratch[1] = scratch[1].max(after * sum);
        }
        let to_bytes = 0..after * sum;
        let mut first = 0;
        while first < count {
            let cut = (count - first).min(most_groups(bounds).saturating_mul(per_group));
            let groups = cut.div_ceil(per_group);
            dispatches.push(Dispatch {
                entry: Entry::Sums,
                from: from.clone(),
                to: (to, to_bytes.clone()),
                params: Params {
                    first: small(first),
                    count: small(cut),
                    to: small(first / per_group),
                    ..Params::default()
                },
                groups: folded(groups, bounds),
            });
            first += cut;
        }
        (from, to) = ((to, to_bytes), from.0);
        count = after;
    }
    let base = out - out % bounds.alignment;
    let result = source::result_dtype(dtype).size() as u64;
    let needed = out + result - base;
    check_room(
        "max_storage_buffer_binding_size",
        needed,
        bounds.max_binding,
    )?;
    dispatches.push(Dispatch {
        entry: Entry::Last,
        from,
        to: (Place::Output, base..out + result),
        params: Params {
            count: small(count),
            to: small((out - base) / result),
            ..Params::default()
        },
        groups: [1, 1],
    });
    for dispatch in &mut dispatches {
        dispatch.params.groups_per_row = dispatch.groups[0];
    }
    Ok(Plan {
        dispatches,
        scratch,
    })
}

/// Elements that one binding holds, as bytes, elements or vectors from its start.
struct Run {
    element: u64,
    base: u64,
    begin: u64,
    end: u64,
    first_vector: u64,
    vectors: u64,
}

impl Run {
    /// The first of `left` elements from the byte `start` on.
    fn at(start: u64, left: u64, element: u64, bounds: &Bounds) -> Result<Self> {
        let base = start - start % bounds.alignment;
        let (begin, lanes) = ((start - base) / element, VECTOR / element);
        let room = (bounds.max_binding / element).saturating_sub(begin);
        if room == 0 {
            return Err(Error::Limit {
                limit: "max_storage_buffer_binding_size",
                needed: ((begin + 1) * element).next_multiple_of(WORD),
                found: bounds.max_binding,
            });
        }
        let first_vector = begin.div_ceil(lanes);
        let end = begin + left.min(room);
        let most = most_groups(bounds).saturating_mul(vectors_per_group(bounds));
        let vectors = (end / lanes).saturating_sub(first_vector);
        let cut = vectors > most || (vectors > 0 && left > room);
        let vectors = vectors.min(most);
        Ok(Self {
            element,
            base,
            begin,
            end: if cut {
                (first_vector + vectors) * lanes
            } else {
                end
            },
            first_vector,
            vectors,
        })
    }

    fn len(&self) -> u64 {
        self.end - self.begin
    }

    /// Adds the dispatches for it, after which there are more sums.
    fn dispatch(&self, sums: &mut u64, bounds: &Bounds, dispatches: &mut Vec<Dispatch>) {
        let lanes = VECTOR / self.element;
        let last_vector = self.first_vector + self.vectors;
        let mut push = |entry, bytes, groups| {
            dispatches.push(Dispatch {
                entry,
                from: (Place::Input, self.base..self.base + bytes),
                to: (Place::Even, 0..0),
                params: Params {
                    first: small(self.first_vector),
                    count: small(self.vectors),
                    to: small(*sums),
                    begin: small(self.begin),
                    end: small(self.end),
                    ..Params::default()
                },
                groups: folded(groups, bounds),
            });
            *sums += groups;
        };
        if self.vectors > 0 {
            let groups = self.vectors.div_ceil(vectors_per_group(bounds));
            push(Entry::Vectors, last_vector * VECTOR, groups);
        }
        if self.begin < self.first_vector * lanes || last_vector * lanes < self.end {
            let bytes = (self.end * self.element).next_multiple_of(WORD);
            push(Entry::Elements, bytes, 1);
        }
    }
}

fn vectors_per_group(bounds: &Bounds) -> u64 {
    u64::from(bounds.shape.workgroup_size) * u64::from(source::VECTORS_PER_INVOCATION)
}

/// In one dispatch.
fn most_groups(bounds: &Bounds) -> u64 {
    u64::from(bounds.max_groups).pow(2)
}

/// Workgroups in rows: the last may be too long.
fn folded(groups: u64, bounds: &Bounds) -> [u32; 2] {
    let per_row = groups.min(bounds.max_groups.into());
    [small(per_row), small(groups.div_ceil(per_row))]
}

/// Everything within a binding, which is at most 4 GiB long, is counted in units of at least 2 bytes.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what a binding holds is less than 2^31 elements"
)]
fn small(count: u64) -> u32 {
    count as u32
}
