//! The inputs, outputs, shapes and masks of a layer's nodes.
//!
//! 1. [`Layer::connect`] adds a node: a pair of symbolic tensors, the input and the output. The output keeps a
//!    reference to the input, so the tensors form a graph.
//! 2. The members without an index, such as [`Layer::input`], return the value that all nodes have in common, or an
//!    error.
//! 3. The `get_…_at` members return the value of one node.

use super::{
    Layer,
    symbolic::{Mask, SymbolicTensor},
};
use crate::error::{Error, LayerError, Result};

/// Values that all nodes have in common.
///
/// If several nodes differ, these members return errors, as documented by Keras. (Keras' code then returns the value of
/// the first node, except for the shapes.)
impl Layer {
    /// Returns the input.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::IllDefined`] if several nodes differ, and the [errors of nodes](Self#errors).
    pub fn input(&self) -> Result<SymbolicTensor> {
        self.common(INPUT)
    }

    /// Returns the output.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::IllDefined`] if several nodes differ, and the [errors of nodes](Self#errors).
    pub fn output(&self) -> Result<SymbolicTensor> {
        self.common(OUTPUT)
    }

    /// Returns the input's mask, if it has one.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::IllDefined`] if several nodes differ, and the [errors of nodes](Self#errors).
    pub fn input_mask(&self) -> Result<Option<Mask>> {
        self.common(INPUT_MASK)
    }

    /// Returns the output's mask, if it has one.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::IllDefined`] if several nodes differ, and the [errors of nodes](Self#errors).
    pub fn output_mask(&self) -> Result<Option<Mask>> {
        self.common(OUTPUT_MASK)
    }

    /// Returns the input's shape.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::IllDefined`] if several nodes differ, and the [errors of nodes](Self#errors).
    pub fn input_shape(&self) -> Result<Vec<Option<usize>>> {
        self.common(INPUT_SHAPE)
    }

    /// Returns the output's shape.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::IllDefined`] if several nodes differ, and the [errors of nodes](Self#errors).
    pub fn output_shape(&self) -> Result<Vec<Option<usize>>> {
        self.common(OUTPUT_SHAPE)
    }
}

/// Values of one node. Nodes are counted from 0; a negative index counts from the end, as in Keras.
impl Layer {
    /// Returns the node's input.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::NoSuchNode`] for a wrong index, and the [errors of nodes](Self#errors).
    pub fn get_input_at(&self, node_index: isize) -> Result<SymbolicTensor> {
        self.value_at(INPUT, node_index)
    }

    /// Returns the node's output.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::NoSuchNode`] for a wrong index, and the [errors of nodes](Self#errors).
    pub fn get_output_at(&self, node_index: isize) -> Result<SymbolicTensor> {
        self.value_at(OUTPUT, node_index)
    }

    /// Returns the mask of the node's input, if it has one.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::NoSuchNode`] for a wrong index, and the [errors of nodes](Self#errors).
    pub fn get_input_mask_at(&self, node_index: isize) -> Result<Option<Mask>> {
        self.value_at(INPUT_MASK, node_index)
    }

    /// Returns the mask of the node's output, if it has one.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::NoSuchNode`] for a wrong index, and the [errors of nodes](Self#errors).
    pub fn get_output_mask_at(&self, node_index: isize) -> Result<Option<Mask>> {
        self.value_at(OUTPUT_MASK, node_index)
    }

    /// Returns the shape of the node's input.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::NoSuchNode`] for a wrong index, and the [errors of nodes](Self#errors).
    pub fn get_input_shape_at(&self, node_index: isize) -> Result<Vec<Option<usize>>> {
        self.value_at(INPUT_SHAPE, node_index)
    }

    /// Returns the shape of the node's output.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::NoSuchNode`] for a wrong index, and the [errors of nodes](Self#errors).
    pub fn get_output_shape_at(&self, node_index: isize) -> Result<Vec<Option<usize>>> {
        self.value_at(OUTPUT_SHAPE, node_index)
    }
}

// ---- Internals ----

/// A node: a symbolic call of the layer.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) input: SymbolicTensor,
    pub(super) output: SymbolicTensor,
    pub(super) loss: Option<SymbolicTensor>,
}

/// A property of nodes, with its name in errors.
struct Attribute<T> {
    what: &'static str,
    of: fn(&Node) -> T,
}

const INPUT: Attribute<SymbolicTensor> = Attribute {
    what: "input",
    of: |node| node.input.clone(),
};
const OUTPUT: Attribute<SymbolicTensor> = Attribute {
    what: "output",
    of: |node| node.output.clone(),
};
const INPUT_MASK: Attribute<Option<Mask>> = Attribute {
    what: "input mask",
    of: |node| node.input.mask().cloned(),
};
const OUTPUT_MASK: Attribute<Option<Mask>> = Attribute {
    what: "output mask",
    of: |node| node.output.mask().cloned(),
};
const INPUT_SHAPE: Attribute<Vec<Option<usize>>> = Attribute {
    what: "input shape",
    of: |node| node.input.shape().to_vec(),
};
const OUTPUT_SHAPE: Attribute<Vec<Option<usize>>> = Attribute {
    what: "output shape",
    of: |node| node.output.shape().to_vec(),
};

impl Layer {
    /// Returns the value that all nodes have in common.
    fn common<T: PartialEq>(&self, attribute: Attribute<T>) -> Result<T> {
        let calls = self.calls();
        let mut all = calls.nodes.iter().map(attribute.of);
        let first = all
            .next()
            .ok_or_else(|| self.never_connected(attribute.what))?;
        if all.all(|other| other == first) {
            Ok(first)
        } else {
            Err(LayerError::IllDefined {
                layer: self.name.clone(),
                what: attribute.what,
            }
            .into())
        }
    }

    /// Returns the value of one node.
    fn value_at<T>(&self, attribute: Attribute<T>, node_index: isize) -> Result<T> {
        let calls = self.calls();
        let nodes = calls.nodes.len();
        if nodes == 0 {
            return Err(self.never_connected(attribute.what));
        }
        let from_start = if node_index < 0 {
            nodes.checked_sub(node_index.unsigned_abs())
        } else {
            Some(node_index.unsigned_abs())
        };
        let node = from_start.and_then(|index| calls.nodes.get(index));
        node.map(attribute.of).ok_or_else(|| {
            LayerError::NoSuchNode {
                layer: self.name.clone(),
                what: attribute.what,
                node_index,
                nodes,
            }
            .into()
        })
    }

    fn never_connected(&self, what: &'static str) -> Error {
        LayerError::NeverConnected {
            layer: self.name.clone(),
            what,
        }
        .into()
    }
}
