"""The command `elu`."""

import os
import sys

from wgpu_elu import _core


def main() -> int:
    """Run the command with the arguments of this process, and return its exit code."""
    # Mesa's drivers look for Wayland even if nothing is drawn, and its library prints an error if this is not set.
    if not os.path.isabs(os.environ.get("XDG_RUNTIME_DIR", "")):
        os.environ["XDG_RUNTIME_DIR"] = "/nonexistent"
    return _core.command(sys.argv)
