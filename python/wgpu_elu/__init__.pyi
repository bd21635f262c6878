from typing import Any, TypeVar, overload

__all__ = ["adapters", "celu", "elu", "elu_backward", "elu_backward_from_output", "selu"]

# An array of NumPy or another library. The result is of the same kind.
_T = TypeVar("_T")

@overload
def elu(x: float, alpha: Any = 1.0, *, out: Any = None, device: str = "cpu", rounding: str = "faithful") -> float: ...
@overload
def elu(x: _T, alpha: Any = 1.0, *, out: Any = None, device: str = "cpu", rounding: str = "faithful") -> _T: ...
@overload
def selu(x: float, *, out: Any = None, device: str = "cpu", rounding: str = "faithful") -> float: ...
@overload
def selu(x: _T, *, out: Any = None, device: str = "cpu", rounding: str = "faithful") -> _T: ...
@overload
def celu(x: float, alpha: Any = 1.0, *, out: Any = None, device: str = "cpu", rounding: str = "faithful") -> float: ...
@overload
def celu(x: _T, alpha: Any = 1.0, *, out: Any = None, device: str = "cpu", rounding: str = "faithful") -> _T: ...
@overload
def elu_backward(
    x: float, grad: float, alpha: Any = 1.0, *, out: Any = None, device: str = "cpu", rounding: str = "faithful"
) -> float: ...
@overload
def elu_backward(
    x: _T, grad: _T, alpha: Any = 1.0, *, out: Any = None, device: str = "cpu", rounding: str = "faithful"
) -> _T: ...
@overload
def elu_backward_from_output(
    y: float, grad: float, alpha: Any = 1.0, *, out: Any = None, device: str = "cpu", rounding: str = "faithful"
) -> float: ...
@overload
def elu_backward_from_output(
    y: _T, grad: _T, alpha: Any = 1.0, *, out: Any = None, device: str = "cpu", rounding: str = "faithful"
) -> _T: ...
def adapters() -> list[str]: ...

__version__: str
