from collections.abc import Sequence
from typing import Any, final

import numpy as np

__all__ = [
    "VERSION",
    "ArrowFloats",
    "adapters",
    "apply",
    "apply_bfloat16",
    "command",
    "destroy",
    "forward",
    "same_lists",
    "start_threads",
]

VERSION: str

def apply(
    op: str,
    function: str,
    alpha: float | list[float],
    rounding: str,
    device: str,
    x: np.ndarray | None,
    grad: np.ndarray | None,
    out: np.ndarray,
) -> bool: ...
def apply_bfloat16(
    op: str,
    function: str,
    alpha: float | list[float],
    rounding: str,
    device: str,
    x: np.ndarray | None,
    grad: np.ndarray | None,
    out: np.ndarray,
) -> bool: ...
def forward(x: np.ndarray, function: str, alpha: float, rounding: str, device: str) -> np.ndarray | None: ...
def adapters() -> list[str]: ...
def destroy(name: str) -> None: ...
def command(args: Sequence[str]) -> int: ...
def start_threads() -> None: ...

@final
class ArrowFloats:
    def __new__(cls, array: Any) -> ArrowFloats: ...
    @property
    def dtype(self) -> str: ...
    @property
    def null_count(self) -> int: ...
    @property
    def values(self) -> Any: ...
    def with_values(self, values: np.ndarray) -> Any: ...

def same_lists(a: ArrowFloats | None, b: ArrowFloats | None) -> bool: ...
