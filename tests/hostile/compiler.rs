//! Compiles shaders as C++ for this CPU, with clang and fast math, and runs them.

use std::{
    env, fmt, fs,
    io::{self, Write},
    process::{Command, Stdio},
};

use tempfile::TempDir;
use wgpu_elu::DType;

use super::cpp::cpp;
use conformance::native::announce;

/// One entry point of a shader, with the values of its `override` constants.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shader {
    pub(crate) source: String,
    pub(crate) dtype: DType,
    pub(crate) entry_point: &'static str,
    pub(crate) constants: Vec<(&'static str, f64)>,
}

/// The behaviour of a compiler and a processor. Fast math is always on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Whether the compiler is loose. A loose compiler turns an fma into a product and a sum, each rounded, and may
    /// regroup them with other operations. It also drops a conversion of a float64 to float32 and back.
    is_loose: bool,
    /// Whether subnormal arguments and results become zero.
    flushes: bool,
}

impl Machine {
    /// All machines.
    pub(crate) const ALL: [Self; 4] = {
        let [strict, loose] = Self::KEEP_SUBNORMALS;
        let flushes = true;
        [
            strict,
            loose,
            Self { flushes, ..strict },
            Self { flushes, ..loose },
        ]
    };

    /// The machines that keep subnormals.
    pub(crate) const KEEP_SUBNORMALS: [Self; 2] = [
        Self {
            is_loose: false,
            flushes: false,
        },
        Self {
            is_loose: true,
            flushes: false,
        },
    ];
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flushes = if self.flushes { ", flushing" } else { "" };
        write!(f, "{}{flushes}", file_name(self.is_loose))
    }
}

/// The bytes of the buffers at bindings 0 to 3, and the number of workgroups.
pub(crate) struct Dispatch {
    pub(crate) buffers: [Vec<u8>; 4],
    pub(crate) groups: u32,
}

/// Shaders of one language, compiled once per kind of compiler: strict and loose.
pub(crate) struct Program {
    folder: TempDir,
    shaders: Vec<Shader>,
}

impl Program {
    /// Compiles the shaders, or returns `None` if clang is not available.
    pub(crate) fn compile(shaders: impl IntoIterator<Item = Shader>) -> Option<Self> {
        if !can_run() {
            assert!(
                std::env::var_os("WGPU_ELU_VALIDATORS").is_none_or(|setting| setting != "require"),
                "WGPU_ELU_VALIDATORS=require, but the hostile compiler needs x86-64 with FMA and AVX2, on Unix"
            );
            skip("x86-64 with FMA and AVX2, on Unix");
            return None;
        }
        let mut distinct = Vec::new();
        for shader in shaders {
            if !distinct.contains(&shader) {
                distinct.push(shader);
            }
        }
        let program = Self {
            folder: tempfile::tempdir().unwrap(),
            shaders: distinct,
        };
        let source = program.folder.path().join("shaders.cpp");
        fs::write(&source, cpp(&program.shaders)).unwrap();
        let compilers: io::Result<Vec<_>> = [false, true]
            .map(|is_loose| {
                Command::new("clang++")
                    .args(FLAGS)
                    .args(if is_loose { LOOSE } else { STRICT })
                    .arg("-o")
                    .arg(program.folder.path().join(file_name(is_loose)))
                    .arg(&source)
                    .stderr(Stdio::piped())
                    .spawn()
            })
            .into_iter()
            .collect();
        let compilers = match compilers {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let setting = env::var("WGPU_ELU_VALIDATORS").unwrap_or_default();
                assert!(
                    setting != "require",
                    "WGPU_ELU_VALIDATORS=require, but clang++ was not found: scripts/test installs it"
                );
                skip("clang++ (scripts/test installs it)");
                return None;
            }
            compilers => compilers.unwrap(),
        };
        for compiler in compilers {
            let output = compiler.wait_with_output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "clang++: {errors}");
        }
        Some(program)
    }

    /// Runs a shader and returns the bytes of its output.
    pub(crate) fn run(&self, shader: &Shader, machine: Machine, dispatch: &Dispatch) -> Vec<u8> {
        let index = self.shaders.iter().position(|other| other == shader);
        let invocations = shader.constants.iter().find(|c| c.0 == "workgroup_size");
        let mut child = Command::new(self.folder.path().join(file_name(machine.is_loose)))
            .arg(index.expect("the shader is compiled").to_string())
            .arg(if machine.flushes { "flush" } else { "keep" })
            .arg(dispatch.groups.to_string())
            .arg(invocations.map_or(1.0, |c| c.1).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let lengths = dispatch.buffers.iter();
        let lengths = lengths.flat_map(|buffer| u32::try_from(buffer.len()).unwrap().to_le_bytes());
        stdin.write_all(&lengths.collect::<Vec<u8>>()).unwrap();
        for buffer in &dispatch.buffers {
            stdin.write_all(buffer).unwrap();
        }
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{shader:?}: {output:?}");
        output.stdout
    }
}

// ---- Internals ----

const FLAGS: &[&str] = &[
    "-std=c++17",
    "-O2",
    "-ffast-math",
    "-ffp-contract=fast",
    "-mavx2",
    "-mllvm",
    "-inline-threshold=10000", // inlines everything, as drivers do
    "-fno-strict-aliasing",    // the buffers are read as structs and vectors
    "-w",
    concat!("-I", env!("CARGO_MANIFEST_DIR"), "/tests/hostile"),
];

const STRICT: &[&str] = &["-mfma"];
const LOOSE: &[&str] = &["-DLOOSE", "-mno-fma"];

/// Returns the file name of the compiled program.
const fn file_name(is_loose: bool) -> &'static str {
    if is_loose { "loose" } else { "strict" }
}

#[cfg(all(target_arch = "x86_64", unix))]
fn can_run() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[cfg(not(all(target_arch = "x86_64", unix)))]
fn can_run() -> bool {
    false
}

/// Prints that the tests are skipped.
fn skip(needed: &str) {
    announce(&format!(
        "SKIPPED: the shaders under a hostile compiler (it needs {needed})"
    ));
}
