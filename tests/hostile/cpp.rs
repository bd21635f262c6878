//! Translates shaders to C++: naga's MSL and HLSL, with replacements for what C++ does not accept.
//!
//! `metal.h` and `hlsl.h` replace the standard libraries of the two languages, and `dispatch.h` runs the entry points.

use wgpu_elu::DType;

use super::compiler::Shader;
use wgpu_elu::translate::{Language, translate_source};

/// Returns the source of a program with all these shaders.
pub(crate) fn cpp(shaders: &[Shader]) -> String {
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

// ---- Internals ----

/// A shader as C++.
struct Translated {
    text: String,
    /// Statements that bind the buffers of a `dispatch` to the global variables of the shader.
    bind: String,
    /// The arguments of the entry point, for a function with the parameters `dispatch`, `group` and `invocation`.
    arguments: Vec<String>,
    has_barriers: bool,
    entry_point: &'static str,
}

fn from_msl(shader: &Shader) -> Translated {
    let entry_point = shader.entry_point;
    let msl = translate(shader, shader.source.clone(), Language::Msl);
    let lines = msl.lines().filter(|line| !line.starts_with("#include"));
    // naga declares arrays of run-time length with one element, so clang could assume that every index is 0. 2^24
    // elements are more than any buffer has.
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
    let hlsl = translate(
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
    let text = without_hlsl_syntax(text);
    Translated {
        has_barriers: text.contains("GroupMemoryBarrierWithGroupSync("),
        text: with_float_literals(&text),
        bind,
        arguments,
        entry_point,
    }
}

/// Replaces syntax that C++ does not support: swizzles of scalars, `? :` with vectors, and `(T)0` for zeros of any
/// type. A conversion from double to float and back becomes a call of `through_float`.
fn without_hlsl_syntax(mut text: String) -> String {
    // `inner` is the offset of the inner opening parenthesis, which stays. The outer one becomes that of the call.
    for (conversions, inner) in [("double2(float2(", 14), ("double(float(", 12)] {
        let mut from = 0;
        while let Some(at) = text[from..].find(conversions).map(|at| from + at) {
            from = at + inner;
            if text[closing(&text, from + 1)..].starts_with("))") {
                text.replace_range(at..from, "through_float(");
            }
        }
    }
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
        text.insert_str(opening(&text, question), "conditional");
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
    text
}

fn translate(shader: &Shader, source: String, language: Language) -> String {
    let Shader {
        dtype,
        entry_point,
        constants,
        ..
    } = shader;
    let bytes = translate_source(source, *dtype, entry_point, constants, language);
    String::from_utf8(bytes.unwrap_or_else(|error| panic!("{shader:?}: {error}"))).unwrap()
}

/// Turns 64-bit bit casts into calls of functions. naga's HLSL omits these casts, so that an expression has a different
/// type than its use expects. A function with an explicit return type shows C++ where to convert.
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
    let mut text = without_aliases(wgsl);
    for (ty, name, _) in CASTS {
        text = text.replace(&format!("bitcast<{ty}>("), &format!("{name}("));
    }
    // In reverse order, because the functions for scalars call those for pairs.
    for (_, name, definition) in CASTS.into_iter().rev() {
        if text.contains(name) {
            text += &format!("\nfn {name}{definition}");
        }
    }
    text
}

/// Replaces aliases by their types, so that bit casts name the types. An alias may refer to another alias.
fn without_aliases(wgsl: &str) -> String {
    let mut text = wgsl.to_owned();
    while let Some(start) = text.find("\nalias ") {
        let end = start + text[start..].find(';').unwrap() + 1;
        let declaration = text[start..end].to_owned();
        let (name, ty) = declaration["\nalias ".len()..declaration.len() - 1]
            .split_once(" = ")
            .unwrap();
        text.replace_range(start..end, "\n");
        let is_in_name = |c: char| c.is_alphanumeric() || c == '_';
        let mut from = 0;
        while let Some(at) = text[from..].find(name).map(|at| from + at) {
            from = at + name.len();
            if !text[..at].ends_with(is_in_name) && !text[from..].starts_with(is_in_name) {
                text.replace_range(at..from, ty);
                from = at + ty.len();
            }
        }
    }
    text
}

/// Returns the position of the parenthesis that opens the expression around `at`.
fn opening(text: &str, at: usize) -> usize {
    let mut depth = 1;
    let position = text[..at].char_indices().rev().find(|&(_, c)| {
        depth += i32::from(c == ')') - i32::from(c == '(');
        depth == 0
    });
    position.expect("parentheses surround the position").0
}

/// Returns the position of the parenthesis that closes the expression around `at`.
fn closing(text: &str, at: usize) -> usize {
    let mut depth = 1;
    let position = text[at..].char_indices().find(|&(_, c)| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0
    });
    at + position.expect("parentheses surround the position").0
}

/// Returns the position of the ` : ` that belongs to the `?` before `at`.
fn separator(text: &str, at: usize) -> usize {
    let mut depth = 0;
    let position = text[at..].char_indices().find(|&(i, c)| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0 && text[at + i..].starts_with(" : ")
    });
    at + position.expect("a `?` has a ` : `").0
}

/// Changes the suffixes of literals to those of C++. Floats get the suffix `f`, because naga writes them without one,
/// which C++ reads as double. Doubles lose the suffix `L` of HLSL.
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
