//! What DataFusion's planner may assume about results: their range and their order.

use std::ops::Neg;

use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{
    interval_arithmetic::Interval,
    sort_properties::{ExprProperties, SortProperties},
};
use wgpu_elu::{Element, Rounding, cpu};

use crate::function::Kind;

/// Returns an interval that contains every result for inputs in these intervals. NaN is outside every interval.
///
/// The functions of one column are monotone on either side of 0, and in alpha. So the extremes are at the ends of the
/// intervals or at 0.
pub(crate) fn bounds(kind: Kind, rounding: Rounding, inputs: &[&Interval]) -> Result<Interval> {
    let data_type = inputs
        .first()
        .map_or(DataType::Null, |interval| interval.data_type());
    if !kind.has_grad()
        && let [x, alpha @ ..] = inputs
        && let Some(alphas) = alphas(alpha)
    {
        let ends = match (x.lower(), x.upper()) {
            (ScalarValue::Float32(lower), ScalarValue::Float32(upper)) => {
                let x = [
                    lower.unwrap_or(f32::NEG_INFINITY),
                    upper.unwrap_or(f32::INFINITY),
                ];
                let ends = ends(kind, rounding, &alphas, x, f32::next_down, f32::next_up);
                ends.map(|ends| ends.map(|end| ScalarValue::Float32(Some(end))))
            }
            (ScalarValue::Float64(lower), ScalarValue::Float64(upper)) => {
                let x = [
                    lower.unwrap_or(f64::NEG_INFINITY),
                    upper.unwrap_or(f64::INFINITY),
                ];
                // The results at the ends and those between them may each be 2 ULP off.
                let down = |y| (0..4).fold(y, |y, _| f64::next_down(y));
                let up = |y| (0..4).fold(y, |y, _| f64::next_up(y));
                let ends = ends(kind, rounding, &alphas, x, down, up);
                ends.map(|ends| ends.map(|end| ScalarValue::Float64(Some(end))))
            }
            _ => None,
        };
        if let Some([lower, upper]) = ends {
            return Interval::try_new(lower, upper);
        }
    }
    Interval::make_unbounded(&data_type)
}

/// Returns the order of results. Only nearest results have the order of `x`, because results within 1 ULP may be the
/// number just below the result of a smaller `x`; and only if alpha is not negative. An alpha of -0 turns negative `x`
/// into 0, which SQL sorts behind the -0 that stays.
pub(crate) fn ordering(
    kind: Kind,
    rounding: Rounding,
    inputs: &[ExprProperties],
) -> SortProperties {
    let is_constant = |input: &ExprProperties| input.sort_properties == SortProperties::Singleton;
    if inputs.iter().all(is_constant) {
        return SortProperties::Singleton;
    }
    let [x, alpha @ ..] = inputs else {
        return SortProperties::Unordered;
    };
    let intervals: Vec<_> = alpha.iter().map(|alpha| &alpha.range).collect();
    let alpha_is_not_negative =
        alphas(&intervals).is_some_and(|[least, _]| least >= 0.0 && least.is_sign_positive());
    let is_ordered = rounding == Rounding::Nearest
        && !kind.has_grad()
        && x.range.data_type().is_floating()
        && alpha.iter().all(is_constant)
        && alpha_is_not_negative;
    match is_ordered {
        true => x.sort_properties,
        false => SortProperties::Unordered,
    }
}

// ---- Internals ----

/// Returns the least and the greatest alpha, unless one of them is unknown.
fn alphas(intervals: &[&Interval]) -> Option<[f64; 2]> {
    match intervals {
        [] => Some([1.0, 1.0]), // the default, or SELU's, which its constants contain
        [alpha] => match (alpha.lower(), alpha.upper()) {
            (ScalarValue::Float64(Some(least)), ScalarValue::Float64(Some(greatest))) => {
                Some([*least, *greatest])
            }
            _ => None,
        },
        _ => None,
    }
}

/// Returns the least and the greatest result for `x` between these numbers. A zero is the one that contains both zeros,
/// because DataFusion compares by `total_cmp`, in which -0 is less than 0.
fn ends<E: Element + PartialOrd + From<i8> + Neg<Output = E>>(
    kind: Kind,
    rounding: Rounding,
    alphas: &[f64; 2],
    x: [E; 2],
    down: impl Fn(E) -> E,
    up: impl Fn(E) -> E,
) -> Option<[E; 2]> {
    let zero = E::from(0);
    let x = match x {
        [lower, upper] if lower < zero && upper > zero => vec![lower, zero, upper],
        x => x.to_vec(),
    };
    let mut results: Option<[E; 2]> = None;
    for &alpha in alphas {
        let elu = kind.elu(Some(alpha), rounding).ok()?;
        let mut y = x.clone();
        cpu::forward_in_place(elu, &mut y);
        for (&x, &y) in x.iter().zip(&y) {
            // Results for x >= 0 are x itself, except those of SELU.
            let is_exact = rounding == Rounding::Nearest || (x >= zero && kind != Kind::Selu);
            let [low, high] = if is_exact { [y, y] } else { [down(y), up(y)] };
            results = match results {
                None => Some([low, high]),
                Some([least, greatest]) => Some([
                    if low < least { low } else { least },
                    if high > greatest { high } else { greatest },
                ]),
            };
        }
    }
    let [least, greatest] = results.filter(|[least, greatest]| least <= greatest)?; // not if a result is NaN
    Some([
        if least == zero { -zero } else { least },
        if greatest == zero { zero } else { greatest },
    ])
}
