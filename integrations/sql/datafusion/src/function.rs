//! The functions as DataFusion calls them.

use std::{
    hash::{Hash, Hasher},
    ops::RangeInclusive,
    sync::Arc,
};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
    expr::ScalarFunction,
    interval_arithmetic::Interval,
    simplify::{ExprSimplifyResult, SimplifyContext},
    sort_properties::{ExprProperties, SortProperties},
};
use wgpu_elu::{Elu, Op, Rounding};

use crate::{
    bounds,
    compute::{Call, all_rows, check},
    documentation::documentation,
    settings, types,
};

/// Which function it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Elu,
    Selu,
    Celu,
    Backward,
    BackwardFromOutput,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::Elu,
        Self::Selu,
        Self::Celu,
        Self::Backward,
        Self::BackwardFromOutput,
    ];

    /// Returns the name of the form with this rounding.
    pub(crate) fn name(self, rounding: Rounding) -> &'static str {
        match (self, rounding == Rounding::Nearest) {
            (Self::Elu, false) => "elu",
            (Self::Elu, true) => "elu_nearest",
            (Self::Selu, false) => "selu",
            (Self::Selu, true) => "selu_nearest",
            (Self::Celu, false) => "celu",
            (Self::Celu, true) => "celu_nearest",
            (Self::Backward, false) => "elu_backward",
            (Self::Backward, true) => "elu_backward_nearest",
            (Self::BackwardFromOutput, false) => "elu_backward_from_output",
            (Self::BackwardFromOutput, true) => "elu_backward_from_output_nearest",
        }
    }

    /// Returns the call as messages show it.
    pub(crate) fn syntax(self, rounding: Rounding) -> String {
        let arguments = match self {
            Self::Elu => "x [, alpha]",
            Self::Selu => "x",
            Self::Celu => "x, alpha",
            Self::Backward => "x, grad [, alpha]",
            Self::BackwardFromOutput => "y, grad [, alpha]",
        };
        format!("{}({arguments})", self.name(rounding))
    }

    pub(crate) fn op(self) -> Op {
        match self {
            Self::Elu | Self::Selu | Self::Celu => Op::Forward,
            Self::Backward => Op::Backward,
            Self::BackwardFromOutput => Op::BackwardFromOutput,
        }
    }

    pub(crate) fn has_grad(self) -> bool {
        self.op() != Op::Forward
    }

    /// Returns the number of arguments before alpha.
    pub(crate) fn inputs(self) -> usize {
        1 + usize::from(self.has_grad())
    }

    /// Returns the names of the arguments before alpha. The second is used by gradients only.
    pub(crate) fn input_names(self) -> [&'static str; 2] {
        match self {
            Self::BackwardFromOutput => ["y", "grad"],
            _ => ["x", "grad"],
        }
    }

    /// Returns the numbers of arguments that the function takes.
    pub(crate) fn arguments(self) -> RangeInclusive<usize> {
        match self {
            Self::Elu => 1..=2,
            Self::Selu => 1..=1,
            Self::Celu => 2..=2,
            Self::Backward | Self::BackwardFromOutput => 2..=3,
        }
    }

    /// Describes the function with this alpha, or with its default.
    pub(crate) fn elu(self, alpha: Option<f64>, rounding: Rounding) -> wgpu_elu::Result<Elu> {
        let elu = match self {
            Self::Selu => Elu::selu(),
            Self::Celu => Elu::celu(alpha.unwrap_or(1.0))?,
            Self::Elu | Self::Backward | Self::BackwardFromOutput => Elu::new(alpha.unwrap_or(1.0)),
        };
        Ok(elu.with_rounding(rounding))
    }
}

/// A function with its rounding.
#[derive(Debug)]
pub(crate) struct Function {
    kind: Kind,
    rounding: Rounding,
    signature: Signature,
    documentation: Documentation,
}

impl Function {
    pub(crate) fn new(kind: Kind, rounding: Rounding) -> Self {
        let inputs = kind.input_names().into_iter().take(kind.inputs());
        let alpha = (kind != Kind::Selu).then_some("alpha");
        let names = inputs.chain(alpha).map(Into::into).collect();
        let mut signature = Signature::user_defined(Volatility::Immutable);
        signature.parameter_names = Some(names);
        Self {
            kind,
            rounding,
            signature,
            documentation: documentation(kind, rounding),
        }
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.kind.name(self.rounding)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        types::coerced(self.kind, self.rounding, types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        internal_err!("{}: return_field_from_args returns the type", self.name())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let Some(x) = args.arg_fields.first() else {
            return plan_err!("{} needs arguments", self.kind.syntax(self.rounding));
        };
        if let Some(Some(alpha)) = args.scalar_arguments.get(self.kind.inputs())
            && let ScalarValue::Float64(Some(alpha)) = alpha.cast_to(&DataType::Float64)?
            && let Err(message) = self.check_alpha(alpha, x.data_type())
        {
            return plan_err!("{message}");
        }
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        let field = Field::new(self.name(), x.data_type().clone(), nullable);
        Ok(Arc::new(field.with_metadata(x.metadata().clone())))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rounding = match self.rounding {
            Rounding::Nearest => Rounding::Nearest,
            // The planner has replaced the function with its nearest form, unless it did not simplify the expression.
            _ => settings::rounding(&args.config_options),
        };
        self.invoke(args.args, args.number_rows, rounding)
    }

    /// Replaces the function with its nearest form if the session asks for it. The plan then says so, wherever it runs.
    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let asked = settings::rounding(info.config_options());
        if asked == self.rounding || asked == Rounding::Faithful {
            return Ok(ExprSimplifyResult::Original(args));
        }
        let nearest = ScalarUDF::new_from_impl(Self::new(self.kind, asked));
        let call = ScalarFunction::new_udf(Arc::new(nearest), args);
        Ok(ExprSimplifyResult::Simplified(Expr::ScalarFunction(call)))
    }

    fn evaluate_bounds(&self, inputs: &[&Interval]) -> Result<Interval> {
        bounds::bounds(self.kind, self.rounding, inputs)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        Ok(bounds::ordering(self.kind, self.rounding, inputs))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

// ---- Internals ----

impl Function {
    /// Fails if the function cannot be computed with this alpha.
    fn check_alpha(&self, alpha: f64, data_type: &DataType) -> Result<(), String> {
        let elu = self.kind.elu(Some(alpha), self.rounding);
        elu.and_then(|elu| check(self.kind.op(), elu, data_type))
            .map_err(|error| format!("{}: {error}", self.name()))
    }

    fn invoke(
        &self,
        args: Vec<ColumnarValue>,
        rows: usize,
        rounding: Rounding,
    ) -> Result<ColumnarValue> {
        let call = Call {
            name: self.name(),
            op: self.kind.op(),
        };
        if !self.kind.arguments().contains(&args.len()) {
            let syntax = self.kind.syntax(self.rounding);
            return exec_err!("{syntax} was called with {} arguments", args.len());
        }
        let is_scalar = |arg: &ColumnarValue| matches!(arg, ColumnarValue::Scalar(_));
        let all_scalars = args.iter().all(is_scalar);
        let rows = if all_scalars { 1 } else { rows };
        let mut inputs = args;
        let alpha = inputs.split_off(self.kind.inputs()).pop();
        let inputs = inputs.into_iter().map(|input| input.into_array(rows));
        let inputs: Vec<_> = inputs.collect::<Result<_>>()?;
        let rows = inputs.first().map_or(0, |x| x.len());
        let elu = |alpha| call.explain(self.kind.elu(alpha, rounding));
        let y = match alpha {
            None => call.apply(&all_rows(elu(None)?, rows), inputs)?,
            Some(ColumnarValue::Scalar(alpha)) => match alpha.cast_to(&DataType::Float64)? {
                ScalarValue::Float64(Some(alpha)) => {
                    call.apply(&all_rows(elu(Some(alpha))?, rows), inputs)?
                }
                _ => {
                    let x = inputs.first().map_or(&DataType::Null, |x| x.data_type());
                    return Ok(ColumnarValue::Scalar(ScalarValue::try_new_null(x)?));
                }
            },
            Some(ColumnarValue::Array(alpha)) => call.apply_by_row(elu, &alpha, inputs)?,
        };
        Ok(match all_scalars {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&y, 0)?),
            false => ColumnarValue::Array(y),
        })
    }
}
