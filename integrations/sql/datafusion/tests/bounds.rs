use arrow::{
    array::AsArray,
    compute::SortOptions,
    datatypes::{DataType, Float32Type, Float64Type},
};
use datafusion_common::ScalarValue;
use datafusion_expr::{
    interval_arithmetic::Interval,
    sort_properties::{ExprProperties, SortProperties},
};

use crate::support::{array, call, f32s, f64s, function};

fn interval(lower: Option<f32>, upper: Option<f32>) -> Interval {
    Interval::try_new(ScalarValue::Float32(lower), ScalarValue::Float32(upper)).unwrap()
}

fn alpha(least: f64, greatest: f64) -> Interval {
    let [least, greatest] = [least, greatest].map(|alpha| ScalarValue::Float64(Some(alpha)));
    Interval::try_new(least, greatest).unwrap()
}

#[track_caller]
fn bounds(name: &str, inputs: &[&Interval]) -> [Option<f32>; 2] {
    let bounds = function(name).evaluate_bounds(inputs).unwrap();
    let end = |end: &ScalarValue| match end {
        ScalarValue::Float32(end) => *end,
        other => panic!("{other:?}"),
    };
    [end(bounds.lower()), end(bounds.upper())]
}

#[test]
fn results_within_1_ulp_widen_the_bounds() {
    let all = interval(None, None);
    assert_eq!(bounds("elu", &[&all]), [Some(-1.0000001), None]);
    assert_eq!(bounds("elu_nearest", &[&all]), [Some(-1.0), None]);
    let half = alpha(0.5, 0.5);
    assert_eq!(bounds("elu_nearest", &[&all, &half]), [Some(-0.5), None]);
    // Where x >= 0, the result is x itself.
    let positive = interval(Some(0.0), Some(2.0));
    assert_eq!(bounds("elu", &[&positive]), [Some(0.0), Some(2.0)]);
    let across = interval(Some(-1.0), Some(2.0));
    let y = -0.63212055f32;
    assert_eq!(bounds("elu", &[&across]), [Some(y.next_down()), Some(2.0)]);
}

#[test]
fn a_negative_alpha_turns_at_zero() {
    let across = interval(Some(-1.0), Some(0.1));
    let minus = alpha(-1.0, -1.0);
    assert_eq!(
        bounds("elu_nearest", &[&across, &minus]),
        [Some(0.0), Some(0.63212055)]
    );
    let both = alpha(-1.0, 1.0);
    assert_eq!(
        bounds("elu_nearest", &[&across, &both]),
        [Some(-0.63212055), Some(0.63212055)]
    );
}

/// Ranges of the numbers from -400 / 37 to 400 / 37. The numbers 400 and 401 are -0 and 0.
const RANGES: [(usize, usize); 8] = [
    (0, 801),
    (0, 400),
    (0, 401),
    (100, 300),
    (390, 410),
    (401, 402),
    (500, 501),
    (7, 7),
];

#[test]
fn bounds_contain_every_result() {
    let mut x: Vec<f32> = (-400..=400i16).map(|i| f32::from(i) / 37.0).collect();
    x.insert(400, -0.0);
    for (name, alphas) in [
        ("elu", vec![-2.0, 0.0, 0.5, 1.0, 3.0]),
        ("elu_nearest", vec![-2.0, 0.5]),
        ("celu", vec![0.25, 1.0, 3.0]),
    ] {
        for &value in &alphas {
            let y = array(call!(name, f32s(x.clone()), value));
            let y = y.as_primitive::<Float32Type>().values();
            for (from, to) in RANGES {
                let x = interval(Some(x[from]), Some(x[to]));
                let [least, greatest] = bounds(name, &[&x, &alpha(value, value)]);
                for y in &y[from..=to] {
                    let fits = least.is_none_or(|least| least.total_cmp(y).is_le())
                        && greatest.is_none_or(|greatest| y.total_cmp(&greatest).is_le());
                    assert!(fits, "{name}({x}, {value})");
                }
            }
        }
    }
}

#[test]
fn bounds_contain_every_double() {
    let mut x: Vec<f64> = (-400..=400i16).map(|i| f64::from(i) / 37.0).collect();
    x.insert(400, -0.0);
    for (name, alphas) in [
        (
            "elu",
            vec![Some(-2.0), Some(0.0), Some(0.5), Some(1.0), Some(3.0)],
        ),
        ("elu_nearest", vec![Some(-2.0), Some(0.5)]),
        ("celu", vec![Some(0.25), Some(1.0), Some(3.0)]),
        ("selu", vec![None]),
    ] {
        for value in alphas {
            let y = array(match value {
                Some(value) => call!(name, f64s(x.clone()), value),
                None => call!(name, f64s(x.clone())),
            });
            let y = y.as_primitive::<Float64Type>().values();
            for (from, to) in RANGES {
                let range = alpha(x[from], x[to]);
                let value = value.map(|value| alpha(value, value));
                let inputs: Vec<_> = [&range].into_iter().chain(&value).collect();
                let bounds = function(name).evaluate_bounds(&inputs).unwrap();
                let (ScalarValue::Float64(least), ScalarValue::Float64(greatest)) =
                    (bounds.lower(), bounds.upper())
                else {
                    panic!("{bounds}");
                };
                for y in &y[from..=to] {
                    let fits = least.is_none_or(|least| least.total_cmp(y).is_le())
                        && greatest.is_none_or(|greatest| y.total_cmp(&greatest).is_le());
                    assert!(fits, "{name}({range}, {value:?})");
                }
            }
        }
    }
}

#[test]
fn a_zero_at_an_end_includes_the_other_zero() {
    let bits = |ends: [Option<f32>; 2]| ends.map(|end| end.map(f32::to_bits));
    let [minus, plus] = [Some((-0f32).to_bits()), Some(0f32.to_bits())];
    for x in [
        interval(Some(0.0), Some(0.0)),
        interval(Some(-0.0), Some(-0.0)),
    ] {
        assert_eq!(bits(bounds("elu", &[&x])), [minus, plus]);
    }
    // An alpha of -0 turns negative x into 0, and -0 stays.
    let x = interval(Some(-1.0), Some(-0.0));
    let found = bounds("elu_nearest", &[&x, &alpha(-0.0, -0.0)]);
    assert_eq!(bits(found), [minus, plus]);
}

#[test]
fn what_is_not_known_is_unbounded() {
    let x = interval(Some(0.0), Some(1.0));
    let unknown = Interval::make_unbounded(&DataType::Float64).unwrap();
    assert_eq!(bounds("elu", &[&x, &unknown]), [None, None]);
    assert_eq!(bounds("celu", &[&x, &alpha(0.0, 1.0)]), [None, None]);
    assert_eq!(bounds("elu_backward", &[&x, &x]), [None, None]);
    let list = DataType::new_list(DataType::Float32, true);
    let lists = Interval::make_unbounded(&list).unwrap();
    let bounds = function("elu").evaluate_bounds(&[&lists]).unwrap();
    assert_eq!(bounds, lists);
}

const ASCENDING: SortProperties = SortProperties::Ordered(SortOptions {
    descending: false,
    nulls_first: true,
});

fn order(name: &str, inputs: &[(SortProperties, Interval)]) -> SortProperties {
    let inputs: Vec<_> = inputs
        .iter()
        .map(|(sort_properties, range)| ExprProperties {
            sort_properties: *sort_properties,
            range: range.clone(),
            preserves_lex_ordering: false,
            strictly_order_preserving: false,
        })
        .collect();
    function(name).output_ordering(&inputs).unwrap()
}

#[test]
fn only_nearest_results_keep_the_order() {
    let x = || (ASCENDING, interval(None, None));
    let literal = |value: f64| (SortProperties::Singleton, alpha(value, value));
    assert_eq!(order("elu_nearest", &[x()]), ASCENDING);
    assert_eq!(order("selu_nearest", &[x()]), ASCENDING);
    assert_eq!(order("elu_nearest", &[x(), literal(0.5)]), ASCENDING);
    assert_eq!(order("celu_nearest", &[x(), literal(0.5)]), ASCENDING);
    let unordered = SortProperties::Unordered;
    for (name, inputs) in [
        ("elu", vec![x()]),
        ("elu_nearest", vec![x(), literal(-0.5)]),
        ("elu_nearest", vec![x(), literal(-0.0)]),
        ("elu_nearest", vec![x(), literal(f64::NAN)]),
        ("elu_nearest", vec![x(), (unordered, alpha(1.0, 2.0))]),
        ("elu_nearest", vec![x(), (ASCENDING, alpha(1.0, 2.0))]),
        ("elu_nearest", vec![(unordered, interval(None, None))]),
        ("elu_backward_nearest", vec![x(), x()]),
    ] {
        assert_eq!(order(name, &inputs), unordered, "{name}");
    }
    let list = DataType::new_list(DataType::Float32, true);
    let lists = Interval::make_unbounded(&list).unwrap();
    assert_eq!(order("elu_nearest", &[(ASCENDING, lists)]), unordered);
    let constants = [
        (SortProperties::Singleton, interval(Some(1.0), Some(1.0))),
        literal(-1.0),
    ];
    assert_eq!(order("elu", &constants), SortProperties::Singleton);
}

/// SQL sorts floats by their bits: -NaN, -infinity, ..., -0, 0, ..., infinity, NaN.
#[test]
fn nearest_results_are_in_the_order_that_sql_sorts_by() {
    let mut x: Vec<f32> = (0..=u16::MAX)
        .map(|high| f32::from_bits(u32::from(high) << 16))
        .collect();
    x.extend([f32::NAN, -f32::NAN, -f32::from_bits(1), f32::from_bits(1)]);
    x.sort_by(f32::total_cmp);
    for (name, alpha) in [
        ("elu_nearest", Some(1.0)),
        ("elu_nearest", Some(0.0)),
        ("elu_nearest", Some(1e-30)),
        ("elu_nearest", Some(1e30)),
        ("celu_nearest", Some(0.25)),
        ("celu_nearest", Some(4.0)),
        ("selu_nearest", None),
    ] {
        let y = array(match alpha {
            Some(alpha) => call!(name, f32s(x.clone()), alpha),
            None => call!(name, f32s(x.clone())),
        });
        let y = y.as_primitive::<Float32Type>().values();
        assert!(
            y.is_sorted_by(|a, b| a.total_cmp(b).is_le()),
            "{name}, {alpha:?}"
        );
    }
}
