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
    /// All of them.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::BF16, Self::F64];

    /// Bytes that one element takes.
    pub const fn size(self) -> usize {
        match self {
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// NumPy's and Keras' name: `float32`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::F64 => "float64",
        }
    }

    /// Rust's name: `f32`.
    pub const fn short_name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::F64 => "f64",
        }
    }

    /// The type that elements of this type are computed in, and that their penalty has: `float32`, or for `float64` that.
    pub const fn arithmetic(self) -> Self {
        match self {
            Self::F64 => Self::F64,
            Self::F32 | Self::F16 | Self::BF16 => Self::F32,
        }
    }
}

/// A name that is not one of a [`DType`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("needed float32, float16, bfloat16 or float64, found {found:?}")]
pub struct ParseDTypeError {
    /// The name.
    pub found: String,
}

impl FromStr for DType {
    type Err = ParseDTypeError;

    /// Takes [`DType::name`], and Rust's and safetensors' short names, such as `f32` and `BF16`, in any case.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|dtype| {
            [dtype.name(), dtype.short_name()].contains(&name.to_ascii_lowercase().as_str())
        });
        found.ok_or_else(|| ParseDTypeError { found: name.into() })
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for DType {
    /// As [`DType::name`].
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for DType {
    /// From any name that [`DType::from_str`] takes.
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

/// A Rust type that a tensor may hold: `f32`, [`half::f16`], [`half::bf16`], `f64`.
///
/// Sealed: the formats are those that the kernels are written for.
pub trait Element: bytemuck::Pod + Send + Sync + sealed::Stored {
    /// The format of this type.
    const DTYPE: DType;
}

/// `$body` with `$E` for the type of `$dtype`.
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

    /// How a type goes into [`Values`] and comes out again.
    pub trait Stored: Sized {
        fn store(values: Vec<Self>) -> Values;
        /// `None` if they are of another type; so too below.
        fn take(values: Values) -> Option<Vec<Self>>;
        fn slice(values: &Values) -> Option<&[Self]>;
        fn slice_mut(values: &mut Values) -> Option<&mut [Self]>;
    }

    macro_rules! formats {
        ($($Variant:ident: $type:ty = $zero:expr),+) => {
            /// Elements in the CPU's memory, whichever type they have.
            #[derive(Clone, Debug)]
            pub enum Values {
                $($Variant(Vec<$type>)),+
            }

            impl Values {
                /// `len` zeros.
                pub fn zeros(dtype: DType, len: usize) -> Self {
                    match dtype {
                        $(DType::$Variant => Self::$Variant(vec![$zero; len])),+
                    }
                }

                /// A copy of `bytes` in this machine's order; what is less than an element at the end is left out.
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
