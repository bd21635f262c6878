//! Keras' activity regularizer as a step: every workgroup sums a stretch of the elements, the next ones sum those sums, till a
//! last one has the result.

use std::{ops::Range, sync::OnceLock};

use super::{
    Kernel, Ready, Step, binding, check_limit, check_slice, label, layout,
    plan::{Bounds, VECTOR, WORD, small},
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
    /// step, of about 8 bytes for every 64 KiB of `y`.
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
        let [even_size, odd_size] = plan.scratch;
        let even = self.scratch(&format!("{}.even", variant.label), even_size)?;
        let odd = self.scratch(&format!("{}.odd", variant.label), odd_size)?;
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
        let overlap = !input.is_empty() && input.start < output.end && output.start < input.end;
        if overlap && y.buffer() == out.buffer() {
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
        let label = label("penalty", self.dtype);
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
        let found = self.device.limits().max_buffer_size;
        check_room("max_buffer_size", size, found)?;
        let descriptor = wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        };
        let what = format!("a buffer of {size} bytes");
        checked(&self.device, &what, || {
            self.device.create_buffer(&descriptor)
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
    for size in scratch {
        check_room("max_storage_buffer_binding_size", size, bounds.max_binding)?;
    }
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
    u64::from(bounds.shape.workgroup_size) * u64::from(source::vectors_per_invocation(bounds.shape))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shader::Shape;

    /// What each sum is of, as elements from the first on, by the way the shaders count. `None` is a sum that is not there.
    fn run(plan: &Plan, start: u64, dtype: DType, bounds: &Bounds) -> Vec<u64> {
        let (element, sum) = (dtype.size() as u64, source::sum_size(dtype) as u64);
        let lanes = VECTOR / element;
        let mut scratch = plan
            .scratch
            .map(|bytes| vec![None::<Vec<u64>>; usize::try_from(bytes / sum).unwrap()]);
        for dispatch in &plan.dispatches {
            let Params {
                first,
                count,
                to,
                groups_per_row,
                begin,
                end,
                ..
            } = dispatch.params;
            let [first, count, to] = [first, count, to].map(u64::from);
            let (range, [begin, end]) = (&dispatch.from.1, [begin, end].map(u64::from));
            assert_eq!(range.start % bounds.alignment, 0);
            assert!(!range.is_empty() && range.end - range.start <= bounds.max_binding);
            assert_eq!(groups_per_row, dispatch.groups[0]);
            assert!((1..=bounds.max_groups).contains(&dispatch.groups[0]));
            assert!((1..=bounds.max_groups).contains(&dispatch.groups[1]));
            let groups = u64::from(dispatch.groups[0]) * u64::from(dispatch.groups[1]);
            // From an element within the binding to one from the first on.
            let element_at = |i: u64| {
                let byte = range.start + i * element;
                assert!(byte + element <= range.end, "outside the binding");
                (byte - start) / element
            };
            let per_group = match dispatch.entry {
                Entry::Vectors => vectors_per_group(bounds),
                Entry::Elements => {
                    let vectors = [first.wrapping_sub(1), first + count];
                    let all = vectors.into_iter().flat_map(|vector| {
                        (0..lanes).map(move |lane| vector.wrapping_mul(lanes).wrapping_add(lane))
                    });
                    let inside = all.filter(|i| (begin..end).contains(i));
                    let elements = inside.map(element_at).collect();
                    let [even, _] = &mut scratch;
                    let before = even[usize::try_from(to).unwrap()].replace(elements);
                    assert!(before.is_none());
                    continue;
                }
                Entry::Sums | Entry::Last => {
                    let size = u64::from(bounds.shape.workgroup_size);
                    size * u64::from(source::SUMS_PER_INVOCATION)
                }
            };
            let mut results = Vec::new();
            for group in (0..groups).filter(|group| group * per_group < count) {
                let items = group * per_group..count.min((group + 1) * per_group);
                let mut elements = Vec::new();
                for i in items {
                    match dispatch.entry {
                        Entry::Vectors => elements
                            .extend((0..lanes).map(|lane| element_at((first + i) * lanes + lane))),
                        _ => {
                            let from = &mut scratch[usize::from(dispatch.from.0 == Place::Odd)];
                            let at = usize::try_from(first + i).unwrap();
                            elements.extend(from[at].take().expect("there is no such sum"));
                        }
                    }
                }
                results.push((to + group, elements));
            }
            match dispatch.to.0 {
                Place::Output => {
                    let elements = results.pop().map(|(_, elements)| elements);
                    let mut left = scratch.iter().flatten().flatten();
                    assert!(results.is_empty() && left.next().is_none(), "sums are left");
                    return elements.unwrap_or_default();
                }
                place => {
                    for (to, elements) in results {
                        assert!((to + 1) * sum <= dispatch.to.1.end, "outside the binding");
                        let into = &mut scratch[usize::from(place == Place::Odd)];
                        let before = into[usize::try_from(to).unwrap()].replace(elements);
                        assert!(before.is_none(), "a sum is overwritten");
                    }
                }
            }
        }
        panic!("there is no result");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn every_element_is_summed_once(
            dtype in prop::sample::select(DType::ALL.to_vec()),
            first in 0u64..300,
            len in prop_oneof![0u64..100, 0u64..40_000],
            out in 0u64..1000,
            alignment in prop::sample::select(vec![16u64, 256]),
            max_binding in prop::sample::select(vec![1u64 << 13, 1 << 27]),
            max_groups in prop::sample::select(vec![1u32, 2, 7, 65_535]),
            workgroup_size in prop::sample::select(vec![1u32, 3, 8, 64]),
            vectors_per_invocation in prop::sample::select(vec![1u32, 4]),
        ) {
            let shape = Shape { workgroup_size, vectors_per_invocation };
            let bounds = Bounds { alignment, max_binding, max_groups, shape };
            let start = first * dtype.size() as u64;
            let out = out * source::result_dtype(dtype).size() as u64;
            let plan = match plan(start, len, out, dtype, &bounds) {
                Ok(plan) => plan,
                Err(error) => {
                    let Error::Limit { needed, found, .. } = error else { panic!("{error}") };
                    prop_assert!(needed > found && workgroup_size == 1, "many sums");
                    return Ok(());
                }
            };
            let last = plan.dispatches.last().unwrap();
            let size = source::result_dtype(dtype).size() as u64;
            let bytes = &last.to.1;
            prop_assert_eq!(bytes.start + u64::from(last.params.to) * size, out);
            prop_assert_eq!(bytes.end, out + size);
            let mut summed = run(&plan, start, dtype, &bounds);
            summed.sort_unstable();
            prop_assert_eq!(summed, (0..len).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_longest_run_does_not_overflow() {
        let bounds = Bounds {
            alignment: 256,
            max_binding: u64::from(u32::MAX) / WORD * WORD,
            max_groups: 65_535,
            shape: Shape::HARDWARE,
        };
        for (dtype, start) in [(DType::F16, 2), (DType::F32, 12), (DType::F64, 0)] {
            let size = dtype.size() as u64;
            let len = (1 << 35) / size; // 32 GiB
            let plan = plan(start, len, 0, dtype, &bounds).unwrap();
            let mut done = 0;
            for Dispatch { entry, params, .. } in &plan.dispatches {
                let lanes = VECTOR / size;
                done += match entry {
                    Entry::Vectors => u64::from(params.count) * lanes,
                    Entry::Elements => {
                        let (begin, end) = (u64::from(params.begin), u64::from(params.end));
                        end - begin - u64::from(params.count) * lanes
                    }
                    _ => 0,
                };
            }
            assert_eq!(done, len);
            assert!(plan.scratch[0] < 9 << 20, "{:?}", plan.scratch);
        }
    }

    #[test]
    fn what_no_binding_holds_is_an_error() {
        let bounds = Bounds {
            alignment: 256,
            max_binding: 128,
            max_groups: 65_535,
            shape: Shape::SOFTWARE,
        };
        let needed = |start, out| match plan(start, 1, out, DType::F32, &bounds) {
            Err(Error::Limit { needed, found, .. }) => (needed, found),
            plan => panic!("{plan:?}"),
        };
        assert_eq!(needed(132, 0), (136, 128));
        assert_eq!(needed(0, 132), (136, 128));
    }
}
