//! What a Keras layer refuses, mostly in Keras' own words.

use crate::dtype;

/// What a Keras layer refused, and why. It is [`Error::Layer`](super::Error::Layer) within this crate's error.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// Alpha is not a number.
    #[error("alpha of an ELU layer cannot be {found}, expecting a float")]
    Alpha {
        /// What it is: `NaN`, or a JSON value other than a number, of which null is reported as `None`.
        found: String,
    },
    /// A layer's name has a character that Keras does not allow.
    #[error("argument `name` cannot contain character `/`, received {found:?}")]
    Name {
        /// The name.
        found: String,
    },
    /// A layer computes in one type and was called with another.
    #[error(
        "layer {layer:?} computes in {needed}, found {found}; convert the data, or make a layer of that dtype"
    )]
    DType {
        /// The layer's name.
        layer: String,
        /// The type that the constructor or the first call fixed.
        needed: dtype::DType,
        /// The data's type.
        found: dtype::DType,
    },
    /// A layer was asked about its nodes before it was connected.
    #[error(
        "the layer {layer:?} has never been called on a symbolic tensor and thus has no defined {what}"
    )]
    NeverConnected {
        /// The layer's name.
        layer: String,
        /// What was asked for, such as `input shape`.
        what: &'static str,
    },
    /// A layer was asked for the one thing that all its nodes have, and they differ.
    #[error(
        "the layer {layer:?} has multiple inbound nodes, with different {what}s; hence the notion of {what:?} is ill-defined \
         for the layer; use `get_{}_at(node_index)` instead",
        what.replace(' ', "_")
    )]
    IllDefined {
        /// The layer's name.
        layer: String,
        /// What was asked for, such as `input shape`.
        what: &'static str,
    },
    /// A layer was asked about a node that it does not have.
    #[error(
        "asked to get {what} at node {node_index}, but the layer {layer:?} has only {nodes} inbound node{}",
        if *nodes == 1 { "" } else { "s" }
    )]
    NoSuchNode {
        /// The layer's name.
        layer: String,
        /// What was asked for, such as `input shape`.
        what: &'static str,
        /// The index; a negative one counts from the end.
        node_index: isize,
        /// How many nodes there are.
        nodes: usize,
    },
    /// A layer's parameters were counted before it was built.
    #[error(
        "you tried to call `count_params` on layer {layer:?}, but the layer isn't built; you can build it manually via \
         `build(batch_input_shape)`"
    )]
    NotBuilt {
        /// The layer's name.
        layer: String,
    },
    /// A layer without weights was given some.
    #[error(
        "you called `set_weights(weights)` on layer {layer:?} with a weight list of length {}, but the layer was expecting 0 \
         weights; provided weights have the shapes {shapes:?}",
        shapes.len()
    )]
    UnexpectedWeights {
        /// The layer's name.
        layer: String,
        /// The shapes of what was given.
        shapes: Vec<Vec<usize>>,
    },
    /// A layer's JSON has keys that no version of Keras gives an ELU layer.
    #[error("unrecognized keyword arguments passed to {to}: {}", keys.join(", "))]
    UnknownKeywords {
        /// Keras' class or function that takes such arguments.
        to: &'static str,
        /// Those it does not know.
        keys: Vec<String>,
    },
    /// A layer's JSON has a value of the wrong kind.
    #[error("expected `{key}` to be {expected}, received {found}")]
    ConfigValue {
        /// Its key.
        key: String,
        /// What would do.
        expected: String,
        /// What is there, as JSON.
        found: String,
    },
}
