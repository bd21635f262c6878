from collections.abc import Sequence
from typing import Any

import numpy as np

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
def command(args: Sequence[str]) -> int: ...
def start_threads() -> None: ...

class ArrowFloats:
    def __init__(self, array: Any) -> None: ...
    @property
    def dtype(self) -> str: ...
    @property
    def null_count(self) -> int: ...
    @property
    def values(self) -> Any: ...
    def with_values(self, values: np.ndarray) -> Any: ...
