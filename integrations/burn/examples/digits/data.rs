//! Loads the digits. README.md names their origin.

use std::io::Read;

use anyhow::{Context, Result, ensure};
use burn::tensor::{Device, Int, Tensor, TensorData};
use flate2::read::GzDecoder;

/// Handwritten digits of 8 x 8 pixels.
pub(crate) struct Digits {
    /// The pixels of all digits, between 0 and 1.
    pixels: Vec<f32>,
    classes: Vec<i32>,
}

impl Digits {
    pub(crate) const PIXELS: usize = 64;
    pub(crate) const CLASSES: usize = 10;

    /// Reads the digits. A row of the file has 64 pixels, between 0 and 16, and the class.
    pub(crate) fn load() -> Result<Self> {
        let mut text = String::new();
        GzDecoder::new(include_bytes!("digits.csv.gz").as_slice()).read_to_string(&mut text)?;
        let mut digits = Self {
            pixels: Vec::new(),
            classes: Vec::new(),
        };
        for line in text.lines() {
            let numbers: Vec<u8> = line
                .split(',')
                .map(str::parse)
                .collect::<Result<_, _>>()
                .with_context(|| line.to_owned())?;
            ensure!(
                numbers.len() == Self::PIXELS + 1,
                "needed 65 numbers, found {line}"
            );
            digits.pixels.extend(
                numbers[..Self::PIXELS]
                    .iter()
                    .map(|&pixel| f32::from(pixel) / 16.0),
            );
            digits.classes.push(numbers[Self::PIXELS].into());
        }
        Ok(digits)
    }

    /// Returns the digits to train with: all but every fifth.
    pub(crate) fn train(&self) -> Vec<usize> {
        (0..self.classes.len()).filter(|i| i % 5 != 4).collect()
    }

    /// Returns every fifth digit.
    pub(crate) fn test(&self) -> Vec<usize> {
        (0..self.classes.len()).filter(|i| i % 5 == 4).collect()
    }

    /// Returns the pixels and the classes of some digits.
    pub(crate) fn batch(&self, digits: &[usize], device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
        let pixels = digits
            .iter()
            .flat_map(|&i| &self.pixels[i * Self::PIXELS..][..Self::PIXELS]);
        let pixels = TensorData::new(pixels.copied().collect(), [digits.len(), Self::PIXELS]);
        let classes: Vec<i32> = digits.iter().map(|&i| self.classes[i]).collect();
        (
            Tensor::from_data(pixels, device),
            Tensor::from_data(classes.as_slice(), device),
        )
    }
}

/// Returns the numbers in an order that depends on the seed only.
pub(crate) fn shuffled(mut order: Vec<usize>, seed: u64) -> Vec<usize> {
    let mut state = seed;
    for i in (1..order.len()).rev() {
        // Knuth's linear congruential generator; its upper bits are the better ones.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        order.swap(i, (state >> 33) as usize % (i + 1));
    }
    order
}
