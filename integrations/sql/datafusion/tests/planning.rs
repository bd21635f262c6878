use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field};
use datafusion_common::config::{ConfigOptions, ExtensionOptions};
use datafusion_expr::{
    Expr, ReturnFieldArgs, Volatility, lit,
    registry::{FunctionRegistry, MemoryFunctionRegistry},
    simplify::{ExprSimplifyResult, SimplifyContext},
};
use wgpu_elu_datafusion::{Rounding, Settings, functions, register};

use crate::support::{Argument, array, call, call_with, f32s, function};

#[test]
fn registers_ten_functions() {
    let mut registry = MemoryFunctionRegistry::new();
    register(&mut registry).unwrap();
    let mut names: Vec<_> = registry.udfs().into_iter().collect();
    names.sort();
    let mut expected: Vec<_> = [
        "celu",
        "elu",
        "elu_backward",
        "elu_backward_from_output",
        "selu",
    ]
    .iter()
    .flat_map(|name| [name.to_string(), format!("{name}_nearest")])
    .collect();
    expected.sort();
    assert_eq!(names, expected);
    register(&mut registry).unwrap(); // replaces them
    assert_eq!(registry.udfs().len(), 10);
}

#[test]
fn results_are_nullable_if_an_argument_is() {
    let elu = function("elu");
    for (x_nullable, alpha_nullable) in [(false, false), (true, false), (false, true)] {
        let fields = [
            Arc::new(Field::new("x", DataType::Float32, x_nullable)),
            Arc::new(Field::new("alpha", DataType::Float64, alpha_nullable)),
        ];
        let field = elu.return_field_from_args(ReturnFieldArgs {
            arg_fields: &fields,
            scalar_arguments: &[None, None],
        });
        assert_eq!(field.unwrap().is_nullable(), x_nullable || alpha_nullable);
    }
}

#[test]
fn results_keep_the_metadata_of_x() {
    let metadata = HashMap::from([("model".to_string(), "v3".to_string())]);
    let item = Field::new("item", DataType::Float32, false).with_metadata(metadata.clone());
    let list = DataType::FixedSizeList(Arc::new(item), 64);
    let x = Field::new("x", list, false).with_metadata(metadata.clone());
    let field = function("elu").return_field_from_args(ReturnFieldArgs {
        arg_fields: &[Arc::new(x.clone())],
        scalar_arguments: &[None],
    });
    let field = field.unwrap();
    assert_eq!(field.metadata(), &metadata);
    assert_eq!(field.data_type(), x.data_type()); // with the name and the metadata of the elements
}

#[test]
fn functions_are_pure_strict_and_have_named_parameters() {
    for function in functions() {
        assert_eq!(function.signature().volatility, Volatility::Immutable);
        assert!(function.inner().is_strict());
        let names = function.signature().parameter_names.as_ref().unwrap();
        let documented = function
            .documentation()
            .unwrap()
            .arguments
            .as_ref()
            .unwrap();
        let documented: Vec<_> = documented.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, &documented, "{}", function.name());
    }
}

#[test]
fn functions_are_documented() {
    let elu = function("elu");
    let documentation = elu.documentation().unwrap();
    assert_eq!(
        documentation.description,
        "The ELU activation: x where x >= 0, else alpha * (exp(x) - 1). Results are within 1 ULP of the exact value \
         (Float64: 2 ULP)."
    );
    assert_eq!(documentation.syntax_example, "elu(x [, alpha])");
    for function in functions() {
        let documentation = function.documentation().unwrap();
        let call = format!("{}(", function.name());
        assert!(documentation.syntax_example.starts_with(&call));
        assert!(documentation.sql_example.as_ref().unwrap().contains(&call));
    }
}

fn nearest() -> ConfigOptions {
    let mut options = ConfigOptions::new();
    options.extensions.insert(Settings::default());
    options.set("wgpu_elu.rounding", "nearest").unwrap();
    options
}

#[test]
fn settings_are_read_and_listed() {
    let options = nearest();
    assert_eq!(
        options.extensions.get::<Settings>().unwrap().rounding,
        Rounding::Nearest
    );
    let entries = options.entries();
    let listed: Vec<_> = entries
        .iter()
        .filter(|entry| entry.key.contains("rounding"))
        .collect();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].key, "wgpu_elu.rounding");
    assert_eq!(listed[0].value.as_deref(), Some("nearest"));

    let mut settings = Settings::default();
    for (key, value, message) in [
        (
            "rounding",
            "up",
            "Invalid or Unsupported Configuration: wgpu_elu.rounding must be faithful or nearest, found \"up\"",
        ),
        (
            "alpha",
            "1",
            "Invalid or Unsupported Configuration: wgpu_elu has the setting rounding, found \"alpha\"",
        ),
    ] {
        assert_eq!(
            settings.set(key, value).unwrap_err().strip_backtrace(),
            message
        );
    }
}

#[test]
fn the_planner_puts_nearest_forms_into_the_plan() {
    let simplified = |name: &str, options: ConfigOptions| {
        let context = SimplifyContext::builder()
            .with_config_options(Arc::new(options))
            .build();
        match function(name).simplify(vec![lit(1.0)], &context).unwrap() {
            ExprSimplifyResult::Simplified(Expr::ScalarFunction(call)) => {
                assert_eq!(call.args, [lit(1.0)]);
                Some(call.func.name().to_string())
            }
            ExprSimplifyResult::Original(args) => {
                assert_eq!(args, [lit(1.0)]);
                None
            }
            other => panic!("{other:?}"),
        }
    };
    for name in [
        "elu",
        "selu",
        "celu",
        "elu_backward",
        "elu_backward_from_output",
    ] {
        let form = format!("{name}_nearest");
        assert_eq!(simplified(name, nearest()), Some(form.clone()));
        assert_eq!(simplified(&form, nearest()), None);
        assert_eq!(simplified(name, ConfigOptions::new()), None);
    }
}

#[test]
fn a_plan_that_was_not_simplified_is_computed_as_the_session_asks() {
    let x: Vec<f32> = (0..1000u16).map(|i| -f32::from(i) / 100.0).collect();
    let near = array(call!("elu_nearest", f32s(x.clone()), 0.3));
    let asked = array(call_with(
        "elu",
        vec![f32s(x.clone()).into_value(), 0.3.into_value()],
        nearest(),
    ));
    let faithful = array(call!("elu", f32s(x), 0.3));
    assert_eq!(asked.as_ref(), near.as_ref());
    assert_ne!(faithful.as_ref(), near.as_ref()); // else this test could not fail
}
