//! The inputs for the elementwise operations.

use wgpu_elu::{DType, Op};

use wgpu_elu::accuracy::{Extent, Judge, Sample, bits};

/// Returns values of `x` and incoming gradients, as bits. Their number is a multiple of 8.
pub(crate) fn inputs(judge: Judge) -> (Vec<u64>, Vec<u64>) {
    let Judge { op, dtype, elu } = judge;
    let factors = elu.factors();
    let mut x = match dtype {
        DType::F64 => inputs_64(),
        DType::F32 => inputs_32(),
        _ => (0..1 << 16).collect(),
    };
    if op == Op::BackwardFromOutput {
        // Outputs near the smallest one, -alpha * scale, where the slope is a small difference of large numbers.
        let negative = factors.alpha() * factors.scale();
        let parts = (0..2000).map(|i| 1.0 - 0.5f64.powf(f64::from(i) / 40.0));
        x.extend(parts.map(|part| bits(dtype, -negative * part)));
    }
    x.resize(x.len().next_multiple_of(8), bits(dtype, -1.0));
    let grad = (0..x.len() as u64).map(|i| gradient(judge, i)).collect();
    (x, grad)
}

/// Returns the sample that `elu check` uses for factors outside its table.
pub(crate) fn inputs_of_check(judge: Judge) -> (Vec<u64>, Vec<u64>) {
    let sample = Sample::new(judge, Extent::Few);
    // Repeats the first pairs until the number is a multiple of 8.
    let indices = (0..sample.len().next_multiple_of(8)).map(|i| i % sample.len());
    indices.map(|i| sample.pair(i)).unzip()
}

/// Scatters indices evenly over the 64-bit numbers: returns `i` times the golden ratio, as a fraction of 2^64.
pub(crate) fn scattered(i: u64) -> u64 {
    i.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Returns a gradient of moderate size or, for half of the indices, an arbitrary bit pattern.
fn gradient(judge: Judge, i: u64) -> u64 {
    let dtype = judge.dtype;
    let pattern = scattered(i) >> (64 - 8 * dtype.size());
    if i % 2 == 1 {
        return pattern;
    }
    let sizes = [1.0, -0.731_058_6, 1234.567, -1e-3, 1e-10, -1e10];
    let grad = sizes[(i / 2 % 6) as usize] * (1.0 + (pattern % 1009) as f64 / 1009.0);
    bits(dtype, grad)
}

/// Returns numbers on both sides of -n ln 2 / 2 for every positive n below `end`. The range reduction changes its
/// multiple of ln 2 there.
fn boundaries(dtype: DType, end: i32) -> impl Iterator<Item = u64> {
    (1..end).flat_map(move |n| {
        let boundary = bits(dtype, f64::from(-n) * std::f64::consts::LN_2 / 2.0);
        boundary - 4..=boundary + 4
    })
}

fn inputs_32() -> Vec<u64> {
    let dense = (0xb180_0000..0xc2d0_0000).step_by(2903); // -2^-28 to -104
    let below = (0xc2d0_0000..0xc380_0000).step_by(997); // -104 to -256
    let sparse = (0..1u64 << 32).step_by(65_537);
    dense
        .chain(below)
        .chain(boundaries(DType::F32, 320))
        .chain(sparse)
        .collect()
}

fn inputs_64() -> Vec<u64> {
    let between = |first: f64, last: f64, count: u64| {
        let [first, last] = [first, last].map(f64::to_bits);
        (0..count).map(move |i| first + (last - first) / count * i + scattered(i) % 1000)
    };
    between(-0.5f64.powi(60), -40.0, 6000)
        .chain(between(-40.0, -800.0, 2000))
        .chain(between(-0.345, -0.3466, 1000)) // just above -ln 2 / 2, where errors are largest
        .chain(boundaries(DType::F64, 100))
        .chain((0..4000).map(scattered))
        .chain((0..200).map(|i| scattered(i) >> 12 | 1 << 63)) // subnormal
        .collect()
}
