//! The function that a command computes: ELU, SELU or CELU, and its factors.

use std::{fmt, path::Path};

use anyhow::Result;
use wgpu_elu::{DType, Elu, Factors, Op, Rounding};

use crate::usage;

/// Arguments that select the function. Factors are kept as text, which messages quote.
#[derive(clap::Args)]
pub(crate) struct FunctionArgs {
    /// The factor alpha of ELU
    ///
    /// It is a number, inf or -inf. ELU is A * (exp(x) - 1) for negative x.
    #[arg(
        short,
        long,
        value_name = "A",
        default_value = "1",
        allow_hyphen_values = true
    )]
    alpha: String,
    /// Compute SELU, whose factors are constants
    #[arg(long, conflicts_with_all = ["alpha", "celu", "scale", "input_scale"])]
    selu: bool,
    /// Compute CELU with alpha A, from 2^-64 to 2^64
    ///
    /// CELU is A * (exp(x / A) - 1) for negative x.
    #[arg(
        long,
        value_name = "A",
        allow_hyphen_values = true,
        hide_short_help = true,
        conflicts_with_all = ["alpha", "input_scale"]
    )]
    celu: Option<String>,
    /// Multiply the function by S, from 2^-64 to 2^64
    #[arg(
        long,
        value_name = "S",
        allow_hyphen_values = true,
        hide_short_help = true
    )]
    scale: Option<String>,
    /// Multiply negative x by S inside exp, from 2^-64 to 2^64
    ///
    /// With all three factors, negative x give `scale * alpha * (exp(input_scale * x) - 1)`, and other x `scale * x`.
    #[arg(
        long,
        value_name = "S",
        allow_hyphen_values = true,
        hide_short_help = true
    )]
    input_scale: Option<String>,
    /// Round to the nearest number, which gives the same bits on every device
    ///
    /// Without it, results are within 1 ULP of the exact value (float64: 2 ULP), and devices may differ in the last
    /// bit.
    #[arg(long, hide_short_help = true)]
    nearest: bool,
}

/// A function with its factors. Its display is such as `alpha 0.5`, `SELU` or `CELU, alpha 2`.
#[derive(Debug)]
pub(crate) struct Function {
    /// `ELU`, `SELU` or `CELU`.
    name: &'static str,
    /// The factors as the user wrote them, such as `alpha 1, scale 2`; empty for SELU.
    factors: String,
    elu: Elu,
    /// The path of the layer in the Keras model that the function comes from, if any.
    layer: Option<String>,
    /// Where the product of alpha and scale comes from, such as `--alpha "1"`, for error messages.
    source: String,
}

impl FunctionArgs {
    /// Returns how results are rounded.
    pub(crate) fn rounding(&self) -> Rounding {
        if self.nearest {
            Rounding::Nearest
        } else {
            Rounding::Faithful
        }
    }

    /// Parses the factors. Infinity must be written as `inf` or `infinity`: a number that overflows to infinity, such
    /// as 1e400, is rejected as a mistake.
    pub(crate) fn parse(&self) -> Result<Function> {
        if self.selu {
            return Ok(Function {
                name: "SELU",
                factors: String::new(),
                elu: Elu::selu().with_rounding(self.rounding()),
                layer: None,
                source: "--selu".into(),
            });
        }
        let scale = parse_factor("--scale", self.scale.as_deref())?;
        let mut input_scale = parse_factor("--input-scale", self.input_scale.as_deref())?;
        let (name, option, text, alpha) = match &self.celu {
            Some(text) => {
                let alpha = parse_factor("--celu", Some(text))?;
                input_scale = 1.0 / alpha;
                ("CELU", "--celu", text, alpha)
            }
            None => ("ELU", "--alpha", &self.alpha, parse_alpha(&self.alpha)?),
        };
        let mut factors = format!("alpha {}", text.trim());
        let mut source = format!("{option} {text:?}");
        if let Some(scale) = &self.scale {
            factors += &format!(", scale {}", scale.trim());
            source += &format!(" and --scale {scale:?}");
        }
        if let Some(input_scale) = &self.input_scale {
            factors += &format!(", input scale {}", input_scale.trim());
        }
        Ok(Function {
            name,
            factors,
            elu: Elu::from(Factors::new(alpha, scale, input_scale)?).with_rounding(self.rounding()),
            layer: None,
            source,
        })
    }
}

impl Function {
    /// Returns the function of a layer in the Keras model `file`. `path` is the layer's path.
    pub(crate) fn of_layer(elu: Elu, path: &str, file: &Path) -> Self {
        let alpha = || format!("alpha {}", elu.alpha());
        let (name, factors) = if elu.factors() == Factors::SELU {
            ("SELU", String::new())
        } else if elu.factors().input_scale() == 1.0 {
            ("ELU", alpha()) // also Keras' CELU, whose alpha is 1
        } else {
            ("CELU", alpha())
        };
        Self {
            name,
            factors,
            elu,
            layer: Some(path.to_owned()),
            source: format!(
                "{}: layer {path:?}: alpha {:?}",
                file.display(),
                elu.alpha()
            ),
        }
    }

    /// Returns the same function with this rounding.
    pub(crate) fn with_rounding(self, rounding: Rounding) -> Self {
        Self {
            elu: self.elu.with_rounding(rounding),
            ..self
        }
    }

    /// Returns the function, whose factors are not checked for a dtype.
    pub(crate) fn elu(&self) -> Elu {
        self.elu
    }

    /// Returns the path of the layer in the Keras model that the function comes from, if any.
    pub(crate) fn layer(&self) -> Option<&str> {
        self.layer.as_deref()
    }

    /// Returns the function for elements of `dtype`.
    ///
    /// # Errors
    ///
    /// Returns a usage error if alpha * scale overflows in the type that `dtype` is computed in: float64 for float64,
    /// float32 for all other dtypes.
    pub(crate) fn for_dtype(&self, dtype: DType) -> Result<Elu> {
        let factors = self.elu.factors();
        let (arithmetic, max) = match dtype.arithmetic_dtype() {
            DType::F64 => ("float64", f64::MAX),
            _ => ("float32", f32::MAX.into()),
        };
        let product = factors.alpha() * factors.scale();
        if factors.alpha().is_infinite() || product.abs() <= max {
            return Ok(self.elu);
        }
        let subject = if factors.scale() == 1.0 {
            ""
        } else {
            "as their product "
        };
        let max = if arithmetic == "float64" {
            format!("{:e}", f64::MAX)
        } else {
            format!("{:e}", f32::MAX)
        };
        Err(usage(format!(
            "{}: for {dtype}, needed {subject}inf or a {arithmetic} number, at most {max} in magnitude",
            self.source
        )))
    }

    /// Describes what an operation computes, such as `alpha 1` or `SELU's gradient`.
    pub(crate) fn describe(&self, op: Op) -> String {
        let name = match (op, self.name) {
            (Op::Forward, "ELU") => String::new(), // the command has its name
            (Op::Forward, name) => name.to_owned(),
            (Op::Backward, name) => format!("{name}'s gradient"),
            (Op::BackwardFromOutput, name) => format!("{name}'s gradient from the output"),
        };
        let rounding = match self.elu.rounding() {
            Rounding::Faithful => String::new(),
            Rounding::Nearest => "rounded to nearest".into(),
        };
        let parts = [name, self.factors.clone(), rounding];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let layer = self.layer.iter().map(|path| format!(" from layer {path}"));
        parts.join(", ") + &layer.collect::<String>()
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe(Op::Forward))
    }
}

// ---- Internals ----

/// Parses the alpha of ELU.
fn parse_alpha(text: &str) -> Result<f64> {
    let is_written_as_infinity = text.to_ascii_lowercase().contains("inf");
    let alpha = text.trim().parse::<f64>().ok();
    alpha
        .filter(|alpha| alpha.is_finite() || is_written_as_infinity)
        .ok_or_else(|| {
            usage(format!(
                "--alpha {text:?}: needed a number such as 0.5, or inf or -inf"
            ))
        })
}

/// Parses a factor whose range is that of `scale`. A factor that is not given is 1.
fn parse_factor(option: &str, text: Option<&str>) -> Result<f64> {
    let Some(text) = text else {
        return Ok(1.0);
    };
    let factor = text.trim().parse::<f64>().ok();
    factor
        .filter(|&factor| Factors::new(1.0, factor, 1.0).is_ok())
        .ok_or_else(|| {
            usage(format!(
                "{option} {text:?}: needed a number from 2^-64 to 2^64, such as 0.5"
            ))
        })
}
