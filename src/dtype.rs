//! The number formats that a tensor may hold.

use std::{fmt, str::FromStr};

use half::{bf16, f16};

/// The number format of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// IEEE 754 binary32, Rust's `f32`.
    F32,
    /// IEEE 754 binary16, [`half::f16`].
    F16,
    /// The upper half of an `f32`, [`half::bf16`].
    BF16,
    /// IEEE 754 binary64, Rust's `f64`.
    F64,
}

impl DType {
    /// All dtypes.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::BF16, Self::F64];

    /// Returns the size of one element in bytes.
    pub const fn size(self) -> usize {
        match self {
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Returns the name that NumPy and Keras use, such as `float32`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::F64 => "float64",
        }
    }

    /// Returns the name that Rust uses, such as `f32`.
    pub const fn short_name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::F64 => "f64",
        }
    }

    /// Returns the dtype that elements are computed in, which is also the dtype of a
    /// [`Regularizer`](crate::Regularizer)'s penalty: `float64` for `float64`, else `float32`.
    pub const fn arithmetic_dtype(self) -> Self {
        match self {
            Self::F64 => Self::F64,
            Self::F32 | Self::F16 | Self::BF16 => Self::F32,
        }
    }
}

/// The error for a name that is not the name of a [`DType`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("needed float32, float16, bfloat16 or float64, found {found:?}")]
pub struct ParseDTypeError {
    /// The name that was given.
    pub found: String,
}

impl FromStr for DType {
    type Err = ParseDTypeError;

    /// Accepts [`DType::name`] and the short names of Rust and safetensors, such as `f32` and `BF16`, ignoring case.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|dtype| {
            [dtype.name(), dtype.short_name()].contains(&name.to_ascii_lowercase().as_str())
        });
        found.ok_or_else(|| ParseDTypeError { found: name.into() })
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for DType {
    /// Writes [`DType::name`].
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for DType {
    /// Reads any name that [`DType::from_str`] accepts.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<str>::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A Rust type that a tensor may hold: `f32`, [`half::f16`], [`half::bf16`] or `f64`.
///
/// The trait is sealed, because the kernels exist for these formats only.
pub trait Element: bytemuck::Pod + Send + Sync + sealed::Stored {
    /// The dtype of this type.
    const DTYPE: DType;
}

/// Expands to `$body`, in which `$E` is the Rust type of `$dtype`.
macro_rules! with_element {
    ($dtype:expr, $E:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F32 => {
                type $E = f32;
                $body
            }
            $crate::DType::F16 => {
                type $E = half::f16;
                $body
            }
            $crate::DType::BF16 => {
                type $E = half::bf16;
                $body
            }
            $crate::DType::F64 => {
                type $E = f64;
                $body
            }
        }
    };
}

pub(crate) use sealed::Values;
pub(crate) use with_element;

mod sealed {
    use super::{DType, Element, bf16, f16};

    /// Converts between elements of one Rust type and [`Values`].
    pub trait Stored: Sized {
        fn store(values: Vec<Self>) -> Values;
        // Each of these returns the elements, or `None` if they have another type.
        fn take(values: Values) -> Option<Vec<Self>>;
        fn slice(values: &Values) -> Option<&[Self]>;
        fn slice_mut(values: &mut Values) -> Option<&mut [Self]>;
    }

    // Defines `Values` with a variant for each dtype, and implements `Element` and `Stored` for the dtype's Rust type.
    macro_rules! formats {
        ($($Variant:ident: $type:ty = $zero:expr),+) => {
            /// Elements in the CPU's memory, of any dtype.
            #[derive(Clone, Debug)]
            pub enum Values {
                $($Variant(Vec<$type>)),+
            }

            impl Values {
                /// Creates `len` zeros.
                pub fn zeros(dtype: DType, len: usize) -> Self {
                    match dtype {
                        $(DType::$Variant => Self::$Variant(vec![$zero; len])),+
                    }
                }

                /// Copies `bytes`, which are in this machine's byte order. An incomplete element at the end is ignored.
                pub fn from_bytes(dtype: DType, bytes: &[u8]) -> Self {
                    let bytes = &bytes[..bytes.len() - bytes.len() % dtype.size()];
                    match dtype {
                        $(DType::$Variant => {
                            Self::$Variant(bytemuck::allocation::pod_collect_to_vec(bytes))
                        }),+
                    }
                }

                pub fn as_bytes(&self) -> &[u8] {
                    match self {
                        $(Self::$Variant(values) => bytemuck::cast_slice(values)),+
                    }
                }
            }

            $(
                impl Element for $type {
                    const DTYPE: DType = DType::$Variant;
                }

                impl Stored for $type {
                    fn store(values: Vec<Self>) -> Values {
                        Values::$Variant(values)
                    }

                    fn take(values: Values) -> Option<Vec<Self>> {
                        match values {
                            Values::$Variant(values) => Some(values),
                            _ => None,
                        }
                    }

                    fn slice(values: &Values) -> Option<&[Self]> {
                        match values {
                            Values::$Variant(values) => Some(values),
                            _ => None,
                        }
                    }

                    fn slice_mut(values: &mut Values) -> Option<&mut [Self]> {
                        match values {
                            Values::$Variant(values) => Some(values),
                            _ => None,
                        }
                    }
                }
            )+
        };
    }

    formats!(F32: f32 = 0.0, F16: f16 = f16::ZERO, BF16: bf16 = bf16::ZERO, F64: f64 = 0.0);
}
