//! What `information_schema` and DataFusion's tools show about the functions.

use datafusion_expr::{Documentation, scalar_doc_sections::DOC_SECTION_MATH};
use wgpu_elu::Rounding;

use crate::function::Kind;

const VALUES: &str = "Numbers, or lists of numbers.";
const GRAD: &str = "The gradient with respect to the output, with the type and the list lengths of the first argument.";

/// Returns the documentation of a function.
pub(crate) fn documentation(kind: Kind, rounding: Rounding) -> Documentation {
    let name = kind.name(rounding);
    let (description, alpha) = match kind {
        Kind::Elu => (
            "The ELU activation: x where x >= 0, else alpha * (exp(x) - 1)",
            Some("Any number, or a column of numbers. The default is 1."),
        ),
        Kind::Selu => (
            "The SELU activation: 1.0507 * elu(x, 1.6733), with all digits of its constants",
            None,
        ),
        Kind::Celu => (
            "The CELU activation: x where x >= 0, else alpha * (exp(x / alpha) - 1)",
            Some("A number between 2^-64 and 2^64, or a column of such numbers."),
        ),
        Kind::Backward => (
            "The gradient of ELU with respect to x: grad where x > 0, else grad * alpha * exp(x)",
            Some("Any number, or a column of numbers. The default is 1."),
        ),
        Kind::BackwardFromOutput => (
            "The gradient of ELU from its output y: grad where y > 0, else grad * (y + alpha)",
            Some("A positive number, or a column of such numbers. The default is 1."),
        ),
    };
    let accuracy = match rounding {
        Rounding::Nearest => "the nearest number, with the same bits on every machine",
        _ => "within 1 ULP of the exact value (Float64: 2 ULP)",
    };
    let builder = Documentation::builder(
        DOC_SECTION_MATH,
        format!("{description}. Results are {accuracy}."),
        kind.syntax(rounding),
    );
    let builder = match kind {
        Kind::BackwardFromOutput => builder.with_argument("y", "The result of elu(x, alpha)."),
        _ => builder.with_argument("x", VALUES),
    };
    let builder = match kind.has_grad() {
        true => builder.with_argument("grad", GRAD),
        false => builder,
    };
    let builder = match alpha {
        Some(alpha) => builder.with_argument("alpha", alpha),
        None => builder,
    };
    let arguments = match kind {
        Kind::Elu | Kind::Selu => "-0.5",
        Kind::Celu => "-0.5, 2.0",
        Kind::Backward | Kind::BackwardFromOutput => "-0.5, 1.0",
    };
    builder
        .with_sql_example(format!("SELECT {name}({arguments})"))
        .build()
}
