//! Nodes: what symbolic calls leave behind.

use super::symbolic::{Mask, SymbolicTensor};

/// A symbolic call.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) input: SymbolicTensor,
    pub(super) output: SymbolicTensor,
    pub(super) loss: Option<SymbolicTensor>,
}

/// Something that every node has, by its name in errors.
pub(super) struct Attribute<T> {
    pub(super) what: &'static str,
    pub(super) of: fn(&Node) -> T,
}

pub(super) const INPUT: Attribute<SymbolicTensor> = Attribute {
    what: "input",
    of: |node| node.input.clone(),
};
pub(super) const OUTPUT: Attribute<SymbolicTensor> = Attribute {
    what: "output",
    of: |node| node.output.clone(),
};
pub(super) const INPUT_MASK: Attribute<Option<Mask>> = Attribute {
    what: "input mask",
    of: |node| node.input.mask().cloned(),
};
pub(super) const OUTPUT_MASK: Attribute<Option<Mask>> = Attribute {
    what: "output mask",
    of: |node| node.output.mask().cloned(),
};
pub(super) const INPUT_SHAPE: Attribute<Vec<Option<usize>>> = Attribute {
    what: "input shape",
    of: |node| node.input.shape().to_vec(),
};
pub(super) const OUTPUT_SHAPE: Attribute<Vec<Option<usize>>> = Attribute {
    what: "output shape",
    of: |node| node.output.shape().to_vec(),
};
