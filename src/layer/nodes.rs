//! The symbolic nodes of a layer, and the members that return their inputs, outputs, shapes and masks.
//!
//! 1. [`Layer::connect`] adds a node to the layer. A node holds two symbolic tensors, the input and the output, and the
//!    loss if there is a regularizer. The output keeps a reference to the input.
//! 2. The members without an index, such as [`Layer::input`], compare all nodes of the layer. They return the value
//!    that all nodes have in common, or an error.
//! 3. The `get_…_at` members return the value of the node with the given index.
//!
//! Step 1 keeps every node, because the same layer can be connected to several inputs. The references from outputs to
//! inputs form a graph, along which [`Layer::get_losses_for`] finds the losses that depend on an input. In step 2, a
//! layer whose nodes differ has no single input or output, and an error is safer than the value of an arbitrary node.
//! Step 3 is the way to read each node of such a layer.

use super::{
    Layer,
    symbolic::{Mask, SymbolicTensor},
};
use crate::error::{Error, LayerError, Result};

/// Values that all nodes have in common.
///
/// If the nodes differ, these members return an error, as Keras' documentation says. (Keras' code compares only the
/// shapes; the other members return the value of the first node.)
impl Layer {
    /// Returns the input.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::IllDefined`] if the nodes differ, and the [errors of nodes](Self#errors).
    pub fn input(&self) -> Result<SymbolicTensor> {
        self.common_value(INPUT)
    }

    /// Returns the output.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::IllDefined`] if the nodes differ, and the [errors of nodes](Self#errors).
    pub fn output(&self) -> Result<SymbolicTensor> {
        self.common_value(OUTPUT)
    }

    /// Returns the input's mask, if it has one.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::IllDefined`] if the nodes differ, and the [errors of nodes](Self#errors).
    pub fn input_mask(&self) -> Result<Option<Mask>> {
        self.common_value(INPUT_MASK)
    }

    /// Returns the output's mask, if it has one.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::IllDefined`] if the nodes differ, and the [errors of nodes](Self#errors).
    pub fn output_mask(&self) -> Result<Option<Mask>> {
        self.common_value(OUTPUT_MASK)
    }

    /// Returns the input's shape.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::IllDefined`] if the nodes differ, and the [errors of nodes](Self#errors).
    pub fn input_shape(&self) -> Result<Vec<Option<usize>>> {
        self.common_value(INPUT_SHAPE)
    }

    /// Returns the output's shape.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::IllDefined`] if the nodes differ, and the [errors of nodes](Self#errors).
    pub fn output_shape(&self) -> Result<Vec<Option<usize>>> {
        self.common_value(OUTPUT_SHAPE)
    }
}

/// Values of one node. The first node has the index 0. As in Keras, a negative index counts from the end.
impl Layer {
    /// Returns the node's input.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::NoSuchNode`] if no node has this index, and the [errors of nodes](Self#errors).
    pub fn get_input_at(&self, node_index: isize) -> Result<SymbolicTensor> {
        self.value_at(INPUT, node_index)
    }

    /// Returns the node's output.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::NoSuchNode`] if no node has this index, and the [errors of nodes](Self#errors).
    pub fn get_output_at(&self, node_index: isize) -> Result<SymbolicTensor> {
        self.value_at(OUTPUT, node_index)
    }

    /// Returns the mask of the node's input, if it has one.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::NoSuchNode`] if no node has this index, and the [errors of nodes](Self#errors).
    pub fn get_input_mask_at(&self, node_index: isize) -> Result<Option<Mask>> {
        self.value_at(INPUT_MASK, node_index)
    }

    /// Returns the mask of the node's output, if it has one.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::NoSuchNode`] if no node has this index, and the [errors of nodes](Self#errors).
    pub fn get_output_mask_at(&self, node_index: isize) -> Result<Option<Mask>> {
        self.value_at(OUTPUT_MASK, node_index)
    }

    /// Returns the shape of the node's input.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::NoSuchNode`] if no node has this index, and the [errors of nodes](Self#errors).
    pub fn get_input_shape_at(&self, node_index: isize) -> Result<Vec<Option<usize>>> {
        self.value_at(INPUT_SHAPE, node_index)
    }

    /// Returns the shape of the node's output.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError::NoSuchNode`] if no node has this index, and the [errors of nodes](Self#errors).
    pub fn get_output_shape_at(&self, node_index: isize) -> Result<Vec<Option<usize>>> {
        self.value_at(OUTPUT_SHAPE, node_index)
    }
}

// ---- Internals ----

/// A node: the record of one symbolic call of the layer.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) input: SymbolicTensor,
    pub(super) output: SymbolicTensor,
    /// The loss of the activity regularizer that the layer had at the time of the call.
    pub(super) loss: Option<SymbolicTensor>,
}

/// An attribute of a node: its name in error messages, and the function that reads it.
struct Attribute<T> {
    name: &'static str,
    get: fn(&Node) -> T,
}

const INPUT: Attribute<SymbolicTensor> = Attribute {
    name: "input",
    get: |node| node.input.clone(),
};
const OUTPUT: Attribute<SymbolicTensor> = Attribute {
    name: "output",
    get: |node| node.output.clone(),
};
const INPUT_MASK: Attribute<Option<Mask>> = Attribute {
    name: "input mask",
    get: |node| node.input.mask().cloned(),
};
const OUTPUT_MASK: Attribute<Option<Mask>> = Attribute {
    name: "output mask",
    get: |node| node.output.mask().cloned(),
};
const INPUT_SHAPE: Attribute<Vec<Option<usize>>> = Attribute {
    name: "input shape",
    get: |node| node.input.shape().to_vec(),
};
const OUTPUT_SHAPE: Attribute<Vec<Option<usize>>> = Attribute {
    name: "output shape",
    get: |node| node.output.shape().to_vec(),
};

impl Layer {
    /// Returns the attribute's value if it is the same in all nodes.
    fn common_value<T: PartialEq>(&self, attribute: Attribute<T>) -> Result<T> {
        let calls = self.calls();
        let mut values = calls.nodes.iter().map(attribute.get);
        let first = values
            .next()
            .ok_or_else(|| self.never_connected(attribute.name))?;
        if values.all(|other| other == first) {
            Ok(first)
        } else {
            Err(LayerError::IllDefined {
                layer: self.name.clone(),
                what: attribute.name,
            }
            .into())
        }
    }

    /// Returns the attribute's value in one node. A negative index counts from the end.
    fn value_at<T>(&self, attribute: Attribute<T>, node_index: isize) -> Result<T> {
        let calls = self.calls();
        let nodes = calls.nodes.len();
        if nodes == 0 {
            return Err(self.never_connected(attribute.name));
        }
        let index = if node_index < 0 {
            nodes.checked_sub(node_index.unsigned_abs())
        } else {
            Some(node_index.unsigned_abs())
        };
        let node = index.and_then(|index| calls.nodes.get(index));
        node.map(attribute.get).ok_or_else(|| {
            LayerError::NoSuchNode {
                layer: self.name.clone(),
                what: attribute.name,
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
