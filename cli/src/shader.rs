//! `elu shader`: the shader that runs, to be read or taken elsewhere.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use anyhow::Result;
use wgpu_elu::{
    DType, Op,
    shader::{ELEMENTS, Shape, Shared, Specialization, VECTORS, function},
    translate::{Language, Variant, translate, unavailable},
};

use crate::{
    device_args::{Alpha, by_name, dtypes},
    output::Output,
};

/// The very shader that runs, as wgpu gets it or as a driver does
///
/// WGSL is the whole module as it is handed to wgpu. The other languages are naga's translation of one entry point, the step
/// that wgpu takes for Vulkan (SPIR-V 1.3), Metal (MSL 2.0), Direct3D 12 (HLSL, shader model 6.0) and OpenGL (GLSL 4.50).
///
/// Where factors are 1, there is less to compute: the constants `unit_factors` and `unit_input_scale`, which WGSL leaves open.
///
/// Binding n is descriptor n of set 0 in SPIR-V, register bn, tn or un in HLSL, binding n in GLSL and buffer n in MSL, where
/// buffer 4 holds the sizes that naga checks against.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The number format in memory; wgpu runs float64 on Vulkan only
    #[arg(long, default_value = "float32", value_parser = dtypes())]
    dtype: DType,
    /// What it computes
    #[arg(long, default_value = "forward", value_parser = by_name(&Op::ALL, Op::name))]
    op: Op,
    /// The language
    #[arg(short, long, default_value = "wgsl", value_parser = by_name(&Language::ALL, Language::name))]
    language: Language,
    /// The entry point that is translated: 16 bytes at a time, or an element (of 16 bits, two); WGSL has both
    #[arg(long, default_value = VECTORS, value_parser = by_name(&[VECTORS, ELEMENTS], |name| name))]
    entry: &'static str,
    #[command(flatten)]
    alpha: Alpha,
    /// For a result in the buffer of x, or, for a gradient, in that of the gradient it starts from
    #[arg(long)]
    in_place: bool,
    /// With the workgroups for software adapters, not those for hardware; in WGSL they are left open
    #[arg(long)]
    software: bool,
    /// Instead: ELU as functions for a WGSL shader of your own, with names that clash with none of yours
    #[arg(long, conflicts_with_all = ["op", "language", "entry", "alpha", "in_place", "software"])]
    function: bool,
    /// Where the shader goes; `-` is standard output, also the default
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
            "SPIR-V is binary, and standard output is a terminal: give -o FILE",
        ));
    }
    if let Some(reason) = unavailable(args.dtype, args.language) {
        return Err(crate::usage(format!(
            "{reason}: choose another --dtype or --language"
        )));
    }
    let path = args.output.as_deref().unwrap_or(Path::new("-"));
    let output = Output::open(path, args.force)?;
    if args.function {
        return output.write(function(args.dtype).as_bytes());
    }
    let variant = Variant {
        dtype: args.dtype,
        op: args.op,
        shared: Shared {
            x: args.in_place && !args.op.has_grad(),
            grad: args.in_place && args.op.has_grad(),
        },
        shape: if args.software {
            Shape::SOFTWARE
        } else {
            Shape::HARDWARE
        },
        specialization: Specialization::new(args.dtype, args.op, args.alpha.of(args.dtype)?),
        entry_point: args.entry,
    };
    let shader = translate(variant, args.language)?;
    output.write(&shader)
}
