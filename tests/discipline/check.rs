//! The rules, checked on naga's IR.
//!
//! A *raw* value is the result of a floating-point operation or of an `any_order_` function. Its components are raw,
//! too, and so are vectors and structs that contain it. A compiler can rearrange the operations behind a raw value.
//! Only a barrier turns it into a value that is not raw.
//!
//! - A barrier is a function whose name begins with `barrier`. Its body is `return bitcast(bitcast(v) ^ zero)`. `zero`
//!   must be known only at run time: it comes from a uniform, a storage buffer, the entry point or the function
//!   `runtime_zero`, and may be passed to other functions. Nothing may be computed from it on the way.
//! - A raw value may only be used as the `v` of a barrier. It must not be an operand, or be stored, returned or passed
//!   to another function. An unused raw value is allowed.
//! - Only `any_order_` functions may have variables that hold floats.
//! - A function whose name begins with `any_order_` allows the compiler to choose the order of its operations. Its raw
//!   values may be operands, results, arguments of other `any_order_` functions, and contents of local variables. They
//!   must not become integers. The function may store to local variables only, and may call only other `any_order_`
//!   functions and barriers.
//! - No function may compare or select floats, or take their minimum, maximum, absolute value or sign. Shaders use
//!   integer operations instead.
//! - The check rejects expressions and statements that it does not know.

use naga::{
    AddressSpace, Block, Expression, Handle, Statement,
    front::wgsl,
    valid::{Capabilities, ValidationFlags, Validator},
};

use super::body::{Body, operands};

/// Returns a message for every violation in a shader. It names the function, the rule and the expression.
pub(crate) fn violations(source: &str, capabilities: Capabilities) -> Vec<String> {
    let module =
        wgsl::parse_str(source).unwrap_or_else(|error| panic!("{}", error.emit_to_string(source)));
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string(source)));
    let functions = module.functions.iter().map(|(handle, function)| {
        let name = function.name.as_deref().unwrap_or_default();
        (name, function, &info[handle])
    });
    let entry_points = module.entry_points.iter().enumerate();
    let entry_points = entry_points.map(|(i, entry)| {
        (
            entry.name.as_str(),
            &entry.function,
            info.get_entry_point(i),
        )
    });

    let mut found = Vec::new();
    let mut callees = Vec::new(); // in a valid module, callees come before their callers
    for (name, function, info) in functions.chain(entry_points) {
        let body = Body {
            source,
            module: &module,
            function,
            info,
        };
        let (callee, violations) = Check::new(body, &callees, name).run();
        let violations = violations
            .iter()
            .map(|violation| format!("{}: {violation}", callee.name));
        found.extend(violations);
        callees.push(callee);
    }
    found
}

/// The properties of a function that matter to its callers.
struct Callee {
    name: String,
    role: Role,
    /// The parameters that are used as the `zero` of a barrier. Callers must pass runtime values for them.
    zeros: Vec<u32>,
    /// Whether the result is known only at run time.
    is_runtime: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Barrier,
    AnyOrder,
    Strict,
}

impl Callee {
    fn new(name: &str) -> Self {
        let name = without_prefix(name);
        let (role, zeros) = if name.starts_with("barrier") {
            (Role::Barrier, vec![1])
        } else if name.starts_with("any_order_") {
            (Role::AnyOrder, vec![])
        } else {
            (Role::Strict, vec![])
        };
        Self {
            name: name.into(),
            role,
            zeros,
            is_runtime: true,
        }
    }
}

/// Removes the prefix that `wgpu_elu::shader::function` adds to names.
fn without_prefix(name: &str) -> &str {
    let dtypes = ["f16", "bf16", "f32", "f64"].iter();
    let mut unprefixed = dtypes.filter_map(|dtype| {
        let rest = name.strip_prefix("wgpu_elu_")?.strip_prefix(dtype)?;
        rest.strip_prefix('_')
    });
    unprefixed.next().unwrap_or(name)
}

/// The check of one function.
struct Check<'a> {
    body: Body<'a>,
    callees: &'a [Callee],
    /// The properties of the checked function, for the checks of its callers.
    summary: Callee,
    /// For every expression, the operations that make it raw.
    origins: Vec<Vec<Handle<Expression>>>,
    /// For every expression, whether it is known only at run time.
    runtime: Vec<bool>,
    violations: Vec<String>,
}

impl<'a> Check<'a> {
    fn new(body: Body<'a>, callees: &'a [Callee], name: &str) -> Self {
        Self {
            body,
            callees,
            summary: Callee::new(name),
            origins: vec![],
            runtime: vec![],
            violations: vec![],
        }
    }

    fn run(mut self) -> (Callee, Vec<String>) {
        if self.summary.role == Role::Barrier {
            if !self.body.is_barrier() {
                self.report("barrier body", "not `return bitcast(bitcast(v) ^ zero)`");
            }
            return (self.summary, self.violations);
        }
        // Operands come before the expressions that use them.
        for (handle, expression) in self.body.function.expressions.iter() {
            let operands = operands(expression).unwrap_or_else(|| {
                self.report("unknown expression", &format!("{expression:?}"));
                vec![]
            });
            let is_runtime = self.is_runtime(handle, &operands);
            self.runtime.push(is_runtime);
            self.check_expression(handle, &operands);
        }
        if !self.is_any_order() {
            for name in self.body.float_variables() {
                self.report("float variable", &format!("`{name}`"));
            }
        }
        self.check_block(&self.body.function.body);
        // `runtime_zero` computes 0 from its input, in a way that no compiler sees through.
        self.summary.is_runtime |= self.summary.name == "runtime_zero";
        (self.summary, self.violations)
    }

    fn is_any_order(&self) -> bool {
        self.summary.role == Role::AnyOrder
    }

    /// Returns whether the value of an expression is known only at run time.
    fn is_runtime(&self, handle: Handle<Expression>, operands: &[Handle<Expression>]) -> bool {
        match *self.body.expression(handle) {
            Expression::FunctionArgument(_) => true,
            Expression::CallResult(function) => self.callees[function.index()].is_runtime,
            Expression::Load { pointer } => {
                match *self.body.expression(self.body.variable(pointer)) {
                    Expression::GlobalVariable(variable) => matches!(
                        self.body.module.global_variables[variable].space,
                        AddressSpace::Uniform
                            | AddressSpace::Storage { .. }
                            | AddressSpace::Immediate
                    ),
                    Expression::FunctionArgument(_) => true,
                    _ => false,
                }
            }
            // A compiler may know the result of an operation on a value that it does not know, such as `zero & 0`.
            Expression::Binary { .. } | Expression::Math { .. } | Expression::Select { .. } => {
                false
            }
            _ => operands.iter().any(|operand| self.runtime[operand.index()]),
        }
    }

    /// Checks an expression, and records the operations that make it raw.
    fn check_expression(&mut self, handle: Handle<Expression>, operands: &[Handle<Expression>]) {
        if let Some(rule) = self.body.forbidden(handle) {
            self.report(&rule, &self.body.text(handle));
        }
        let mut origins: Vec<_> = operands
            .iter()
            .flat_map(|operand| self.origins[operand.index()].iter().copied())
            .collect();
        origins.sort_unstable();
        origins.dedup();
        if self.body.rearranges(handle) {
            if self.is_any_order() && !self.body.may_have_floats(handle) {
                origins.clear(); // an integer member of a parameter is not raw
            }
        } else {
            if !self.is_any_order() || !self.body.is_float(handle) {
                let how = match self.body.expression(handle) {
                    Expression::As { convert: None, .. } => "bitcast",
                    _ => "used",
                };
                let how = format!("is {how} in {}", self.body.text(handle));
                self.report_raw(&origins, &how);
            }
            origins.clear();
        }
        origins.extend(self.raw_operation(handle).map(|_| handle));
        self.origins.push(origins);
    }

    /// Returns the name of the operation that makes an expression raw, or `None` if it adds no operation.
    fn raw_operation(&self, handle: Handle<Expression>) -> Option<String> {
        if self.body.rearranges(handle) {
            return None;
        }
        let may_be_raw = self.is_any_order() && self.body.may_have_floats(handle);
        match *self.body.expression(handle) {
            Expression::CallResult(function) => {
                let callee = &self.callees[function.index()];
                (callee.role == Role::AnyOrder).then(|| "any_order result".into())
            }
            // Callers of an any-order function may pass raw values.
            Expression::FunctionArgument(_) => may_be_raw.then(|| "parameter".into()),
            Expression::Load { pointer } => {
                let variable = self.body.expression(self.body.variable(pointer));
                let is_global = matches!(variable, Expression::GlobalVariable(_));
                (may_be_raw && !is_global).then(|| "variable".into())
            }
            _ => self.body.operation(handle),
        }
    }

    fn check_block(&mut self, block: &Block) {
        for statement in block {
            match *statement {
                Statement::Emit(_)
                | Statement::Break
                | Statement::Continue
                | Statement::Return { value: None }
                | Statement::ControlBarrier(_)
                | Statement::MemoryBarrier(_) => {}
                Statement::Block(ref block) => self.check_block(block),
                Statement::If {
                    accept: ref first,
                    reject: ref second,
                    ..
                }
                | Statement::Loop {
                    body: ref first,
                    continuing: ref second,
                    ..
                } => {
                    self.check_block(first);
                    self.check_block(second);
                }
                Statement::Switch {
                    selector,
                    ref cases,
                } => {
                    self.report_raw(&self.origins_of(selector), "is a selector");
                    for case in cases {
                        self.check_block(&case.body);
                    }
                }
                Statement::Return { value: Some(value) } => {
                    // Where a parameter is returned, a caller's constant is the result.
                    self.summary.is_runtime &=
                        self.runtime[value.index()] && self.parameters(value).is_empty();
                    if !self.is_any_order() {
                        self.report_raw(&self.origins_of(value), "is returned");
                    }
                }
                Statement::Store { pointer, value } => self.check_store(pointer, value),
                Statement::Call {
                    function,
                    ref arguments,
                    ..
                } => self.check_call(&self.callees[function.index()], arguments),
                ref other => self.report("unknown statement", &format!("{other:?}")),
            }
        }
    }

    fn check_store(&mut self, pointer: Handle<Expression>, value: Handle<Expression>) {
        let variable = self.body.variable(pointer);
        let is_local = matches!(self.body.expression(variable), Expression::LocalVariable(_));
        let name = self.body.text(variable);
        if !self.is_any_order() {
            let how = format!("is stored in {name}");
            self.report_raw(&self.origins_of(value), &how);
        } else if !is_local {
            self.report("any_order store", &name);
        }
    }

    fn check_call(&mut self, callee: &Callee, arguments: &[Handle<Expression>]) {
        if self.is_any_order() && callee.role == Role::Strict {
            self.report("any_order call", &format!("`{}`", callee.name));
        }
        for (i, &argument) in (0..).zip(arguments) {
            let is_behind_barrier = callee.role == Role::Barrier && i == 0;
            if !is_behind_barrier && !self.is_any_order() {
                let how = format!("is passed to `{}`", callee.name);
                self.report_raw(&self.origins_of(argument), &how);
            }
            if callee.zeros.contains(&i) {
                if !self.runtime[argument.index()] {
                    let what = format!("{} for `{}`", self.body.text(argument), callee.name);
                    self.report("constant zero", &what);
                }
                self.summary.zeros.extend(self.parameters(argument));
            }
        }
    }

    /// Returns the parameters that an expression contains.
    fn parameters(&self, handle: Handle<Expression>) -> Vec<u32> {
        let expression = self.body.expression(handle);
        if let Expression::FunctionArgument(i) = *expression {
            return vec![i];
        }
        let operands = operands(expression).unwrap_or_default();
        operands
            .into_iter()
            .flat_map(|operand| self.parameters(operand))
            .collect()
    }

    fn origins_of(&self, handle: Handle<Expression>) -> Vec<Handle<Expression>> {
        self.origins[handle.index()].clone()
    }

    /// Reports a wrong use of the raw values that come from `origins`.
    fn report_raw(&mut self, origins: &[Handle<Expression>], how: &str) {
        for &origin in origins {
            let rule = format!("raw {}", self.raw_operation(origin).unwrap_or_default());
            self.report(&rule, &format!("{} {how}", self.body.text(origin)));
        }
    }

    fn report(&mut self, rule: &str, what: &str) {
        self.violations.push(format!("{rule}: {what}"));
    }
}
