//! The clock rate of the CPU.

use std::{hint::black_box, time::Instant};

/// Returns the time of one clock cycle of the current core in seconds: one sample, which takes about 10 microseconds.
/// Cores change their rate with load and temperature, so take it next to what it is compared with.
///
/// It times a chain of operations that take one cycle each and need the result of the previous one: additions and XORs
/// of integers, on every CPU of the last 20 years. (Agner Fog, "Instruction tables", agner.org/optimize, for x86; Arm's
/// "Software Optimization Guides" for its cores.)
pub fn seconds_per_clock() -> f64 {
    const PAIRS: u32 = 1 << 14;
    let (mut value, operand) = (black_box(1usize), black_box(0x9e37_79b9));
    let start = Instant::now();
    for _ in 0..PAIRS {
        // The two alternate, so that the compiler cannot combine them over several iterations.
        value = (value ^ operand).wrapping_add(operand);
    }
    black_box(value);
    start.elapsed().as_secs_f64() / f64::from(2 * PAIRS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_rate_is_possible() {
        // The best of several samples, because other processes can interrupt one.
        let cycle = (0..20)
            .map(|_| seconds_per_clock())
            .fold(f64::INFINITY, f64::min);
        // 20 MHz to 20 GHz. Builds without optimization need several cycles for an operation.
        assert!((0.05e-9..50e-9).contains(&cycle), "{cycle}");
    }
}
