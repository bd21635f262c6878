//! Random inputs.

/// Returns the number of a random sequence with this index, from -2.5 to 1.5. The sequence is `SplitMix64` by Steele, Lea
/// and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, which visits every 64-bit number.
pub fn random_input(index: u64) -> f64 {
    let z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    let bits = z ^ z >> 31;
    (bits >> 11) as f64 * 2f64.powi(-51) - 2.5
}

/// Returns the first numbers of the sequence of [`random_input`], rounded to float32.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the numbers are rounded to float32"
)]
pub fn random_inputs(len: usize) -> Vec<f32> {
    (0..len as u64).map(|i| random_input(i) as f32).collect()
}
