//! Tests of the options that select ELU, SELU or CELU and their factors, in every command that has them.

use std::fs;

use conformance::native::{check_results, varied};
use wgpu_elu::{
    DType, Elu, Factors, Op,
    accuracy::{self, Judge, from_bytes, to_bytes},
};

use crate::common::{Folder, folder_with_x, header, npy, parts};

#[test]
fn every_function_keeps_the_contract_and_is_named() {
    let (op, dtype) = (Op::Forward, DType::F32);
    let all: Factors = Factors::new(0.5, 2.0, 3.0).unwrap();
    let scaled = Factors::new(4.0, 2.0, 0.25).unwrap();
    for (args, elu, what) in [
        (&[][..], Elu::new(1.0), "alpha 1"),
        (&["--selu"], Elu::selu(), "SELU"),
        (&["--celu", "4"], Elu::celu(4.0).unwrap(), "CELU, alpha 4"),
        (
            &["--celu", "4.0", "--scale", "2"],
            scaled.into(),
            "CELU, alpha 4.0, scale 2",
        ),
        (
            &["--alpha", "0.5", "--scale", "2", "--input-scale", "3"],
            all.into(),
            "alpha 0.5, scale 2, input scale 3",
        ),
    ] {
        let folder = Folder::new();
        let x: Vec<u64> = varied(500)
            .iter()
            .map(|&v| accuracy::bits(dtype, v.into()))
            .collect();
        let file = npy(1, &header("<f4", false, "(500,)"), &to_bytes(dtype, &x));
        folder.write("x.npy", &file);
        let stderr = folder.success(&[&["run", "x.npy", "-d", "cpu"], args].concat());
        assert!(stderr.contains(&format!("), {what}, ")), "{stderr}");
        let y = fs::read(folder.path("x.elu.npy")).unwrap();
        let y = from_bytes(dtype, &y[y.len() - 2000..]);
        check_results(what, Judge { op, dtype, elu }, &x, &[], &y);
    }
}

#[test]
fn gradients_name_the_function() {
    let folder = folder_with_x();
    for (args, what) in [
        (&["--selu"][..], "SELU's gradient"),
        (&["--celu", "2"], "CELU's gradient, alpha 2"),
        (&["--scale", "2"], "ELU's gradient, alpha 1, scale 2"),
    ] {
        let gradient = [
            "run", "x.npy", "-d", "cpu", "-f", "--op", "backward", "--grad", "x.npy",
        ];
        let stderr = folder.success(&[&gradient[..], args].concat());
        assert!(stderr.contains(&format!("), {what}, ")), "{stderr}");
    }
}

#[test]
fn check_and_bench_name_the_function() {
    let folder = Folder::new();
    let title = |args: &[&str]| {
        let (code, text, error) = parts(folder.elu(args));
        assert_eq!(code, Some(0), "{error}");
        text.lines().next().unwrap_or_default().to_owned()
    };
    let check = ["check", "-d", "cpu", "--dtype", "float16"];
    let bench = ["bench", "-d", "cpu", "--dtype", "float16", "--max", "2^10"];
    for (args, what) in [
        (&["--selu"][..], "SELU"),
        (&["--celu", "2"], "CELU, alpha 2"),
        (
            &["--scale", "2", "--op", "backward-from-output"],
            "alpha 1, scale 2",
        ),
    ] {
        let op = args.get(3).unwrap_or(&"forward");
        let text = title(&[&check[..], args].concat());
        assert!(
            text.starts_with(&format!("{op} float16, {what}, on CPU")),
            "{text}"
        );
        let text = title(&[&bench[..], args].concat());
        assert_eq!(text, format!("{op} float16, {what}"));
    }
    let (_, json, _) = parts(folder.elu(&[&check[..], &["--celu", "2", "--json", "-"]].concat()));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        [&json["alpha"], &json["scale"], &json["input_scale"]],
        [2.0, 1.0, 0.5]
    );
}

/// The chart also needs the textbook formula of the function. A unit test of the chart checks what is drawn.
#[test]
fn a_chart_can_be_drawn_for_every_function() {
    let folder = Folder::new();
    for args in [
        &["--selu"][..],
        &["--celu", "2"],
        &["--celu", "2", "--op", "backward"],
    ] {
        let check = [
            "check", "-d", "cpu", "--dtype", "float16", "--plot", "e.svg", "-f",
        ];
        let (code, _, error) = parts(folder.elu(&[&check[..], args].concat()));
        assert_eq!(code, Some(0), "{error}");
    }
}

#[test]
fn shaders_are_specialized_for_the_function() {
    let folder = Folder::new();
    let glsl = |args: &[&str]| {
        let (code, text, error) = parts(folder.elu(&[&["shader", "-l", "glsl"], args].concat()));
        assert_eq!(code, Some(0), "{error}");
        text
    };
    // The shader depends only on whether all factors are 1, and on whether `input_scale` is 1.
    let (alpha, selu, celu) = (
        glsl(&["-a", "2"]),
        glsl(&["--selu"]),
        glsl(&["--celu", "2"]),
    );
    assert_eq!(alpha, selu);
    assert_eq!(alpha, glsl(&["--scale", "2"]));
    assert_eq!(celu, glsl(&["--input-scale", "2"]));
    assert_ne!(alpha, celu);
    assert_ne!(alpha, glsl(&[]));
    let (code, _, error) = parts(folder.elu(&["shader", "--function", "--selu"]));
    let start = "error: the argument '--function' cannot be used with '--selu'\n";
    assert!(code == Some(2) && error.starts_with(start), "{error}");
}

#[test]
fn wrong_factors_are_refused() {
    let folder = folder_with_x();
    let error =
        |args: &[&str]| folder.usage_error(&[&["run", "x.npy", "-d", "cpu"], args].concat());
    for option in ["--celu", "--scale", "--input-scale"] {
        for text in ["0", "-1", "1e30", "inf", "nan", "two", ""] {
            assert_eq!(
                error(&[option, text]),
                format!("{option} {text:?}: needed a number from 2^-64 to 2^64, such as 0.5")
            );
        }
    }
    assert_eq!(
        error(&["--alpha", "3e38", "--scale", "10"]),
        "x.npy: --alpha \"3e38\" and --scale \"10\": for float32, needed as their product inf or a float32 number, at most \
         3.4028235e38 in magnitude"
    );
    folder.write("x8.npy", &npy(1, &header("<f8", false, "()"), &[0; 8]));
    assert_eq!(
        folder.usage_error(&[
            "run", "x8.npy", "-d", "cpu", "-a", "1e308", "--scale", "100"
        ]),
        "x8.npy: --alpha \"1e308\" and --scale \"100\": for float64, needed as their product inf or a float64 number, at most \
         1.7976931348623157e308 in magnitude"
    );
    // The product matters, not alpha.
    folder.success(&["run", "x.npy", "-d", "cpu", "-a", "1e39", "--scale", "1e-9"]);
}

#[test]
fn functions_exclude_each_other() {
    let folder = folder_with_x();
    for command in ["run x.npy", "check", "bench", "shader"] {
        for (first, second) in [
            ("--selu", "--alpha 1"),
            ("--selu", "--celu 1"),
            ("--selu", "--scale 1"),
            ("--selu", "--input-scale 1"),
            ("--celu 1", "--alpha 1"),
            ("--celu 1", "--input-scale 1"),
        ] {
            let line = format!("{command} {first} {second}");
            let (code, _, error) = parts(folder.elu(&line.split(' ').collect::<Vec<_>>()));
            let start = "error: the argument '--";
            assert!(
                code == Some(2) && error.starts_with(start),
                "{line}: {error}"
            );
            assert!(error.contains(" cannot be used with "), "{line}: {error}");
        }
    }
}
