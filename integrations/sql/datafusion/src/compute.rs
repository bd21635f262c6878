//! The functions on Arrow arrays.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, FixedSizeListArray,
        GenericListArray, OffsetSizeTrait, PrimitiveArray, UInt64Array,
    },
    buffer::{Buffer, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer},
    compute::{cast, nullif, take},
    datatypes::{DataType, FieldRef, Float16Type, Float32Type, Float64Type},
};
use datafusion_common::{DataFusionError, Result, exec_err};
use wgpu_elu::{Element, Elu, Op, cpu};

/// Rows that have the same alpha.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    elu: Elu,
    rows: Range<usize>,
}

/// Returns the span of all rows.
pub(crate) fn all_rows(elu: Elu, rows: usize) -> [Span; 1] {
    [Span { elu, rows: 0..rows }]
}

/// Fails if `op` cannot be computed with these factors on elements of this type.
pub(crate) fn check(op: Op, elu: Elu, data_type: &DataType) -> wgpu_elu::Result<()> {
    fn of<E: Element>(op: Op, elu: Elu) -> wgpu_elu::Result<()> {
        let grad: Option<&[E]> = (op != Op::Forward).then_some(&[]);
        cpu::apply(op, elu, &[], grad, &mut [])
    }
    match element_type(data_type) {
        DataType::Float16 => of::<wgpu_elu::half::f16>(op, elu),
        DataType::Float32 => of::<f32>(op, elu),
        _ => of::<f64>(op, elu),
    }
}

/// A call of a function.
pub(crate) struct Call<'a> {
    /// The function's name, for messages.
    pub(crate) name: &'a str,
    pub(crate) op: Op,
}

impl Call<'_> {
    /// Applies the operation to `inputs`: to `x`, or to `x` and `grad`.
    pub(crate) fn apply(&self, spans: &[Span], inputs: Vec<ArrayRef>) -> Result<ArrayRef> {
        let mut inputs = inputs.into_iter();
        match (inputs.next(), inputs.next()) {
            (Some(x), grad) if grad.is_some() == (self.op != Op::Forward) => {
                if let Some(grad) = &grad
                    && (x.data_type(), x.len()) != (grad.data_type(), grad.len())
                {
                    return exec_err!(
                        "{}: grad must have the type and the length of the other argument, needed {} rows of {}, \
                         found {} of {}",
                        self.name,
                        x.len(),
                        x.data_type(),
                        grad.len(),
                        grad.data_type()
                    );
                }
                self.arrays(spans, x, grad)
            }
            _ => exec_err!(
                "{} was called with other arguments than it takes",
                self.name
            ),
        }
    }

    /// Applies the operation with an alpha for each row.
    pub(crate) fn apply_by_row(
        &self,
        elu: impl Fn(Option<f64>) -> Result<Elu>,
        alpha: &ArrayRef,
        inputs: Vec<ArrayRef>,
    ) -> Result<ArrayRef> {
        let alpha = cast(alpha, &DataType::Float64)?;
        let alpha = alpha.as_primitive::<Float64Type>();
        if let Some(x) = inputs.iter().find(|input| input.len() != alpha.len()) {
            return exec_err!(
                "{}: alpha must have a number for each of {} rows, found {}",
                self.name,
                x.len(),
                alpha.len()
            );
        }
        // Where an argument is NULL, the result is NULL, and any alpha will do.
        let null = inputs.iter().fold(alpha.nulls().cloned(), |null, input| {
            // The values of a dictionary may be NULL, too.
            NullBuffer::union(null.as_ref(), input.logical_nulls().as_ref())
        });
        let mut spans: Vec<Span> = vec![];
        for (row, &alpha) in alpha.values().iter().enumerate() {
            if null.as_ref().is_some_and(|null| null.is_null(row)) {
                continue;
            }
            match spans.last_mut() {
                Some(span) if span.elu.alpha().to_bits() == alpha.to_bits() => {
                    span.rows.end = row + 1;
                }
                _ => spans.push(Span {
                    elu: elu(Some(alpha))?,
                    rows: row..row + 1,
                }),
            }
        }
        let y = self.apply(&spans, inputs)?;
        match alpha.nulls() {
            None => Ok(y),
            Some(valid) => Ok(nullif(&y, &BooleanArray::new(!valid.inner(), None))?),
        }
    }

    /// Converts an error of wgpu-elu.
    pub(crate) fn explain<T>(&self, result: wgpu_elu::Result<T>) -> Result<T> {
        result.map_err(|error| DataFusionError::Execution(format!("{}: {error}", self.name)))
    }
}

// ---- Internals ----

/// Returns the type of the numbers in nested lists.
fn element_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            element_type(field.data_type())
        }
        DataType::Dictionary(_, values) => element_type(values),
        other => other,
    }
}

impl Call<'_> {
    /// Applies the operation to arrays of equal type and length.
    fn arrays(&self, spans: &[Span], x: ArrayRef, grad: Option<ArrayRef>) -> Result<ArrayRef> {
        match x.data_type() {
            DataType::Float16 => self.floats::<Float16Type>(spans, x, grad),
            DataType::Float32 => self.floats::<Float32Type>(spans, x, grad),
            DataType::Float64 => self.floats::<Float64Type>(spans, x, grad),
            DataType::List(_) => self.lists::<i32>(spans, x, grad),
            DataType::LargeList(_) => self.lists::<i64>(spans, x, grad),
            DataType::FixedSizeList(..) => self.fixed_size_lists(spans, x, grad),
            DataType::Dictionary(_, values) => match (spans, grad) {
                ([Span { elu, rows }], None) if *rows == (0..x.len()) => {
                    let x = x.as_any_dictionary();
                    let values = all_rows(*elu, x.values().len());
                    let y = self.arrays(&values, x.values().clone(), None)?;
                    Ok(x.with_values(y))
                }
                // Each row has its own result.
                (_, grad) => {
                    let grad = grad.map(|grad| cast(&grad, values)).transpose()?;
                    let y = self.arrays(spans, cast(&x, values)?, grad)?;
                    cast(&y, x.data_type()).or_else(|error| {
                        exec_err!(
                            "{}: the results do not fit in a {} ({error}): cast the argument to {values}",
                            self.name,
                            x.data_type()
                        )
                    })
                }
            },
            other => exec_err!("{} was called with {other}", self.name),
        }
    }

    fn floats<T>(&self, spans: &[Span], x: ArrayRef, grad: Option<ArrayRef>) -> Result<ArrayRef>
    where
        T: ArrowPrimitiveType,
        T::Native: Element,
    {
        // The result takes the place of the last input.
        let (x, last) = match grad {
            None => (None, x),
            Some(grad) => (Some(x), grad),
        };
        let x = x.as_ref().map(|x| x.as_primitive::<T>());
        let (_, values, nulls) = owned(last, |last| last.as_primitive::<T>()).into_parts();
        let nulls = match x {
            None => nulls,
            Some(x) => NullBuffer::union(x.nulls(), nulls.as_ref()),
        };
        let mut values = unshared(values.into_inner());
        let out = values.typed_data_mut::<T::Native>();
        for Span { elu, rows } in spans {
            let x = x.map(|x| &x.values()[rows.clone()]);
            self.explain(cpu::apply_in_place(
                self.op,
                *elu,
                x,
                &mut out[rows.clone()],
            ))?;
        }
        let values = ScalarBuffer::from(Buffer::from(values));
        Ok(Arc::new(PrimitiveArray::<T>::try_new(values, nulls)?))
    }

    fn lists<O: OffsetSizeTrait>(
        &self,
        spans: &[Span],
        x: ArrayRef,
        grad: Option<ArrayRef>,
    ) -> Result<ArrayRef> {
        let (x, grad) = match grad {
            None => (x, None),
            Some(grad) => {
                let (x, grad) = self.equal_lengths::<O>(x, grad)?;
                (x, Some(grad))
            }
        };
        let (field, offsets, x, nulls) = parts_of_list::<O>(x);
        let (grad, nulls) = match grad {
            None => (None, nulls),
            Some(grad) => {
                let (_, _, grad, grad_nulls) = parts_of_list::<O>(grad);
                (
                    Some(grad),
                    NullBuffer::union(nulls.as_ref(), grad_nulls.as_ref()),
                )
            }
        };
        let values: Vec<_> = spans
            .iter()
            .map(|span| Span {
                elu: span.elu,
                rows: offsets[span.rows.start].as_usize()..offsets[span.rows.end].as_usize(),
            })
            .collect();
        let y = self.arrays(&values, x, grad)?;
        let y = GenericListArray::<O>::try_new(field, offsets, y, nulls)?;
        Ok(Arc::new(y))
    }

    fn fixed_size_lists(
        &self,
        spans: &[Span],
        x: ArrayRef,
        grad: Option<ArrayRef>,
    ) -> Result<ArrayRef> {
        let rows = x.len();
        let (x, grad) = match grad {
            Some(grad) if has_lists(x.data_type()) => {
                let (x, grad) = without_null_rows(&x, &grad)?;
                (x, Some(grad))
            }
            grad => (x, grad),
        };
        let (field, size, x, nulls) = owned(x, |x| x.as_fixed_size_list()).into_parts();
        let (grad, nulls) = match grad {
            None => (None, nulls),
            Some(grad) => {
                let (_, _, grad, grad_nulls) =
                    owned(grad, |grad| grad.as_fixed_size_list()).into_parts();
                (
                    Some(grad),
                    NullBuffer::union(nulls.as_ref(), grad_nulls.as_ref()),
                )
            }
        };
        let len = usize::try_from(size).unwrap_or(0); // Arrow's arrays have no negative size
        let values: Vec<_> = spans
            .iter()
            .map(|span| Span {
                elu: span.elu,
                rows: span.rows.start * len..span.rows.end * len,
            })
            .collect();
        let y = self.arrays(&values, x, grad)?;
        let y = FixedSizeListArray::try_new_with_length(field, size, y, nulls, rows)?;
        Ok(Arc::new(y))
    }

    /// Returns lists of equal lengths. Lists of rows that are NULL may differ, since they may contain anything.
    fn equal_lengths<O: OffsetSizeTrait>(
        &self,
        x: ArrayRef,
        grad: ArrayRef,
    ) -> Result<(ArrayRef, ArrayRef)> {
        let difference = |x: &ArrayRef, grad: &ArrayRef| {
            let lengths = |list: &ArrayRef| {
                let offsets = list.as_list::<O>().offsets().clone();
                (0..list.len()).map(move |row| (offsets[row + 1] - offsets[row]).as_usize())
            };
            lengths(x).zip(lengths(grad)).find(|(x, grad)| x != grad)
        };
        if difference(&x, &grad).is_none() && !has_lists(x.as_list::<O>().values().data_type()) {
            return Ok((x, grad));
        }
        let (x, grad) = without_null_rows(&x, &grad)?;
        match difference(&x, &grad) {
            None => Ok((x, grad)),
            Some((x, grad)) => exec_err!(
                "{}: the lists of a row must have the same length, found {x} and {grad}",
                self.name
            ),
        }
    }
}

/// Returns whether values of this type contain lists, whose lengths may differ.
fn has_lists(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(_) | DataType::LargeList(_) => true,
        DataType::FixedSizeList(field, _) => has_lists(field.data_type()),
        _ => false,
    }
}

/// Returns the arrays with NULL in both of them where one of them is NULL. Such a row is an empty list, or has NULL as its
/// elements.
fn without_null_rows(x: &ArrayRef, grad: &ArrayRef) -> Result<(ArrayRef, ArrayRef)> {
    match NullBuffer::union(x.nulls(), grad.nulls()) {
        None => Ok((Arc::clone(x), Arc::clone(grad))),
        valid => {
            let rows = UInt64Array::new((0..x.len() as u64).collect(), valid);
            Ok((take(x, &rows, None)?, take(grad, &rows, None)?))
        }
    }
}

/// Returns the array itself. Its buffers are then shared with nobody, unless they were shared before.
fn owned<A: Clone>(array: ArrayRef, as_concrete: impl Fn(&ArrayRef) -> &A) -> A {
    as_concrete(&array).clone()
}

/// Returns the bytes, or a copy if somebody else uses them.
fn unshared(bytes: Buffer) -> MutableBuffer {
    bytes.into_mutable().unwrap_or_else(|bytes| {
        let mut copy = MutableBuffer::with_capacity(bytes.len());
        copy.extend_from_slice(&bytes);
        copy
    })
}

type ListParts<O> = (FieldRef, OffsetBuffer<O>, ArrayRef, Option<NullBuffer>);

/// Takes a list array apart. The values are those that the offsets refer to, and the first offset is 0: a slice of an
/// array contains all values of the array.
fn parts_of_list<O: OffsetSizeTrait>(list: ArrayRef) -> ListParts<O> {
    let (field, offsets, values, nulls) = owned(list, |list| list.as_list::<O>()).into_parts();
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let (start, end) = (first.as_usize(), last.as_usize());
    if start == 0 && end == values.len() {
        return (field, offsets, values, nulls);
    }
    let offsets = offsets
        .iter()
        .map(|&offset| offset - first)
        .collect::<Vec<_>>();
    (
        field,
        OffsetBuffer::new(offsets.into()),
        values.slice(start, end - start),
        nulls,
    )
}
