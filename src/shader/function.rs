//! ELU as functions that you add to your own shader.

use super::shader;
use crate::dtype::DType;

/// Returns ELU as functions for the last step of your own shader. The text has no binding, entry point, `override` or
/// `enable`.
///
/// | dtype | functions |
/// |---|---|
/// | `float32` | `wgpu_elu_f32(x: f32, alpha: f32) -> f32`, `wgpu_elu_f32x4(x: vec4<f32>, alpha: f32) -> vec4<f32>` |
/// | `float64` | `wgpu_elu_f64(x: f64, alpha: f64) -> f64`, `wgpu_elu_f64x2(x: vec2<f64>, alpha: f64) -> vec2<f64>` |
/// | `float16` | `wgpu_elu_f16x2(x: u32, alpha: f32) -> u32`: two numbers in a word, the first in the lower half |
/// | `bfloat16` | `wgpu_elu_bf16x2(x: u32, alpha: f32) -> u32`, in the same form |
///
/// The text consists of the same fragments as the kernel's shader, and results have the same error bounds. A literal
/// `alpha` lets drivers remove much of the arithmetic, and a literal 1 most of it. NaN stays NaN and -0 stays -0 if the
/// driver passes floats unchanged. Only `float64` needs device features, `SHADER_F64` and `SHADER_INT64`. If WGSL's own
/// `f16` is enabled, use `f16(wgpu_elu_f32(f32(x), alpha))`.
///
/// For the gradient, [`Kernel::prepare_backward_from_output`](crate::Kernel::prepare_backward_from_output) takes the
/// output of such a shader. SELU is `scale * wgpu_elu_f32(x, alpha)`, rounded once more.
///
/// All names at module scope begin with `wgpu_elu_`. If your shader uses no such names, no name can clash. Names that
/// are not in the table continue with the dtype (`wgpu_elu_f32_...`), so that the texts of several dtypes can be used
/// in one shader. If your shader redefines a built-in of WGSL, such as `clamp`, this text sees the redefinition too,
/// unless you import it as a module.
///
/// # Inserted into your text
///
/// Insert the functions anywhere at module scope, after your `enable` directives.
///
/// ```
/// use wgpu_elu::{DType, shader};
///
/// let mine = "
///     @group(0) @binding(0) var<storage, read_write> sums: array<f32>;
///
///     @compute @workgroup_size(64)
///     fn last_step(@builtin(global_invocation_id) id: vec3<u32>) {
///         sums[id.x] = wgpu_elu_f32(sums[id.x], 0.5);
///     }";
/// let source = format!("{mine}\n{}", shader::function(DType::F32));
/// # naga::front::wgsl::parse_str(&source).unwrap();
/// ```
///
/// `examples/fuse.rs` in the repository is a complete program.
///
/// # Imported by `naga_oil`
///
/// The text is a composable module under any name. In a file of its own, it needs a line `#define_import_path
/// activations` before it. `float64` needs a composer with naga's capabilities `FLOAT64` and `SHADER_INT64`, in a build
/// without `naga_oil`'s feature `glsl`, because GLSL has no 64-bit integers.
///
/// ```
/// use naga_oil::compose::{ComposableModuleDescriptor, Composer, NagaModuleDescriptor};
/// use wgpu_elu::{DType, shader};
///
/// let mine = "
///     #import activations::wgpu_elu_f32 as elu
///
///     @group(0) @binding(0) var<storage, read_write> sums: array<f32>;
///
///     @compute @workgroup_size(64)
///     fn last_step(@builtin(global_invocation_id) id: vec3<u32>) {
///         sums[id.x] = elu(sums[id.x], 0.5);
///     }";
/// let mut composer = Composer::default();
/// composer.add_composable_module(ComposableModuleDescriptor {
///     source: &shader::function(DType::F32),
///     as_name: Some("activations".into()),
///     ..Default::default()
/// })?;
/// let module = composer.make_naga_module(NagaModuleDescriptor {
///     source: mine,
///     ..Default::default()
/// })?;
/// // Pass it to wgpu as `wgpu::ShaderSource::Naga`, with wgpu's feature `naga-ir`.
/// # assert_eq!(module.entry_points.len(), 1);
/// # Ok::<(), Box<naga_oil::compose::ComposerError>>(())
/// ```
///
/// # Imported by WESL
///
/// The text is a WESL module without changes, except for `float64`, which WESL does not have. A build script can write
/// it to `activations.wgsl` next to your shaders, or you can pass it to the compiler by name.
///
/// ```
/// use wesl::{VirtualResolver, Wesl};
/// use wgpu_elu::{DType, shader};
///
/// let mine = "
///     import package::activations::wgpu_elu_f32 as elu;
///
///     @group(0) @binding(0) var<storage, read_write> sums: array<f32>;
///
///     @compute @workgroup_size(64)
///     fn last_step(@builtin(global_invocation_id) id: vec3<u32>) {
///         sums[id.x] = elu(sums[id.x], 0.5);
///     }";
/// let mut files = VirtualResolver::new();
/// files.add_module("package::mine".parse().unwrap(), mine.into());
/// files.add_module("package::activations".parse().unwrap(), shader::function(DType::F32).into());
/// let source = Wesl::new("").set_custom_resolver(files).compile(&"package::mine".parse().unwrap())?.to_string();
/// # naga::front::wgsl::parse_str(&source).unwrap();
/// # Ok::<(), wesl::Error>(())
/// ```
pub fn function(dtype: DType) -> String {
    const COMMON: [&str; 4] = [
        shader!("primitives"),
        shader!("exponential"),
        shader!("forward"),
        shader!("function/alpha"),
    ];
    const F32: [&str; 3] = [
        shader!("format/float32"),
        shader!("unit_forward"),
        shader!("function/unit"),
    ];
    let (name, own) = match dtype {
        DType::F32 => ("f32", [&F32[..], &[shader!("function/float32")]]),
        DType::F16 => (
            "f16",
            [
                &F32[..],
                &[shader!("memory/float16"), shader!("function/float16")],
            ],
        ),
        DType::BF16 => (
            "bf16",
            [
                &F32[..],
                &[shader!("memory/bfloat16"), shader!("function/bfloat16")],
            ],
        ),
        DType::F64 => (
            "f64",
            [
                &[shader!("format/float64")][..],
                &[shader!("function/float64")],
            ],
        ),
    };
    let fragments = [&COMMON[..], &own.concat()];
    // The fragments avoid what the importers cannot read: hexadecimal floats, which wesl 0.4 parses incorrectly, and
    // names that end in an underscore and a number, which naga_oil rejects. naga_oil also rejects aliases, so they are
    // replaced by their types.
    let text = fragments.concat().join("\n");
    let aliases: Vec<(&str, &str)> = text.lines().filter_map(alias).collect();
    let text_without_aliases: Vec<&str> = text
        .split_inclusive('\n')
        .filter(|line| alias(line).is_none())
        .collect();
    let text = text_without_aliases.concat();
    let helpers: Vec<&str> = text.lines().filter_map(declared).collect();
    let prefix = format!("wgpu_elu_{name}_");
    let renamed = |word: &str| -> String {
        if let Some((_, meaning)) = aliases.iter().find(|(name, _)| *name == word) {
            (*meaning).into()
        } else if helpers.contains(&word) && !word.starts_with("wgpu_elu_") {
            format!("{prefix}{}", word.to_lowercase())
        } else {
            word.into()
        }
    };
    let mut renamed_text =
        concat!("// From wgpu-elu ", env!("CARGO_PKG_VERSION"), ".\n").to_owned();
    for line in text.split_inclusive('\n') {
        // Words in comments are not names.
        let (code, comment) = line.split_at(line.find("//").unwrap_or(line.len()));
        renamed_text.extend(words(code).map(renamed));
        renamed_text.push_str(comment);
    }
    renamed_text
}

/// Returns the name and the type of an alias that this line declares.
fn alias(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_prefix("alias ")?.split_once(" = ")?;
    Some((name, rest.split_once(';')?.0))
}

/// Returns the name that this line declares at module scope.
fn declared(line: &str) -> Option<&str> {
    let rest = ["fn ", "const ", "struct "]
        .iter()
        .find_map(|keyword| line.strip_prefix(keyword))?;
    words(rest).next()
}

/// Splits a text into identifiers and the text between them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let first = is_word(rest.chars().next()?);
        let end = rest.find(|c| is_word(c) != first).unwrap_or(rest.len());
        let (word, left) = rest.split_at(end);
        rest = left;
        Some(word)
    })
}
