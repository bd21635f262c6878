//! The errors of a Keras layer, mostly with Keras' own messages.

use crate::dtype;

/// The errors of a Keras layer. [`Error::Layer`](super::Error::Layer) contains them.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// Alpha is not a number.
    #[error("alpha of an ELU layer cannot be {found}, expecting a float")]
    Alpha {
        /// The value: `NaN`, or a JSON value that is not a number, with null shown as `None`.
        found: String,
    },
    /// A layer's name contains a character that Keras does not allow.
    #[error("argument `name` cannot contain character `/`, received {found:?}")]
    Name {
        /// The name.
        found: String,
    },
    /// A layer was called with data of a dtype that it does not compute in.
    #[error(
        "layer {layer:?} computes in {needed}, found {found}; convert the data, or make a layer of that dtype"
    )]
    DType {
        /// The layer's name.
        layer: String,
        /// The dtype that the constructor or the first call set.
        needed: dtype::DType,
        /// The dtype of the data.
        found: dtype::DType,
    },
    /// A property of a layer's nodes was requested before the layer was connected.
    #[error(
        "the layer {layer:?} has never been called on a symbolic tensor and thus has no defined {what}"
    )]
    NeverConnected {
        /// The layer's name.
        layer: String,
        /// The requested property, such as `input shape`.
        what: &'static str,
    },
    /// A property of a layer's nodes was requested that differs between its nodes.
    #[error(
        "the layer {layer:?} has multiple inbound nodes, with different {what}s; hence the notion of {what:?} is ill-defined \
         for the layer; use `get_{}_at(node_index)` instead",
        what.replace(' ', "_")
    )]
    IllDefined {
        /// The layer's name.
        layer: String,
        /// The requested property, such as `input shape`.
        what: &'static str,
    },
    /// A layer does not have the requested node.
    #[error(
        "asked to get {what} at node {node_index}, but the layer {layer:?} has only {nodes} inbound node{}",
        if *nodes == 1 { "" } else { "s" }
    )]
    NoSuchNode {
        /// The layer's name.
        layer: String,
        /// The requested property, such as `input shape`.
        what: &'static str,
        /// The index; a negative one counts from the end.
        node_index: isize,
        /// The number of the layer's nodes.
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
    /// A layer without weights was given weights.
    #[error(
        "you called `set_weights(weights)` on layer {layer:?} with a weight list of length {}, but the layer was expecting 0 \
         weights; provided weights have the shapes {shapes:?}",
        shapes.len()
    )]
    UnexpectedWeights {
        /// The layer's name.
        layer: String,
        /// The shapes of the given weights.
        shapes: Vec<Vec<usize>>,
    },
    /// A layer's JSON has keys that no version of Keras writes for an ELU layer.
    #[error("unrecognized keyword arguments passed to {to}: {}", keys.join(", "))]
    UnknownKeywords {
        /// The class or function of Keras that takes these arguments.
        to: &'static str,
        /// The unknown keys.
        keys: Vec<String>,
    },
    /// A layer's JSON has a value of the wrong kind.
    #[error("expected `{key}` to be {expected}, received {found}")]
    ConfigValue {
        /// The key.
        key: String,
        /// The values that are accepted.
        expected: String,
        /// The value that was found, as JSON.
        found: String,
    },
    /// A text is not JSON, or a layer cannot be written as JSON.
    #[error("JSON: {reason}")]
    Json {
        /// The reason, with the position if it is known.
        reason: String,
    },
}
