//! `elu shader`: prints the shaders.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use anyhow::Result;
use wgpu_elu::{
    DType, Op, Rounding,
    shader::{ELEMENTS, Shape, Shared, Specialization, VECTORS, function},
    translate::{self, Language, Variant, translate, unavailable},
};

use crate::{
    device_args::{by_name, dtypes, ops},
    function::FunctionArgs,
    output::Output,
};

const EXAMPLES: &str = "\
Examples:
  elu shader --dtype float16 --op backward
  elu shader --language spirv -o elu.spv
  elu shader --function > elu.wgsl";

/// Print the exact shader that runs, as WGSL or in the language of a driver
///
/// WGSL is the complete module that is passed to wgpu. The other languages contain one entry point. naga translates it,
/// as it does inside wgpu, for Vulkan (SPIR-V 1.3), Metal (MSL 2.0), Direct3D 12 (HLSL, shader model 6.0) and OpenGL
/// (GLSL 4.50).
///
/// Two constants remove arithmetic if they are true: `unit_factors` (every factor that the operation multiplies by
/// is 1) and `unit_input_scale` (the factor of the input is 1). In WGSL, these constants, the workgroup size and
/// `vectors_per_invocation` are `override` declarations, the last two without a default. They get their values when the
/// pipeline is created, so --software and the factors have no effect.
///
/// Binding n is descriptor n of set 0 in SPIR-V, register b<n>, t<n> or u<n> in HLSL, binding n in GLSL and buffer n in
/// MSL, where buffer 4 contains the buffer sizes for naga's bounds checks.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The number format of the elements in memory
    ///
    /// wgpu can run float64 only on Vulkan.
    #[arg(long, default_value = "float32", value_parser = dtypes(), ignore_case = true)]
    dtype: DType,
    /// The operation: ELU or a gradient
    ///
    /// backward-from-output is the gradient, computed from the output instead of x.
    #[arg(long, default_value = "forward", value_parser = ops(), ignore_case = true)]
    op: Op,
    /// The language of the output
    #[arg(short, long, default_value = "wgsl", value_parser = by_name(&Language::ALL, Language::name), ignore_case = true)]
    language: Language,
    /// The entry point that is translated
    ///
    /// `vectors` processes 16 bytes at a time, and `elements` one element or two 16-bit elements. WGSL contains both.
    #[arg(long, default_value = VECTORS, value_parser = by_name(&[VECTORS, ELEMENTS], |name| name), ignore_case = true)]
    entry: &'static str,
    #[command(flatten)]
    factors: FunctionArgs,
    /// Print the shader that works in place
    ///
    /// It writes the result into the buffer of x, or for a gradient into that of the incoming gradient.
    #[arg(long)]
    in_place: bool,
    /// Use the sizes for software adapters
    ///
    /// They are 64 invocations per workgroup and 4 vectors per invocation. The default is the sizes for hardware GPUs:
    /// 256 and 1.
    #[arg(long)]
    software: bool,
    /// Print ELU as WGSL functions for your own shader
    ///
    /// All names in it start with `wgpu_elu_`, so that they do not collide with yours.
    #[arg(long, conflicts_with_all = [
        "op", "language", "entry", "alpha", "selu", "celu", "scale", "input_scale", "nearest",
        "in_place", "software",
    ])]
    function: bool,
    /// Write the shader to FILE; the default is `-`, standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace FILE if it exists
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let is_spirv = args.language == Language::Spirv;
    if is_spirv && args.output.is_none() && std::io::stdout().is_terminal() {
        return Err(crate::usage(
            "SPIR-V is binary, and standard output is a terminal: use -o FILE",
        ));
    }
    if let Some(error) = unavailable(args.dtype, args.factors.rounding(), args.language) {
        return Err(crate::usage(advise(&error, args.factors.rounding())));
    }
    let path = args.output.as_deref().unwrap_or(Path::new("-"));
    let output = Output::open(path, args.force)?;
    if args.function {
        return output.write(function(args.dtype).as_bytes());
    }
    let elu = args.factors.parse()?.for_dtype(args.dtype)?;
    let variant = Variant {
        dtype: args.dtype,
        op: args.op,
        rounding: elu.rounding(),
        shared: Shared {
            x: args.in_place && !args.op.has_grad(),
            grad: args.in_place && args.op.has_grad(),
        },
        shape: if args.software {
            Shape::SOFTWARE
        } else {
            Shape::HARDWARE
        },
        specialization: Specialization::new(args.dtype, args.op, elu),
        entry_point: args.entry,
    };
    let shader = translate(variant, args.language)?;
    output.write(&shader)
}

// ---- Internals ----

/// Adds what to do to the reason why no shader exists.
fn advise(error: &translate::Error, rounding: Rounding) -> String {
    match error {
        translate::Error::Unavailable {
            dtype,
            language,
            reason,
        } if rounding == Rounding::Nearest => format!(
            "{dtype} has no {} with --nearest, because {reason}: choose another --dtype, or omit --nearest",
            language.title()
        ),
        error => format!("{error}: choose another --dtype or --language"),
    }
}
