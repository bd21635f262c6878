//! The functions that a host calls in its own shader, as a module of WESL 0.6, which is the shader language of bevy.
//! (The repository's own tests use WESL 0.4, because 0.6 needs a newer compiler.)

use conformance::function::{alphas, check_all, on_every_dtype, special_values};
use wesl::{Compiler, resolver::VirtualResolver};
use wgpu_elu::{DType, shader::function, wgpu};

/// Joins the function to the host's shader as an import.
fn join(dtype: DType, host: &str, import: &str) -> wgpu::ShaderSource<'static> {
    let mut files = VirtualResolver::new();
    let host = format!("import package::activations::{import};\n{host}");
    let path = |name: &str| {
        format!("package::{name}")
            .parse()
            .expect("the path is valid")
    };
    files.add_module(path("host"), host.into());
    files.add_module(path("activations"), function(dtype).into());
    let compiled = Compiler::default()
        .with_resolver(files)
        .compile_module(&path("host"))
        .unwrap_or_else(|error| panic!("{dtype}: {error}"));
    wgpu::ShaderSource::Wgsl(compiled.to_string().into())
}

#[pollster::test]
async fn imported_functions_keep_the_contract() {
    on_every_dtype(async |gpu, name, dtype| {
        // WESL has no f64.
        if dtype != DType::F64 {
            check_all(gpu, name, join, dtype, &special_values(dtype), &alphas()).await;
        }
    })
    .await;
}
