//! The number formats that a tensor may hold.

use std::fmt;

/// The number format of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// IEEE 754 binary32, Rust's `f32`.
    F32,
}

impl DType {
    /// Bytes that one element takes.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
        }
    }
}

impl fmt::Display for DType {
    /// NumPy's and Keras' name: `float32`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "float32",
        })
    }
}

/// A Rust type that a tensor may hold: `f32`.
///
/// Sealed: the formats are those that the kernels are written for.
pub trait Element: bytemuck::Pod + Send + Sync + sealed::Stored {
    /// The format of this type.
    const DTYPE: DType;
}

impl Element for f32 {
    const DTYPE: DType = DType::F32;
}

/// alpha comes as `f64`, so that every dtype can have its own precision of it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding is what is wanted"
)]
pub(crate) fn round_to_f32(alpha: f64) -> f32 {
    alpha as f32
}

pub(crate) use sealed::Values;

mod sealed {
    use super::DType;

    /// Elements in the CPU's memory, whichever type they have.
    #[derive(Clone, Debug)]
    pub enum Values {
        F32(Vec<f32>),
    }

    impl Values {
        /// `len` zeros.
        pub fn zeros(dtype: DType, len: usize) -> Self {
            match dtype {
                DType::F32 => Self::F32(vec![0.0; len]),
            }
        }
    }

    /// How a type goes into [`Values`] and comes out again.
    pub trait Stored: Sized {
        fn store(values: Vec<Self>) -> Values;
        /// `None` if they are of another type; so too below.
        fn take(values: Values) -> Option<Vec<Self>>;
        fn slice(values: &Values) -> Option<&[Self]>;
        fn slice_mut(values: &mut Values) -> Option<&mut [Self]>;
    }

    impl Stored for f32 {
        fn store(values: Vec<Self>) -> Values {
            Values::F32(values)
        }

        fn take(values: Values) -> Option<Vec<Self>> {
            match values {
                Values::F32(values) => Some(values),
            }
        }

        fn slice(values: &Values) -> Option<&[Self]> {
            match values {
                Values::F32(values) => Some(values),
            }
        }

        fn slice_mut(values: &mut Values) -> Option<&mut [Self]> {
            match values {
                Values::F32(values) => Some(values),
            }
        }
    }
}
