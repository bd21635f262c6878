//! What a layer's nodes have: its input, its output, their shapes and masks.

use super::{
    Layer,
    node::{Attribute, INPUT, INPUT_MASK, INPUT_SHAPE, OUTPUT, OUTPUT_MASK, OUTPUT_SHAPE},
    symbolic::{Mask, SymbolicTensor},
};
use crate::error::{Error, LayerError, Result};

/// What all nodes have alike.
///
/// With several nodes that differ these are errors, as Keras' page says. (Keras' code then gives what the first one has,
/// except for the shapes.)
impl Layer {
    /// The input.
    ///
    /// # Errors
    ///
    /// [`LayerError::IllDefined`] with several nodes that differ, and [as listed above](Self#errors).
    pub fn input(&self) -> Result<SymbolicTensor> {
        self.the(INPUT)
    }

    /// The output.
    ///
    /// # Errors
    ///
    /// [`LayerError::IllDefined`] with several nodes that differ, and [as listed above](Self#errors).
    pub fn output(&self) -> Result<SymbolicTensor> {
        self.the(OUTPUT)
    }

    /// The input's mask, if it has one.
    ///
    /// # Errors
    ///
    /// [`LayerError::IllDefined`] with several nodes that differ, and [as listed above](Self#errors).
    pub fn input_mask(&self) -> Result<Option<Mask>> {
        self.the(INPUT_MASK)
    }

    /// The output's mask, if it has one.
    ///
    /// # Errors
    ///
    /// [`LayerError::IllDefined`] with several nodes that differ, and [as listed above](Self#errors).
    pub fn output_mask(&self) -> Result<Option<Mask>> {
        self.the(OUTPUT_MASK)
    }

    /// The input's shape.
    ///
    /// # Errors
    ///
    /// [`LayerError::IllDefined`] with several nodes that differ, and [as listed above](Self#errors).
    pub fn input_shape(&self) -> Result<Vec<Option<usize>>> {
        self.the(INPUT_SHAPE)
    }

    /// The output's shape.
    ///
    /// # Errors
    ///
    /// [`LayerError::IllDefined`] with several nodes that differ, and [as listed above](Self#errors).
    pub fn output_shape(&self) -> Result<Vec<Option<usize>>> {
        self.the(OUTPUT_SHAPE)
    }
}

/// What one node has. Nodes are counted from 0; a negative index counts from the end, as in Keras.
impl Layer {
    /// The node's input.
    ///
    /// # Errors
    ///
    /// [`LayerError::NoSuchNode`], and [as listed above](Self#errors).
    pub fn get_input_at(&self, node_index: isize) -> Result<SymbolicTensor> {
        self.at(INPUT, node_index)
    }

    /// The node's output.
    ///
    /// # Errors
    ///
    /// [`LayerError::NoSuchNode`], and [as listed above](Self#errors).
    pub fn get_output_at(&self, node_index: isize) -> Result<SymbolicTensor> {
        self.at(OUTPUT, node_index)
    }

    /// The node's input's mask, if it has one.
    ///
    /// # Errors
    ///
    /// [`LayerError::NoSuchNode`], and [as listed above](Self#errors).
    pub fn get_input_mask_at(&self, node_index: isize) -> Result<Option<Mask>> {
        self.at(INPUT_MASK, node_index)
    }

    /// The node's output's mask, if it has one.
    ///
    /// # Errors
    ///
    /// [`LayerError::NoSuchNode`], and [as listed above](Self#errors).
    pub fn get_output_mask_at(&self, node_index: isize) -> Result<Option<Mask>> {
        self.at(OUTPUT_MASK, node_index)
    }

    /// The node's input's shape.
    ///
    /// # Errors
    ///
    /// [`LayerError::NoSuchNode`], and [as listed above](Self#errors).
    pub fn get_input_shape_at(&self, node_index: isize) -> Result<Vec<Option<usize>>> {
        self.at(INPUT_SHAPE, node_index)
    }

    /// The node's output's shape.
    ///
    /// # Errors
    ///
    /// [`LayerError::NoSuchNode`], and [as listed above](Self#errors).
    pub fn get_output_shape_at(&self, node_index: isize) -> Result<Vec<Option<usize>>> {
        self.at(OUTPUT_SHAPE, node_index)
    }
}

// ---- Internals ----

impl Layer {
    fn the<T: PartialEq>(&self, attribute: Attribute<T>) -> Result<T> {
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

    fn at<T>(&self, attribute: Attribute<T>, node_index: isize) -> Result<T> {
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
