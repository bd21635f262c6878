//! Tests of dtypes and factors as text and as JSON: a round trip returns the same value, and errors name the problem.

use wgpu_elu::{DType, Elu, Factors, ParseDTypeError, Rounding};

#[test]
fn dtypes_are_parsed_from_their_names() {
    for dtype in DType::ALL {
        for name in [dtype.name(), dtype.short_name()] {
            assert_eq!(name.parse(), Ok(dtype));
            assert_eq!(name.to_uppercase().parse(), Ok(dtype));
        }
        assert_eq!(dtype.to_string(), dtype.name());
    }
    for name in ["", "float", "float32 ", "int8"] {
        let found = name.to_owned();
        let error = name.parse::<DType>().unwrap_err();
        assert_eq!(error, ParseDTypeError { found });
        let text = format!("needed float32, float16, bfloat16 or float64, found {name:?}");
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn dtypes_are_strings_in_json() {
    for dtype in DType::ALL {
        let json = serde_json::to_string(&dtype).unwrap();
        assert_eq!(json, format!("\"{dtype}\""));
        assert_eq!(serde_json::from_str::<DType>(&json).unwrap(), dtype);
    }
    let error = serde_json::from_str::<DType>("\"int8\"").unwrap_err();
    let text = "needed float32, float16, bfloat16 or float64, found \"int8\"";
    assert!(error.to_string().starts_with(text), "{error}");
    assert!(serde_json::from_str::<DType>("32").is_err());
}

#[test]
fn factors_are_objects_in_json() {
    let elu = Elu::from(Factors::SELU);
    let json = serde_json::to_string(&elu).unwrap();
    assert_eq!(
        json,
        r#"{"alpha":1.6732632423543772,"scale":1.0507009873554805,"input_scale":1.0,"rounding":"faithful"}"#
    );
    assert_eq!(serde_json::from_str::<Elu>(&json).unwrap(), elu);
    let nearest = elu.with_rounding(Rounding::Nearest);
    let json = serde_json::to_string(&nearest).unwrap();
    assert_eq!(serde_json::from_str::<Elu>(&json).unwrap(), nearest);
    // The rounding may be missing.
    let json = serde_json::to_string(&Factors::SELU).unwrap();
    assert_eq!(
        json,
        r#"{"alpha":1.6732632423543772,"scale":1.0507009873554805,"input_scale":1.0}"#
    );
    assert_eq!(serde_json::from_str::<Elu>(&json).unwrap(), elu);
    assert_eq!(
        serde_json::from_str::<Factors>(&json).unwrap(),
        Factors::SELU
    );
    for alpha in [f64::INFINITY, f64::NAN] {
        let error = serde_json::to_string(&Elu::new(alpha)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("JSON has no number for alpha {alpha}")
        );
    }
    for (json, text) in [
        (
            r#"{"alpha":1.0,"scale":0.0,"input_scale":1.0}"#,
            "scale must be between 2^-64 and 2^64, found 0",
        ),
        (
            r#"{"alpha":1.0,"scale":1.0}"#,
            "missing field `input_scale`",
        ),
        (
            r#"{"alpha":1.0,"scale":1.0,"input_scale":1.0,"beta":2.0}"#,
            "unknown field `beta`",
        ),
    ] {
        let error = serde_json::from_str::<Elu>(json).unwrap_err();
        assert!(error.to_string().starts_with(text), "{error}");
    }
}
