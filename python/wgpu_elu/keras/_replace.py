"""Replaces the activations of a model."""

from __future__ import annotations

from typing import Any

import keras

# The attributes that say where and how a layer was used.
_USES = {"_inbound_nodes": list, "_outbound_nodes": list, "_losses": list, "_loss_ids": set}
# Where TensorFlow keeps the attributes that it saves: a list and a dictionary.
_TRACKED = ("_self_unconditional_checkpoint_dependencies", "_self_unconditional_dependency_names")
# How a call of `keras.ops.elu` on a symbolic tensor is kept in a model.
_ELU_OPERATION = type(keras.ops.elu(keras.KerasTensor((1,)))._keras_history.operation)


class Replacement:
    """Replaces every ELU by a layer of the given class. What is used twice is replaced once."""

    def __init__(self, kind: type[keras.layers.ELU]) -> None:
        self.kind = kind
        self.done: dict[int, Any] = {}

    def model(self, model: keras.Model) -> keras.Model:
        """Return a copy of a model."""
        return keras.models.clone_model(model, clone_function=self.operation)

    def operation(self, operation: Any) -> Any:
        """Return what replaces a layer or another operation, which may be itself."""
        if id(operation) not in self.done:
            self.done[id(operation)] = operation  # it may contain itself
            self.done[id(operation)] = self._replaced(operation)
        return self.done[id(operation)]

    def _replaced(self, operation: Any) -> Any:
        if type(operation) is keras.layers.ELU:
            return self.kind(
                alpha=operation.alpha,
                name=operation.name,
                dtype=operation.dtype_policy,
                trainable=operation.trainable,
                autocast=operation.autocast,
                activity_regularizer=operation.activity_regularizer,
            )
        if type(operation) is _ELU_OPERATION:
            return self.kind(alpha=operation.alpha, name=operation.name)
        parts = getattr(operation, "operations", None)  # of a Functional model
        if isinstance(operation, keras.Sequential):
            parts = operation.layers
        if parts is not None:
            return self.model(operation) if any(self.operation(part) is not part for part in parts) else operation
        return self._layer(operation) if isinstance(operation, keras.layers.Layer) else operation

    def _layer(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        """Return a copy of a layer that has an ELU in one of its attributes. The copy shares the other attributes."""
        attributes = {name: value for name, value in vars(layer).items() if name not in (*_USES, *_TRACKED)}
        replaced = {name: self._value(value) for name, value in attributes.items()}
        if all(value is attributes[name] for name, value in replaced.items()):
            return layer
        if not layer.built:
            raise ValueError(f"replace: layer {layer.name!r} has no weights to share yet: build the model first")
        copy = object.__new__(type(layer))
        vars(copy).update(replaced)
        vars(copy).update({name: kind() for name, kind in _USES.items() if name in vars(layer)})
        # What Keras does where an attribute is set, which it does not allow after the layer is built.
        activations = [value for name, value in replaced.items() if attributes[name] is keras.activations.elu]
        vars(copy)["_layers"] = [*copy._layers, *activations]
        if keras.backend.backend() == "tensorflow":
            vars(copy).update({name: type(value)(value) for name, value in vars(layer).items() if name in _TRACKED})
            for name, value in replaced.items():
                if value is not attributes[name] and isinstance(value, keras.layers.Layer):
                    copy._track_trackable(value, name, overwrite=True)
        return copy

    def _value(self, value: Any) -> Any:
        """Return what replaces the value of an attribute, which may be itself."""
        if value is keras.activations.elu:
            return self.kind()
        if isinstance(value, (keras.layers.Layer, _ELU_OPERATION)):
            return self.operation(value)
        if isinstance(value, dict):
            items = {key: self._value(item) for key, item in value.items()}
            return value if all(items[key] is item for key, item in value.items()) else type(value)(items)
        if isinstance(value, (list, tuple)):
            items = [self._value(item) for item in value]
            if all(new is old for new, old in zip(items, value)):
                return value
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        return value
