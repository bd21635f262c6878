//! Copies on the CPU, which are the ceiling for the speed of the CPU path.

use std::hint::black_box;

use rayon::prelude::*;
use wgpu_elu::{Element, cpu};

/// A way to copy on the CPU. Which one is faster depends on the machine and the size, so measure both and take the
/// faster one. On some virtual machines, `memcpy` takes five times as long as the loop for a few sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuCopy {
    /// The C library's `memcpy`.
    Memcpy,
    /// A loop of vector instructions: XOR with a zero that the compiler does not know.
    Loop,
}

impl CpuCopy {
    /// All ways to copy.
    pub const ALL: [Self; 2] = [Self::Memcpy, Self::Loop];

    /// Returns the name for tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memcpy => "memcpy",
            Self::Loop => "copy_loop",
        }
    }

    /// Copies `x` to `y` on all threads, in chunks of at least 256 KiB. A short slice is one chunk, because a single
    /// thread is faster for it. If the lengths differ, the rest of the longer slice is ignored.
    pub fn run<E: Element>(self, x: &[E], y: &mut [E]) {
        let (x, y): (&[u8], &mut [u8]) = (bytemuck::cast_slice(x), bytemuck::cast_slice_mut(y));
        if cpu::threads() == 1 {
            return self.copy(x, y); // without rayon, whose threads may not have started
        }
        // A multiple of a cache line, so that all chunks are aligned alike.
        let chunk = y.len().div_ceil(cpu::threads()).max(1 << 18);
        let chunk = chunk.next_multiple_of(64);
        y.par_chunks_mut(chunk)
            .zip(x.par_chunks(chunk))
            .for_each(|(y, x)| self.copy(x, y));
    }

    /// Copies on this thread.
    fn copy(self, x: &[u8], y: &mut [u8]) {
        let len = x.len().min(y.len());
        let (x, y) = (&x[..len], &mut y[..len]);
        match self {
            Self::Memcpy => y.copy_from_slice(x),
            Self::Loop => {
                let zero = black_box(0);
                for (y, x) in y.iter_mut().zip(x) {
                    *y = x ^ zero;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_copy_every_byte() {
        for len in [0, 1, 31, 1000, (1 << 18) + 3] {
            let x: Vec<f32> = (0..len).map(|i| i as f32 + 0.5).collect();
            for copy in CpuCopy::ALL {
                let mut y = vec![0.0; len];
                copy.run(&x, &mut y);
                assert_eq!(x, y, "{copy:?}");
            }
        }
    }
}
