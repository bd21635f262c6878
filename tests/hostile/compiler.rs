//! Compiles shaders with clang as C++ for this CPU, with fast math, and runs them.
//!
//! `metal.h` and `hlsl.h` stand in for the languages that naga prints, and `dispatch.h` runs the entry points.

use std::{
    env, fmt, fs,
    io::{self, Write},
    process::{Command, Stdio},
};

use tempfile::TempDir;
use wgpu_elu::DType;

use crate::{
    common::tell,
    translate::{Language, translate_source},
};

/// One entry point of a shader, with the values of its `override` constants.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shader {
    pub(crate) source: String,
    pub(crate) dtype: DType,
    pub(crate) entry_point: &'static str,
    pub(crate) constants: Vec<(&'static str, f64)>,
}

/// The liberties of the compiler and the processor. Fast math is always on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Whether an fma is a product and a sum, which the compiler may regroup, and a float64 that is converted to float32
    /// and back is not rounded.
    is_loose: bool,
    /// Whether subnormal arguments and results become zero.
    flushes: bool,
}

impl Machine {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = {
        const fn machine(is_loose: bool, flushes: bool) -> Machine {
            Machine { is_loose, flushes }
        }
        [
            machine(false, false),
            machine(false, true),
            machine(true, false),
            machine(true, true),
        ]
    };
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flushes = if self.flushes { ", flushing" } else { "" };
        write!(f, "{}{flushes}", program(self.is_loose))
    }
}

/// The bytes of the bindings 0 to 3, and how many invocations run.
pub(crate) struct Dispatch {
    pub(crate) buffers: [Vec<u8>; 4],
    pub(crate) groups: u32,
}

/// Compiled shaders of one language.
pub(crate) struct Program {
    folder: TempDir,
    shaders: Vec<Shader>,
}

impl Program {
    /// Compiles the shaders, or returns `None` where that is impossible.
    pub(crate) fn compile(shaders: impl IntoIterator<Item = Shader>) -> Option<Self> {
        if !can_run() {
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
                    .args(is_loose.then_some("-DLOOSE"))
                    .arg("-o")
                    .arg(program.folder.path().join(self::program(is_loose)))
                    .arg(&source)
                    .stderr(Stdio::piped())
                    .spawn()
            })
            .into_iter()
            .collect();
        let compilers = match compilers {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                skip("clang++ (scripts/test installs it)");
                return None;
            }
            compilers => compilers.unwrap(),
        };
        for compiler in compilers {
            let output = compiler.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "clang++: {said}");
        }
        Some(program)
    }

    /// The output's bytes afterwards.
    pub(crate) fn run(&self, shader: &Shader, machine: Machine, dispatch: &Dispatch) -> Vec<u8> {
        let index = self.shaders.iter().position(|other| other == shader);
        let invocations = shader.constants.iter().find(|c| c.0 == "workgroup_size");
        let mut child = Command::new(self.folder.path().join(program(machine.is_loose)))
            .arg(index.expect("it is compiled").to_string())
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
    "-mfma",
    "-mllvm",
    "-inline-threshold=10000", // all in one function, as drivers do it
    "-fno-strict-aliasing",    // naga's bit casts of buffers
    "-w",
    concat!("-I", env!("CARGO_MANIFEST_DIR"), "/tests/hostile"),
];

/// The file's name.
const fn program(is_loose: bool) -> &'static str {
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

fn skip(needed: &str) {
    let wish = env::var("WGPU_ELU_VALIDATORS").unwrap_or_default();
    assert!(
        wish != "require",
        "WGPU_ELU_VALIDATORS=require, and the shaders cannot run as C++: needed {needed}"
    );
    tell(&format!(
        "SKIPPED: the shaders under a hostile compiler, which needs {needed}"
    ));
}

/// The source of a program with all these shaders.
fn cpp(shaders: &[Shader]) -> String {
    let header = match shaders[0].dtype {
        DType::F64 => "hlsl.h",
        _ => "metal.h",
    };
    let mut text = format!("#include \"{header}\"\n");
    let mut table = String::new();
    for (i, shader) in shaders.iter().enumerate() {
        let Translated {
            text: shader,
            bind,
            arguments,
            has_barriers,
            entry_point,
        } = match shader.dtype {
            DType::F64 => from_hlsl(shader),
            _ => from_msl(shader),
        };
        text += &format!(
            "namespace shader_{i} {{\n{shader}\n\
             static void bind(const Dispatch& dispatch) {{ {bind} }}\n\
             static void invoke(const Dispatch& dispatch, WorkgroupId group, uint invocation) {{\n    \
             {entry_point}({});\n}}\n}}\n",
            arguments.join(", ")
        );
        let run = if has_barriers {
            "run_with_barriers"
        } else {
            "run"
        };
        table += &format!("    {run}<shader_{i}::bind, shader_{i}::invoke>,\n");
    }
    let count = shaders.len();
    text + &format!("const Run shaders[] = {{\n{table}}};\nconst int shader_count = {count};\n")
}

/// A shader as C++.
struct Translated {
    text: String,
    /// Statements that make the buffers of a `dispatch` those of the shader.
    bind: String,
    /// What the entry point is called with, by a function with the parameters `dispatch`, `group` and `invocation`.
    arguments: Vec<String>,
    has_barriers: bool,
    entry_point: &'static str,
}

fn from_msl(shader: &Shader) -> Translated {
    let entry_point = shader.entry_point;
    let msl = translated(shader, shader.source.clone(), Language::Msl);
    let lines = msl.lines().filter(|line| !line.starts_with("#include"));
    // naga declares arrays of run-time length with one element.
    let lines = lines.map(|line| match line.strip_prefix("typedef ") {
        Some(array) => format!("typedef {}\n", array.replace("[1];", "[1 << 24];")),
        None => format!("{line}\n"),
    });
    let text = with_float_literals(&lines.collect::<String>());
    let (_, rest) = text
        .split_once(&format!("kernel void {entry_point}(\n"))
        .unwrap();
    let (parameters, _) = rest.split_once("\n) {").unwrap();
    let argument = |parameter: &str| {
        let ty = parameter.split([' ', '&']).nth(1).unwrap();
        if parameter.contains("[[threadgroup_position_in_grid]]") {
            "group".into()
        } else if parameter.contains("[[thread_index_in_threadgroup]]") {
            "invocation".into()
        } else if parameter.starts_with("threadgroup ") {
            format!("*reinterpret_cast<{ty}*>(threadgroup_memory)")
        } else {
            let (_, binding) = parameter.split_once("[[buffer(").unwrap();
            format!("dispatch.at<{ty}>({})", &binding[..1])
        }
    };
    let parameters = parameters
        .lines()
        .map(|line| line.trim_start_matches([',', ' ']));
    Translated {
        bind: String::new(),
        arguments: parameters.map(argument).collect(),
        has_barriers: text.contains("threadgroup_barrier("),
        text,
        entry_point,
    }
}

fn from_hlsl(shader: &Shader) -> Translated {
    let entry_point = shader.entry_point;
    let hlsl = translated(
        shader,
        with_visible_bit_casts(&shader.source),
        Language::Hlsl,
    );
    let (mut text, mut bind) = ("using namespace hlsl;\n".to_owned(), String::new());
    let mut arguments = Vec::new();
    for line in hlsl.lines() {
        if let Some((declared, register)) = line.split_once(" : register(") {
            if let Some(name) = declared.strip_prefix("cbuffer ") {
                text += &format!("static Params {name};\n");
                bind += &format!("{name} = dispatch.at<Params>(0); ");
            } else {
                let (_, name) = declared.split_once(' ').unwrap();
                text += &format!("static {declared};\n");
                bind += &format!("{name}.bind(dispatch.buffers[{}]); ", &register[1..2]);
            }
        } else if let Some(parameters) = line.strip_prefix(&format!("void {entry_point}(")) {
            for (semantic, argument) in [
                (" : SV_GroupID", "group"),
                (" : SV_GroupIndex", "invocation"),
            ] {
                arguments.extend(parameters.contains(semantic).then(|| argument.into()));
            }
            let line = line
                .replace(" : SV_GroupID", "")
                .replace(" : SV_GroupIndex", "");
            text += &format!("static inline {line}\n");
        } else if !line.starts_with("[numthreads(") {
            text += &format!("{line}\n");
        }
    }
    // With one parenthesis more around the argument.
    text = text.replace("double2(float2(", "through_float((");
    for (swizzle, function) in [
        (").xxxx", "splat4"),
        (").xxx", "splat3"),
        (").xx", "splat2"),
    ] {
        while let Some(close) = text.find(swizzle) {
            text.replace_range(close..close + swizzle.len(), ")");
            text.insert_str(opening(&text, close), function);
        }
    }
    while let Some(question) = text.find(" ? ") {
        let colon = separator(&text, question + 3);
        text.replace_range(colon..colon + 3, ", ");
        text.replace_range(question..question + 3, ", ");
        text.insert_str(opening(&text, question), "choose");
    }
    while let Some(close) = text.find(")0;") {
        let open = opening(&text, close);
        let ty = text[open + 1..close].to_owned();
        if ty.contains('[') {
            let start = text[..open].rfind('\n').unwrap() + 1;
            let (name, _) = text[start..open].split_once('=').unwrap();
            let clear = format!("memset(&{name}, 0, sizeof {name})");
            text.replace_range(start..close + 2, &clear);
        } else {
            text.replace_range(open..close + 2, &format!("{ty}{{}}"));
        }
    }
    Translated {
        has_barriers: text.contains("GroupMemoryBarrierWithGroupSync("),
        text: with_float_literals(&text),
        bind,
        arguments,
        entry_point,
    }
}

fn translated(shader: &Shader, source: String, language: Language) -> String {
    let Shader {
        dtype,
        entry_point,
        constants,
        ..
    } = shader;
    let bytes = translate_source(source, *dtype, entry_point, constants, language);
    String::from_utf8(bytes.unwrap_or_else(|error| panic!("{shader:?}: {error}"))).unwrap()
}

/// Makes functions of 64-bit bit casts, since naga's HLSL has nothing in their place: C++ then sees a vector returned as
/// another type, and keeps its bits. (A driver would convert its value, which is why float64 does not run on Direct3D.)
fn with_visible_bit_casts(wgsl: &str) -> String {
    const CASTS: [(&str, &str, &str); 4] = [
        (
            "vec2<u64>",
            "bits_of_pair",
            "(v: vec2<f64>) -> vec2<u64> { return bitcast<vec2<u64>>(v); }",
        ),
        (
            "vec2<f64>",
            "pair_of_bits",
            "(v: vec2<u64>) -> vec2<f64> { return bitcast<vec2<f64>>(v); }",
        ),
        (
            "u64",
            "bits_of_float",
            "(v: f64) -> u64 { return bits_of_pair(vec2(v)).x; }",
        ),
        (
            "f64",
            "float_of_bits",
            "(v: u64) -> f64 { return pair_of_bits(vec2(v)).x; }",
        ),
    ];
    let mut text = wgsl.to_owned();
    for (ty, name, _) in CASTS {
        text = text.replace(&format!("bitcast<{ty}>("), &format!("{name}("));
    }
    for (_, name, definition) in CASTS.into_iter().rev() {
        if text.contains(name) {
            text += &format!("\nfn {name}{definition}");
        }
    }
    text
}

/// Where the parenthesis starts that is open, or closed, at `at`.
fn opening(text: &str, at: usize) -> usize {
    let mut depth = 1;
    let found = text[..at].char_indices().rev().find(|&(_, c)| {
        depth += i32::from(c == ')') - i32::from(c == '(');
        depth == 0
    });
    found.expect("it is within parentheses").0
}

/// Where the ` : ` is that belongs to a question before `at`.
fn separator(text: &str, at: usize) -> usize {
    let mut depth = 0;
    let found = text[at..].char_indices().find(|&(i, c)| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0 && text[at + i..].starts_with(" : ")
    });
    at + found.expect("naga writes both sides of it").0
}

/// C++ takes literals without a suffix for doubles, which naga writes for floats; HLSL has an `L` for doubles.
fn with_float_literals(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_number = first.is_ascii_digit();
        let is_word = is_number || first.is_ascii_alphabetic() || first == '_';
        let mut before = ' ';
        let end = rest.find(|c: char| {
            let is_exponent = is_number && before == 'e' && "+-".contains(c);
            before = c;
            !(c.is_ascii_alphanumeric() || c == '_' || is_exponent || (is_number && c == '.'))
        });
        let end = if is_word {
            end.unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (word, after) = rest.split_at(end);
        result += match word.strip_suffix('L') {
            Some(double) if is_number && double.contains(['.', 'e']) => double,
            _ => word,
        };
        if is_number && word.contains(['.', 'e']) && word.ends_with(|c: char| c.is_ascii_digit()) {
            result.push('f');
        }
        rest = after;
    }
    result
}
