//! stub
pub mod cpu;
pub mod device;
mod dtype;
mod elu;
mod error;
mod kernel;
pub mod reference;
pub mod shader;
mod tensor;

pub use device::{Device, Gpu};
pub use dtype::{DType, Element};
pub use elu::Elu;
pub use error::{Error, Result};
pub use kernel::{Kernel, Step};
pub use tensor::Tensor;
pub use wgpu;
