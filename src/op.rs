//! The operations: ELU and its two gradients.

use std::fmt;

/// An operation of [`Elu`](crate::Elu).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// ELU of `x`.
    Forward,
    /// The gradient with respect to `x`, from `x` and `grad`, the gradient with respect to the output.
    Backward,
    /// The gradient with respect to `x`, from the output `y` and `grad`.
    BackwardFromOutput,
}

impl Op {
    /// All operations.
    pub const ALL: [Self; 3] = [Self::Forward, Self::Backward, Self::BackwardFromOutput];

    /// Returns the name that labels and the command line use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::BackwardFromOutput => "backward-from-output",
        }
    }

    /// Returns whether the operation takes an incoming gradient in addition to its input.
    pub const fn has_grad(self) -> bool {
        !matches!(self, Self::Forward)
    }

    /// Returns the number of inputs: 1, or 2 with an incoming gradient.
    pub const fn inputs(self) -> usize {
        1 + self.has_grad() as usize
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
