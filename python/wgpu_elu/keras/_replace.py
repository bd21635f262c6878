"""Replaces the activations of a model."""

from __future__ import annotations

from typing import Any

import keras

from wgpu_elu._arguments import type_name

# The attributes that say where and how a layer was used.
_USES = {"_inbound_nodes": list, "_outbound_nodes": list, "_losses": list, "_loss_ids": set}
# What each layer has of its own: the functions refer to the layer, the tracker to its lists of variables and layers.
_OWN = ("build", "quantize", "_lock", "_tracker")
# Where TensorFlow keeps the attributes that it saves: a list and a dictionary.
_TRACKED = ("_self_unconditional_checkpoint_dependencies", "_self_unconditional_dependency_names")
_INPUT = keras.Input((1,), name="wgpu_elu")
# How a call of `keras.ops.elu` on a symbolic tensor is kept in a model.
_ELU_OPERATION = type(keras.ops.elu(_INPUT)._keras_history.operation)
# What can be copied. A copy of a subclass would lose its methods.
_MODELS = (keras.Sequential, type(keras.Model(_INPUT, _INPUT, name="wgpu_elu")))


class Replacement:
    """Replaces every ELU by a layer of the given class. What is used twice is replaced once."""

    def __init__(self, kind: type[keras.layers.ELU]) -> None:
        self.kind = kind
        self.done: dict[int, Any] = {}
        self.activations: list[Any] = []

    def model(self, model: Any) -> Any:
        """Return a copy of a model, which is not compiled."""
        if not isinstance(model, keras.Model):
            raise TypeError(f"replace: needed a model of Keras, found {type_name(model)}")
        if type(model) not in _MODELS:
            raise ValueError(f"replace: needed a Functional or Sequential model, found {type_name(model)}")
        compiled, model.compiled = model.compiled, False  # Keras can copy neither a loss nor a metric of your own
        try:
            return keras.models.clone_model(model, clone_function=self.part)
        finally:
            model.compiled = compiled

    def part(self, operation: Any) -> Any:
        """Return what takes the place of a layer or another operation in the copy of a model.

        Layers are copied even if they have no ELU, since a layer knows the model that it is part of by its tensors.
        """
        new = self.operation(operation)
        if new is operation:
            if type(operation) in _MODELS:
                new = self.model(operation)
            elif isinstance(operation, keras.layers.Layer) and not isinstance(operation, keras.Model):
                new = self._copy(operation, vars(operation), [])
            self.done[id(operation)] = new
        return new

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
            return self.kind(alpha=operation.alpha, name=operation.name, autocast=False)
        parts = _parts(operation)
        if parts is not None:
            return self.model(operation) if any(self.operation(part) is not part for part in parts) else operation
        return self._layer(operation) if isinstance(operation, keras.layers.Layer) else operation

    def _layer(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        """Return a copy of a layer if it has an ELU in one of its attributes, else the layer."""
        outer, self.activations = self.activations, []
        attributes = {name: self._value(value) for name, value in vars(layer).items() if name not in _USES}
        activations, self.activations = self.activations, outer
        if all(value is getattr(layer, name) for name, value in attributes.items()):
            return layer
        return self._copy(layer, attributes, activations)

    def _copy(self, layer: keras.layers.Layer, attributes: dict[str, Any], activations: list[Any]) -> Any:
        """Return a copy of a layer with these attributes and new activations. It shares the weights."""
        if not layer.built:
            raise ValueError(f"replace: layer {layer.name!r} has no weights to share yet: build the model first")
        kind: Any = type(layer)
        copy = kind.__new__(kind)
        stores = copy._tracker.config
        own = {*_OWN, *_USES, *_TRACKED, *(f"_{name}" for name in stores)}
        vars(copy).update({name: value for name, value in attributes.items() if name not in own})
        vars(copy).update({name: kind() for name, kind in _USES.items() if name in vars(layer)})
        vars(copy)["_lock"] = layer._lock
        # What Keras does where an attribute is set.
        for name, (_, store) in stores.items():
            store += [self._value(value) for value in layer._tracker.config[name][1]]
            store += activations if name == "layers" else []
            copy._tracker.stored_ids[name].update(map(id, store))
        if layer._tracker.locked:
            copy._tracker.lock(layer._tracker._lock_violation_msg)
        if keras.backend.backend() == "tensorflow":
            vars(copy).update({name: type(value)(value) for name, value in vars(layer).items() if name in _TRACKED})
            for name, value in attributes.items():
                if value is not vars(layer)[name] and isinstance(value, keras.layers.Layer):
                    copy._track_trackable(value, name, overwrite=True)
        return copy

    def _value(self, value: Any) -> Any:
        """Return what replaces the value of an attribute, which may be itself."""
        if value is keras.activations.elu or value is keras.ops.elu:
            self.activations.append(self.kind(autocast=False))  # as a function, it computes in the dtype of its input
            return self.activations[-1]
        if isinstance(value, (keras.layers.Layer, _ELU_OPERATION)):
            return self.operation(value)
        if isinstance(value, dict):
            items = {key: self._value(item) for key, item in value.items()}
            return value if all(items[key] is item for key, item in value.items()) else type(value)(items)
        if isinstance(value, (list, tuple)):
            parts = [self._value(part) for part in value]
            if all(new is old for new, old in zip(parts, value)):
                return value
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        return value


def _parts(operation: Any) -> list[Any] | None:
    """Return the layers and other operations of a Sequential or Functional model, or None for anything else."""
    return operation.layers if isinstance(operation, keras.Sequential) else getattr(operation, "operations", None)
