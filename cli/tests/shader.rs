//! Tests of `elu shader`.

use std::fs;

use wgpu_elu::{
    DType, Op, Rounding,
    shader::{Shared, function, source},
};

use crate::common::Folder;

/// Returns what `elu shader` prints in this folder.
fn print_in(folder: &Folder, args: &[&str]) -> Vec<u8> {
    let output = folder.elu(&[&["shader"], args].concat());
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{args:?}: {error}");
    assert_eq!(error, "", "{args:?}");
    output.stdout
}

fn print(args: &[&str]) -> Vec<u8> {
    print_in(&Folder::new(), args)
}

fn glsl(args: &[&str]) -> String {
    String::from_utf8(print(&[&["--language", "glsl"], args].concat())).unwrap()
}

#[test]
fn wgsl_is_the_exact_source() {
    let wgsl = |dtype, op, x, grad| {
        source(dtype, op, Rounding::Faithful, Shared { x, grad })
            .unwrap()
            .into_bytes()
    };
    assert_eq!(print(&[]), wgsl(DType::F32, Op::Forward, false, false));
    for (dtype, op) in DType::ALL
        .into_iter()
        .flat_map(|dtype| Op::ALL.map(|op| (dtype, op)))
    {
        let args = ["--dtype", dtype.name(), "--op", op.name()];
        assert_eq!(print(&args), wgsl(dtype, op, false, false));
        let args = [&args[..], &["--in-place"]].concat();
        assert_eq!(print(&args), wgsl(dtype, op, !op.has_grad(), op.has_grad()));
    }
}

#[test]
fn dtypes_have_short_names_in_either_case() {
    for dtype in DType::ALL {
        let full = print(&["--dtype", dtype.name()]);
        assert_eq!(print(&["--dtype", dtype.short_name()]), full);
        assert_eq!(
            print(&["--dtype", &dtype.short_name().to_uppercase()]),
            full
        );
    }
}

#[test]
fn glsl_has_the_shape_and_the_entry_point() {
    let size = |n: u32| format!("local_size_x = {n},");
    assert!(glsl(&[]).starts_with("#version 450 core\n"));
    assert!(glsl(&[]).contains(&size(256)) && glsl(&["--software"]).contains(&size(64)));
    assert_ne!(glsl(&[]), glsl(&["--entry", "elements"]));
    assert_eq!(glsl(&[]), glsl(&["--entry", "vectors", "-o", "-"]));
}

#[test]
fn alpha_selects_the_specialization() {
    let has_unit_factors = |args: &[&str]| glsl(args).contains("const bool unit_factors = true;");
    assert!(has_unit_factors(&[]) && has_unit_factors(&["--alpha", "1", "--entry", "elements"]));
    assert!(!has_unit_factors(&["--alpha", "2"]));
}

#[test]
fn spirv_goes_to_a_file() {
    let folder = Folder::new();
    let print = |args: &[&str]| print_in(&folder, args);
    let magic = 0x0723_0203u32.to_le_bytes();
    assert!(print(&["--language", "spirv"]).starts_with(&magic));
    assert_eq!(print(&["--language", "spirv", "-o", "elu.spv"]), b"");
    let written = fs::read(folder.path("elu.spv")).unwrap();
    assert_eq!(written, print(&["--language", "spirv"]));
    assert_eq!(
        folder.error(&["shader", "-o", "elu.spv"]),
        "elu.spv: already exists: use --force to replace it"
    );
    assert_eq!(fs::read(folder.path("elu.spv")).unwrap(), written);
    print(&["-o", "elu.spv", "--force"]);
    assert_eq!(fs::read(folder.path("elu.spv")).unwrap(), print(&[]));
}

#[test]
fn functions_for_other_shaders() {
    for dtype in DType::ALL {
        let args = ["--function", "--dtype", dtype.name()];
        assert_eq!(print(&args), function(dtype).into_bytes());
    }
    for (args, name) in [
        (&["--op", "backward"][..], "--op <OP>"),
        (&["--nearest"], "--nearest"),
    ] {
        let output = Folder::new().elu(&[&["shader", "--function"], args].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        let start = format!("error: the argument '--function' cannot be used with '{name}'");
        assert!(error.starts_with(&start), "{error}");
    }
}

#[test]
fn languages_without_float64_are_refused() {
    let folder = Folder::new();
    let metal = ["shader", "--dtype", "float64", "--language", "msl"];
    for args in [&metal[..], &[&metal[..], &["-o", "elu.metal"]].concat()] {
        assert_eq!(
            folder.usage_error(args),
            "float64 has no MSL, because Metal has no 64-bit floats: choose another --dtype or --language"
        );
    }
    for (language, title) in [("hlsl", "HLSL"), ("glsl", "GLSL")] {
        assert_eq!(
            folder.usage_error(&["shader", "--dtype", "float64", "--language", language]),
            format!(
                "float64 has no {title}, because naga does not write the 64-bit integers that it needs: choose another --dtype or \
                 --language"
            )
        );
    }
}

#[test]
fn unknown_names_are_refused() {
    for args in [
        ["shader", "--language", "cuda"],
        ["shader", "--dtype", "float8"],
        ["shader", "--op", "sideways"],
        ["shader", "--entry", "main"],
    ] {
        let output = Folder::new().elu(&args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.contains("[possible values: "), "{args:?}: {error}");
    }
}
