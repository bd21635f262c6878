//! Tests of `elu shader`.

use std::fs;

use wgpu_elu::{
    DType, Op,
    shader::{Shared, function, source},
};

use crate::common::Folder;

#[test]
fn shader() {
    let folder = Folder::new();
    let print = |args: &[&str]| {
        let output = folder.elu(&[&["shader"], args].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {error}");
        assert_eq!(error, "", "{args:?}");
        output.stdout
    };
    let wgsl = |dtype, op, x, grad| source(dtype, op, Shared { x, grad }).into_bytes();
    let (x, grad) = (true, true);
    assert_eq!(print(&[]), wgsl(DType::F32, Op::Forward, !x, !grad));
    assert_eq!(
        print(&["--in-place"]),
        wgsl(DType::F32, Op::Forward, x, !grad)
    );
    for (dtype, op) in DType::ALL
        .into_iter()
        .flat_map(|dtype| Op::ALL.map(|op| (dtype, op)))
    {
        let args = ["--dtype", dtype.name(), "--op", op.name()];
        assert_eq!(print(&args), wgsl(dtype, op, !x, !grad));
        let args = [&args[..], &["--in-place"]].concat();
        assert_eq!(print(&args), wgsl(dtype, op, !op.has_grad(), op.has_grad()));
    }
    for (alias, name) in [
        ("f32", "float32"),
        ("f16", "float16"),
        ("bf16", "bfloat16"),
        ("f64", "float64"),
    ] {
        assert_eq!(print(&["--dtype", alias]), print(&["--dtype", name]));
    }

    let glsl = |args: &[&str]| {
        String::from_utf8(print(&[&["--language", "glsl"], args].concat())).unwrap()
    };
    let size = |n: u32| format!("local_size_x = {n},");
    assert!(glsl(&[]).starts_with("#version 450 core\n"));
    assert!(glsl(&[]).contains(&size(256)) && glsl(&["--software"]).contains(&size(64)));
    assert_ne!(glsl(&[]), glsl(&["--entry", "elements"]));
    assert_eq!(glsl(&[]), glsl(&["--entry", "vectors", "-o", "-"]));

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

    let has_unit_factors = |args: &[&str]| {
        let glsl = print(&[&["--language", "glsl"], args].concat());
        String::from_utf8(glsl)
            .unwrap()
            .contains("const bool unit_factors = true;")
    };
    assert!(has_unit_factors(&[]) && has_unit_factors(&["--alpha", "1", "--entry", "elements"]));
    assert!(!has_unit_factors(&["--alpha", "2"]));

    for dtype in DType::ALL {
        let args = ["--function", "--dtype", dtype.name()];
        assert_eq!(print(&args), function(dtype).into_bytes());
    }
    let output = folder.elu(&["shader", "--function", "--op", "backward"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.starts_with("error: the argument '--function' cannot be used with '--op <OP>'"),
        "{said}"
    );

    let metal = ["shader", "--dtype", "float64", "--language", "msl"];
    for args in [&metal[..], &[&metal[..], &["-o", "elu.metal"]].concat()] {
        assert_eq!(
            folder.usage_error(args),
            "float64 has no MSL, since Metal has no 64-bit floats: choose another --dtype or --language"
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
    for args in [
        ["shader", "--language", "cuda"],
        ["shader", "--dtype", "float8"],
        ["shader", "--op", "sideways"],
        ["shader", "--entry", "main"],
    ] {
        let output = folder.elu(&args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.contains("[possible values: "), "{args:?}: {error}");
    }
}
