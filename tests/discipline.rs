//! Checks that every shader follows the rules that make its results independent of the driver's compiler. A compiler
//! may contract `a * b + c`, regroup sums and products, drop a conversion to another type and back, assume that no
//! value is NaN, and flush subnormals. It cannot change integers, or values behind a barrier. The module `check` lists
//! the rules.

mod body;
mod check;

use crate::shader::capabilities;
use wgpu_elu::{
    DType, Op, Rounding,
    shader::{Shared, function, penalty, source},
};

pub(crate) use check::violations;

#[test]
fn every_shader_follows_the_rules() {
    let mut found = Vec::new();
    for dtype in DType::ALL {
        let mut shaders = vec![
            (format!("{dtype} penalty"), penalty::source(dtype)),
            (format!("{dtype} function"), function(dtype)),
        ];
        for op in Op::ALL {
            for (x, grad) in [(false, false), (false, true), (true, false), (true, true)] {
                let shared = Shared { x, grad };
                for rounding in [Rounding::Faithful, Rounding::Nearest] {
                    let name = format!("{dtype} {} {rounding} {shared:?}", op.name());
                    let source = source(dtype, op, rounding, shared).ok();
                    shaders.extend(source.map(|source| (name, source)));
                }
            }
        }
        for (name, source) in shaders {
            let violations = violations(&source, capabilities(dtype));
            found.extend(
                violations
                    .iter()
                    .map(|violation| format!("{name}: {violation}")),
            );
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Checks earlier shaders, whose results are accurate only if no compiler rearranges their operations.
#[test]
fn shaders_that_break_the_rules_are_found() {
    let assert_found = |found: &[String], start: &str| {
        let is_found = found.iter().any(|violation| violation.starts_with(start));
        assert!(is_found, "{start}: {found:#?}");
    };
    let backward = include_str!("data/hostile/old/float32.backward-from-output.wgsl");
    let found = violations(backward, capabilities(DType::F32));
    assert_found(&found, "op: raw add: `lost = opaque(y - part, zero) + ");

    let backward = include_str!("data/hostile/old/float32.backward.wgsl");
    let found = violations(backward, capabilities(DType::F32));
    assert_found(&found, "product: raw multiply: ");

    let forward = include_str!("data/hostile/old/float64.forward.wgsl");
    let found = violations(forward, capabilities(DType::F64));
    assert_found(&found, "op: raw multiply: `t = x * f.input_scale`");
    assert_found(&found, "opaque: float select: `select(v, vec2(0.0lf), ");
}

/// The WGSL that comes before each function of `PLANTED`.
const PRELUDE: &str = "
    alias Floats = vec4<f32>;
    alias Words = vec4<u32>;

    struct Two { high: Floats, low: Floats }
    struct Params { zero: u32, scale: f32, k: f64, l: f64 }
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read_write> sums: array<Two>;

    fn barrier(v: Floats, zero: u32) -> Floats { return bitcast<Floats>(bitcast<Words>(v) ^ Words(zero)); }
    fn barrier_scalar(v: f32, zero: u32) -> f32 { return bitcast<f32>(bitcast<u32>(v) ^ zero); }
    fn barrier_pair(v: vec2<f64>, zero: u32) -> vec2<f64> {
        return bitcast<vec2<f64>>(bitcast<vec2<u64>>(v) ^ vec2(u64(zero)));
    }
    fn add(a: Floats, b: Floats, zero: u32) -> Floats { return barrier(a + b, zero); }
    fn subtract(a: Floats, b: Floats, zero: u32) -> Floats { let less = a - b; return barrier(less, zero); }
    fn two_sum(a: Floats, b: Floats, zero: u32) -> Two {
        let sum = add(a, b, zero);
        let part = subtract(sum, a, zero);
        let rest = subtract(a, subtract(sum, part, zero), zero);
        return Two(sum, add(rest, subtract(b, part, zero), zero));
    }
    fn any_order_poly(r: Floats) -> Floats {
        var q = Floats(0.5);
        q = fma(q, r, Floats(0.25));
        q = q * r + Floats(0.125);
        return q;
    }
    fn any_order_both(r: Floats, zero: u32) -> Two {
        let even = any_order_poly(-r) + barrier(any_order_poly(r), zero);
        return Two(even, even * 0.5);
    }
    const HALF = 0.5;
    fn half_of_low(r: Floats, zero: u32) -> Floats {
        let both = any_order_both(r, zero);
        return barrier(fma(barrier(both.low, zero), Floats(-HALF), r), zero);
    }
";

/// The message for a kind of violation, a function with this violation, and a similar function without it.
const PLANTED: [(&str, &str, &str); 33] = [
    (
        "raw add: `a + b` is used in `a + b - a`",
        "fn planted(a: Floats, b: Floats, zero: u32) -> Floats { return barrier(a + b - a, zero); }",
        "fn planted(a: Floats, b: Floats, zero: u32) -> Floats { return barrier(barrier(a + b, zero) - a, zero); }",
    ),
    (
        "raw multiply: `product = a * b` is used in `product + c`",
        "fn planted(a: Floats, b: Floats, c: Floats, zero: u32) -> Floats { let product = a * b; return barrier(product + c, zero); }",
        "fn planted(a: Floats, b: Floats, c: Floats, zero: u32) -> Floats { let product = a * b; return barrier(barrier(product, zero) + c, zero); }",
    ),
    (
        "raw negate: `-a` is used in `fma(b, c, -a)`",
        "fn planted(a: Floats, b: Floats, c: Floats, zero: u32) -> Floats { return barrier(fma(b, c, -a), zero); }",
        "fn planted(a: Floats, b: Floats, c: Floats, zero: u32) -> Floats { return barrier(fma(b, c, barrier(-a, zero)), zero); }",
    ),
    (
        "raw conversion: `f32(n)` is used in `f32(n) * a`",
        "fn planted(n: i32, a: f32, zero: u32) -> f32 { return barrier_scalar(f32(n) * a, zero); }",
        "fn planted(n: i32, a: f32, zero: u32) -> f32 { return barrier_scalar(barrier_scalar(f32(n), zero) * a, zero); }",
    ),
    (
        "raw conversion: `vec2<f32>(a)` is used in `vec2<f64>(vec2<f32>(a))`",
        "fn planted(a: vec2<f64>, zero: u32) -> vec2<f64> { return barrier_pair(vec2<f64>(vec2<f32>(a)), zero); }",
        "fn planted(a: vec2<f32>, zero: u32) -> vec2<f64> { return barrier_pair(vec2<f64>(vec2<f32>(a)), zero); }",
    ),
    (
        "raw conversion: `i32(a)` is used in `i32(a) + 1`",
        "fn planted(a: f32) -> i32 { return i32(a) + 1; }",
        "fn planted(a: f32) -> i32 { return bitcast<i32>(a) + 1; }",
    ),
    (
        "raw round: `round(a)` is returned",
        "fn planted(a: Floats) -> Floats { return round(a); }",
        "fn planted(a: Floats, zero: u32) -> Floats { return barrier(round(a), zero); }",
    ),
    (
        "raw fma: `fma(a, a, b)` is passed to `add`",
        "fn planted(a: Floats, b: Floats, zero: u32) -> Floats { return add(a, fma(a, a, b), zero); }",
        "fn planted(a: Floats, b: Floats, zero: u32) -> Floats { return add(a, barrier(fma(a, a, b), zero), zero); }",
    ),
    (
        "raw add: `sum = a + b` is used in `sum * a`",
        "fn planted(a: Floats, b: Floats, zero: u32) -> Floats {
            let sum = a + b;
            let hidden = barrier(sum, zero);
            let product = barrier(sum * a, zero);
            return barrier(hidden - product, zero);
        }",
        "fn planted(a: Floats, b: Floats, zero: u32) -> Floats {
            let sum = a + b;
            let hidden = barrier(sum, zero);
            let product = barrier(hidden * a, zero);
            return barrier(hidden - product, zero);
        }",
    ),
    (
        "raw add: `a + b` is returned",
        "fn planted(a: f32, b: f32, zero: u32) -> f32 {
            let both = vec4(vec2(a + b), a, b).wzyx;
            let hidden = barrier(both, zero);
            return both.z;
        }",
        "fn planted(a: f32, b: f32, zero: u32) -> f32 {
            let both = vec4(vec2(a + b), a, b).wzyx;
            let hidden = barrier(both, zero);
            return hidden.z;
        }",
    ),
    (
        "raw add: `a + b` is returned",
        "fn planted(a: Floats, b: Floats) -> Two { return Two(a + b, b); }",
        "fn planted(a: Floats, b: Floats, zero: u32) -> Two { return Two(barrier(a + b, zero), b); }",
    ),
    (
        "float variable: `sum`",
        "fn planted(a: Floats, zero: u32) -> Floats {
            var sum = a;
            for (var i = 0; i < 4; i++) { sum = barrier(sum + a, zero); }
            return sum;
        }",
        "fn planted(a: Floats, zero: u32) -> Floats { return barrier(a + a, zero); }",
    ),
    (
        "raw add: `a + sum.high` is stored in `sum`",
        "fn planted(a: Floats, i: u32) -> Two {
            var sum = Two();
            if i < 4u { sum.high = a + sum.high; }
            return sum;
        }",
        "fn planted(a: Floats, i: u32, zero: u32) -> Two {
            if i < 4u { return sums[i]; }
            return Two(barrier(a + sums[i].high, zero), a);
        }",
    ),
    (
        "raw multiply: `a * params.scale` is stored in `sums`",
        "fn planted(a: Floats, i: u32) { sums[i].low = a * params.scale; }",
        "fn planted(a: Floats, i: u32) { sums[i].low = barrier(a * params.scale, params.zero); }",
    ),
    (
        "raw any_order result: `any_order_poly(a)` is used in `any_order_poly(a) * b`",
        "fn planted(a: Floats, b: Floats, zero: u32) -> Floats { return barrier(any_order_poly(a) * b, zero); }",
        "fn planted(a: Floats, b: Floats, zero: u32) -> Floats { return barrier(barrier(any_order_poly(a), zero) * b, zero); }",
    ),
    (
        "raw multiply: `a * a` is passed to `any_order_poly`",
        "fn planted(a: Floats, zero: u32) -> Floats { return barrier(any_order_poly(a * a), zero); }",
        "fn planted(a: Floats, zero: u32) -> Floats { return barrier(any_order_poly(barrier(a * a, zero)), zero); }",
    ),
    (
        "float comparison: `a < 1.0`",
        "fn any_order_planted(a: f32) -> f32 { if a < 1.0 { return a * a; } return a + a; }",
        "fn any_order_planted(a: f32, b: u32) -> f32 { if b < 1 { return a * a; } return a + a; }",
    ),
    (
        "raw add: `a + 8.0` is bitcast in `bitcast<u32>(a + 8.0)`",
        "fn any_order_planted(a: f32) -> f32 { return bitcast<f32>(bitcast<u32>(a + 8.0) << 23u); }",
        "fn any_order_planted(a: f32, zero: u32) -> f32 {
            return bitcast<f32>(bitcast<u32>(barrier_scalar(a + 8.0, zero)) << 23u);
        }",
    ),
    (
        "any_order call: `add`",
        "fn any_order_planted(a: Floats, zero: u32) -> Floats { return add(a, a, zero); }",
        "fn any_order_planted(a: Floats, zero: u32) -> Floats { return barrier(a + a, zero); }",
    ),
    (
        "any_order store: `sums`",
        "fn any_order_planted(a: Floats) { sums[0] = Two(a * a, a); }",
        "fn any_order_planted(a: Floats) -> Two { var both = Two(); both.high = a * a; return both; }",
    ),
    (
        "float comparison: `a == Floats(0.0)`",
        "fn planted(a: Floats) -> vec4<bool> { return a == Floats(0.0); }",
        "fn planted(a: Floats) -> vec4<bool> { return bitcast<Words>(a) << Words(1u) == Words(0u); }",
    ),
    (
        "float comparison: `bool(a)`",
        "fn planted(a: f32) -> bool { return bool(a); }",
        "fn planted(a: f32) -> bool { return bool(bitcast<u32>(a)); }",
    ),
    (
        "float select: `select(a, b, true_or_false)`",
        "fn planted(a: Floats, b: Floats, true_or_false: bool) -> Floats { return select(a, b, true_or_false); }",
        "fn planted(a: Floats, b: Floats, true_or_false: bool) -> Floats {
            return bitcast<Floats>(select(bitcast<Words>(a), bitcast<Words>(b), true_or_false));
        }",
    ),
    (
        "float max: `max(a, b)`",
        "fn planted(a: Floats, b: Floats, zero: u32) -> Floats { return barrier(max(a, b), zero); }",
        "fn planted(a: Floats, b: Floats) -> Floats { return bitcast<Floats>(max(bitcast<Words>(a), bitcast<Words>(b))); }",
    ),
    (
        "float abs: `abs(a)`",
        "fn any_order_planted(a: Floats) -> Floats { return abs(a); }",
        "fn planted(a: Floats) -> Floats { return bitcast<Floats>(bitcast<Words>(a) & Words(0x7fffffffu)); }",
    ),
    (
        "barrier body",
        "fn barrier_planted(v: Floats, zero: u32) -> Floats { return select(v, Floats(), vec4(zero != 0u)); }",
        "fn barrier_planted(v: Floats, zero: u32) -> Floats {
            return bitcast<Floats>(Words(zero, zero, zero, zero) ^ bitcast<Words>(v));
        }",
    ),
    (
        "constant zero: `0u` for `barrier`",
        "fn planted(a: Floats, b: Floats) -> Floats { return barrier(a + b, 0u); }",
        "fn planted(a: Floats, b: Floats) -> Floats { return barrier(a + b, params.zero); }",
    ),
    (
        "constant zero: `none()` for `two_sum`",
        "fn none() -> u32 { let hidden = params.zero; return 0u; }
        fn planted(a: Floats, b: Floats) -> Two { return two_sum(a, b, none()); }",
        "fn none() -> u32 { let hidden = params.zero; return hidden; }
        fn planted(a: Floats, b: Floats) -> Two { return two_sum(a, b, none()); }",
    ),
    (
        "constant zero: `same(0u)` for `barrier`",
        "fn same(zero: u32) -> u32 { return zero; }
        fn planted(a: Floats, b: Floats) -> Floats { return barrier(a + b, same(0u)); }",
        "fn same() -> u32 { return params.zero; }
        fn planted(a: Floats, b: Floats) -> Floats { return barrier(a + b, same()); }",
    ),
    (
        "constant zero: `zero & 0u` for `barrier`",
        "fn planted(a: Floats, b: Floats, zero: u32) -> Floats { return barrier(a + b, zero & 0u); }",
        "fn planted(a: Floats, b: Floats, zero: u32) -> Floats { return barrier(a + b, zero); }",
    ),
    (
        "constant zero: `zero - zero` for `add`",
        "fn planted(a: Floats, b: Floats, zero: u32) -> Floats { return add(a, b, zero - zero); }",
        "fn planted(a: Floats, b: Floats, zero: u32) -> Floats { return add(a, b, zero); }",
    ),
    (
        "raw add: `a + b` is bitcast in `bitcast<Words>(a + b)`",
        "fn planted(a: Floats, b: Floats) -> Words { return bitcast<Words>(a + b) & Words(0xffu); }",
        "fn planted(a: Floats, b: Floats, zero: u32) -> Words { return bitcast<Words>(barrier(a + b, zero)) & Words(0xffu); }",
    ),
    (
        "raw multiply: `params.k * params.l` is used in `fma(params.k, params.l, params.k * params.l)`",
        "fn planted(zero: u32) -> vec2<f64> { return barrier_pair(vec2(fma(params.k, params.l, params.k * params.l)), zero); }",
        "fn planted(zero: u32) -> vec2<f64> {
            let product = barrier_pair(vec2(params.k * params.l), zero);
            return barrier_pair(fma(vec2(params.k), vec2(params.l), product), zero);
        }",
    ),
];

#[test]
fn planted_violations_are_found() {
    let violations =
        |function| violations(&format!("{PRELUDE}{function}"), capabilities(DType::F64));
    for (expected, planted, good) in PLANTED {
        let found = violations(planted);
        let is_found = found.iter().any(|violation| violation.contains(expected));
        assert!(is_found, "{expected}, in {planted}: {found:#?}");
        // The prelude follows the rules.
        let is_only_planted = found
            .iter()
            .all(|violation| violation.contains("planted: "));
        assert!(is_only_planted, "{planted}: {found:#?}");
        assert_eq!(violations(good), [""; 0], "{good}");
    }
}
