//! Modules to put in place of burn's `nn::Elu`, `nn::Selu` and `nn::Celu`.

use burn::{
    config::Config,
    module::{Content, DisplaySettings, Module, ModuleDisplay},
    tensor::Tensor,
};
use wgpu_elu::Rounding;

use crate::{Error, apply, apply_in_module};

macro_rules! module {
    ($(#[$doc:meta])* $Name:ident) => {
        $(#[$doc])*
        #[derive(Module, Debug)]
        #[module(custom_display)]
        pub struct $Name {
            #[module(skip)]
            elu: wgpu_elu::Elu,
        }

        impl $Name {
            /// Applies the function. Works with tensors of any shape.
            ///
            /// If the function fails, the result carries the error, as that of burn's own kernels does. `try_into_data`
            /// of the result, or of anything computed from it, returns the error, and `into_data` panics.
            ///
            /// # Panics
            ///
            /// Panics unless the tensor belongs to burn's wgpu runtime, as burn itself does if a backend lacks an
            /// operation. [`try_forward`](Self::try_forward) returns an error instead.
            pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
                apply_in_module(x, self.elu)
            }

            /// Does what [`forward`](Self::forward) does.
            ///
            /// # Errors
            ///
            /// Returns the errors of [`elu`](crate::elu).
            pub fn try_forward<const D: usize>(&self, x: Tensor<D>) -> Result<Tensor<D>, Error> {
                apply(x, self.elu)
            }

            /// Returns the function.
            pub fn function(&self) -> wgpu_elu::Elu {
                self.elu
            }
        }

        impl ModuleDisplay for $Name {
            fn custom_settings(&self) -> Option<DisplaySettings> {
                DisplaySettings::new().with_new_line_after_attribute(false).optional()
            }

            fn custom_content(&self, content: Content) -> Option<Content> {
                content
                    .add("alpha", &self.elu.alpha())
                    .add_debug_attribute("rounding", &self.elu.rounding())
                    .optional()
            }
        }
    };
}

module! {
    /// ELU as a module: `x` where `x >= 0`, else `alpha * (exp(x) - 1)`. Created by [`EluConfig`].
    Elu
}
module! {
    /// SELU as a module. Created by [`SeluConfig`].
    Selu
}
module! {
    /// CELU as a module: `x` where `x >= 0`, else `alpha * (exp(x / alpha) - 1)`. Created by [`CeluConfig`].
    Celu
}

/// The configuration of [`Elu`].
#[derive(Config, Debug)]
pub struct EluConfig {
    /// Any number. The default is 1.
    #[config(default = "1.0")]
    pub alpha: f64,
    /// How results are rounded. `None`, the default, is [`Rounding::Faithful`]: what burn's own configuration saves has
    /// no such field, and is read as this.
    pub rounding: Option<Rounding>,
}

impl EluConfig {
    /// Creates the module.
    pub fn init(&self) -> Elu {
        Elu {
            elu: wgpu_elu::Elu::new(self.alpha).with_rounding(self.rounding.unwrap_or_default()),
        }
    }
}

/// The configuration of [`Selu`].
#[derive(Config, Debug)]
pub struct SeluConfig {
    /// How results are rounded. `None`, the default, is [`Rounding::Faithful`].
    pub rounding: Option<Rounding>,
}

impl SeluConfig {
    /// Creates the module.
    pub fn init(&self) -> Selu {
        Selu {
            elu: wgpu_elu::Elu::selu().with_rounding(self.rounding.unwrap_or_default()),
        }
    }
}

/// The configuration of [`Celu`].
#[derive(Config, Debug)]
pub struct CeluConfig {
    /// A number between 2^-64 and 2^64. The default is 1.
    #[config(default = "1.0")]
    pub alpha: f64,
    /// How results are rounded. `None`, the default, is [`Rounding::Faithful`].
    pub rounding: Option<Rounding>,
}

impl CeluConfig {
    /// Creates the module.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Elu`] unless `alpha` is between 2^-64 and 2^64.
    pub fn init(&self) -> Result<Celu, Error> {
        Ok(Celu {
            elu: wgpu_elu::Elu::celu(self.alpha)?.with_rounding(self.rounding.unwrap_or_default()),
        })
    }
}
