//! A function in naga's IR, with queries about its expressions.

use naga::{
    BinaryOperator, Expression, Function, Handle, MathFunction, Module, RelationalFunction, Scalar,
    ScalarKind, Statement, Type, TypeInner, UnaryOperator, valid::FunctionInfo,
};

#[derive(Clone, Copy)]
pub(super) struct Body<'a> {
    pub(super) source: &'a str,
    pub(super) module: &'a Module,
    pub(super) function: &'a Function,
    pub(super) info: &'a FunctionInfo,
}

impl<'a> Body<'a> {
    pub(super) fn expression(&self, handle: Handle<Expression>) -> &'a Expression {
        &self.function.expressions[handle]
    }

    /// Returns the type of a scalar, or of a vector's components.
    fn scalar(&self, handle: Handle<Expression>) -> Option<Scalar> {
        self.info[handle].ty.inner_with(&self.module.types).scalar()
    }

    pub(super) fn is_float(&self, handle: Handle<Expression>) -> bool {
        self.scalar(handle).map(|scalar| scalar.kind) == Some(ScalarKind::Float)
    }

    /// Returns whether the value is a float, or may contain floats because it is a struct, an array or a pointer.
    pub(super) fn may_have_floats(&self, handle: Handle<Expression>) -> bool {
        self.scalar(handle).is_none() || self.is_float(handle)
    }

    /// Returns the names of the local variables that hold floats.
    pub(super) fn float_variables(&self) -> Vec<&'a str> {
        let variables = self.function.local_variables.iter();
        let variables = variables.filter(|(_, variable)| self.holds_floats(variable.ty));
        variables
            .map(|(_, variable)| variable.name.as_deref().unwrap_or_default())
            .collect()
    }

    fn holds_floats(&self, ty: Handle<Type>) -> bool {
        match &self.module.types[ty].inner {
            TypeInner::Struct { members, .. } => {
                members.iter().any(|member| self.holds_floats(member.ty))
            }
            TypeInner::Array { base, .. } => self.holds_floats(*base),
            inner => inner.scalar_kind() == Some(ScalarKind::Float),
        }
    }

    /// Returns the name of the floating-point operation if the expression is one.
    pub(super) fn operation(&self, handle: Handle<Expression>) -> Option<String> {
        use BinaryOperator::{Add, Divide, Modulo, Multiply, Subtract};
        let name = match *self.expression(handle) {
            Expression::Binary {
                op: op @ (Add | Subtract | Multiply | Divide | Modulo),
                ..
            } if self.is_float(handle) => format!("{op:?}"),
            Expression::Unary {
                op: UnaryOperator::Negate,
                ..
            } if self.is_float(handle) => "negate".into(),
            Expression::Math { fun, arg, .. } if self.is_float(arg) || self.is_float(handle) => {
                format!("{fun:?}")
            }
            Expression::As {
                expr,
                convert: Some(_),
                ..
            } if self.is_float(expr) || self.is_float(handle) => "conversion".into(),
            Expression::Derivative { .. } => "derivative".into(),
            _ => return None,
        };
        Some(name.to_lowercase())
    }

    /// Returns the rule that forbids this expression in every function, if any.
    pub(super) fn forbidden(&self, handle: Handle<Expression>) -> Option<String> {
        use BinaryOperator::{Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual};
        use MathFunction::{Abs, Clamp, FaceForward, Max, Min, Saturate, Sign, SmoothStep, Step};
        let (operand, name) = match *self.expression(handle) {
            Expression::Binary {
                op: Equal | NotEqual | Less | LessEqual | Greater | GreaterEqual,
                left: operand,
                ..
            }
            | Expression::Relational {
                fun: RelationalFunction::IsNan | RelationalFunction::IsInf,
                argument: operand,
            }
            | Expression::As {
                kind: ScalarKind::Bool,
                expr: operand,
                ..
            } => (operand, "comparison".into()),
            Expression::Select { accept, .. } => (accept, "select".into()),
            Expression::Math { fun, arg, .. } => match fun {
                Abs | Clamp | FaceForward | Max | Min | Saturate | Sign | SmoothStep | Step => {
                    (arg, format!("{fun:?}").to_lowercase())
                }
                _ => return None,
            },
            _ => return None,
        };
        self.is_float(operand).then(|| format!("float {name}"))
    }

    /// Returns whether an expression only rearranges the values of its operands.
    pub(super) fn rearranges(&self, handle: Handle<Expression>) -> bool {
        match *self.expression(handle) {
            Expression::Compose { .. }
            | Expression::Splat { .. }
            | Expression::Swizzle { .. }
            | Expression::Access { .. }
            | Expression::AccessIndex { .. } => true,
            Expression::As { expr, .. } => self.scalar(handle) == self.scalar(expr),
            _ => false,
        }
    }

    /// Returns the variable or the parameter that a pointer refers to.
    pub(super) fn variable(&self, pointer: Handle<Expression>) -> Handle<Expression> {
        match *self.expression(pointer) {
            Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => {
                self.variable(base)
            }
            _ => pointer,
        }
    }

    /// Returns the source of the expression, with its name if it has one.
    pub(super) fn text(&self, handle: Handle<Expression>) -> String {
        if let Expression::LocalVariable(variable) = *self.expression(handle) {
            let name = self.function.local_variables[variable].name.as_deref();
            return format!("`{}`", name.unwrap_or_default());
        }
        let span = self.function.expressions.get_span(handle).to_range();
        let mut range = span.unwrap_or_default();
        // naga's span of a call ends before the parenthesis.
        let rest = &self.source[range.end..];
        if rest.starts_with('(') {
            let mut depth = 0;
            let length = rest.find(|c| {
                depth += i32::from(c == '(') - i32::from(c == ')');
                depth == 0
            });
            range.end += length.map_or(0, |last| last + 1);
        }
        let words: Vec<&str> = self.source[range].split_whitespace().collect();
        let text = words.join(" ");
        match self.function.named_expressions.get(&handle) {
            Some(name) if *name != text => format!("`{name} = {text}`"),
            _ => format!("`{text}`"),
        }
    }

    /// Returns whether the body is `return bitcast(bitcast(v) ^ zero)` for floats `v` and an integer `zero`.
    pub(super) fn is_barrier(&self) -> bool {
        let arguments = self.function.arguments.iter();
        let kinds = arguments.map(|argument| self.module.types[argument.ty].inner.scalar_kind());
        let statements = self.function.body.iter();
        let mut statements =
            statements.filter(|statement| !matches!(statement, Statement::Emit(_)));
        let (Some(&Statement::Return { value: Some(value) }), None) =
            (statements.next(), statements.next())
        else {
            return false;
        };
        let Some((ScalarKind::Float, bits)) = self.bitcast(value) else {
            return false;
        };
        let Expression::Binary {
            op: BinaryOperator::ExclusiveOr,
            left,
            right,
        } = *self.expression(bits)
        else {
            return false;
        };
        let are_bits = |handle| match self.bitcast(handle) {
            Some((ScalarKind::Uint, v)) => {
                matches!(self.expression(v), Expression::FunctionArgument(0))
            }
            _ => false,
        };
        kinds.eq([ScalarKind::Float, ScalarKind::Uint].map(Some))
            && (are_bits(left) && self.is_zero(right) || are_bits(right) && self.is_zero(left))
    }

    /// Returns the target type of a bitcast, and the value that is cast. Returns `None` for other expressions.
    fn bitcast(&self, handle: Handle<Expression>) -> Option<(ScalarKind, Handle<Expression>)> {
        match *self.expression(handle) {
            Expression::As {
                expr,
                kind,
                convert: None,
            } => Some((kind, expr)),
            _ => None,
        }
    }

    /// Returns whether every component of an expression is the second parameter, possibly converted to another width.
    fn is_zero(&self, handle: Handle<Expression>) -> bool {
        match *self.expression(handle) {
            Expression::FunctionArgument(1) => true,
            Expression::Splat { value: operand, .. }
            | Expression::As {
                expr: operand,
                kind: ScalarKind::Uint,
                convert: Some(_),
            } => self.is_zero(operand),
            Expression::Compose { ref components, .. } => {
                components.iter().all(|&component| self.is_zero(component))
            }
            _ => false,
        }
    }
}

/// Returns the operands of an expression, or `None` for a kind of expression that the check does not know.
pub(super) fn operands(expression: &Expression) -> Option<Vec<Handle<Expression>>> {
    Some(match *expression {
        Expression::Literal(_)
        | Expression::Constant(_)
        | Expression::Override(_)
        | Expression::ZeroValue(_)
        | Expression::FunctionArgument(_)
        | Expression::GlobalVariable(_)
        | Expression::LocalVariable(_)
        | Expression::CallResult(_) => vec![],
        Expression::Compose { ref components, .. } => components.clone(),
        Expression::Access { base, index } => vec![base, index],
        Expression::Binary { left, right, .. } => vec![left, right],
        Expression::Select {
            condition,
            accept,
            reject,
        } => vec![condition, accept, reject],
        Expression::Math {
            arg,
            arg1,
            arg2,
            arg3,
            ..
        } => [Some(arg), arg1, arg2, arg3]
            .into_iter()
            .flatten()
            .collect(),
        Expression::AccessIndex { base: operand, .. }
        | Expression::Splat { value: operand, .. }
        | Expression::Swizzle {
            vector: operand, ..
        }
        | Expression::Load { pointer: operand }
        | Expression::Unary { expr: operand, .. }
        | Expression::Derivative { expr: operand, .. }
        | Expression::Relational {
            argument: operand, ..
        }
        | Expression::As { expr: operand, .. }
        | Expression::ArrayLength(operand) => vec![operand],
        _ => return None,
    })
}
