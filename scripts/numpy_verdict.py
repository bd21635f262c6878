"""What NumPy reads from a .npy file, for scripts/npy_headers.py and scripts/differential_fuzz.py."""

import ast
import io
import struct
import warnings

import numpy as np
from numpy.lib import _format_impl as format

# Our dtypes, as NumPy names them. It reads a bfloat16 as two bytes without a meaning.
SUPPORTED = [f"{order}f{size}" for order in "<>" for size in (2, 4, 8)] + ["|V2"]


def wrap(version, header):
    """Returns the bytes of a header, which may be text, with everything before it."""
    if isinstance(header, str):
        header = header.encode("utf-8" if version == 3 else "latin-1")
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header


def split(file):
    """Returns the version, the header and the data of a file, or None if it has no complete header."""
    version = file[6] if len(file) > 6 else 0
    start = {1: 10, 2: 12, 3: 12}.get(version)
    if start is None or len(file) < start:
        return None
    length = struct.unpack("<H" if version == 1 else "<I", file[8:start])[0]
    header, data = file[start : start + length], file[start + length :]
    return (version, header, data) if len(header) == length else None


def read_header(file):
    """Returns the shape, whether the order is Fortran's, and the dtype. Raises an exception if NumPy refuses it."""
    stream = io.BytesIO(file)
    version = format.read_magic(stream)
    format._check_version(version)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return format._read_array_header(stream, version)


def read(path):
    """Returns the array in a file. Raises an exception if NumPy refuses it."""
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return format.read_array(file)


def descr(file):
    """Returns the value of the key descr in the header of a file that NumPy accepts."""
    version, header, _ = split(file)
    text = header.decode("utf-8" if version == 3 else "latin-1")
    try:
        return ast.literal_eval(text)["descr"]
    except SyntaxError:
        return ast.literal_eval(format._filter_header(text))["descr"]


def written(file):
    """Returns the header that NumPy, or ml_dtypes for bfloat16, writes for the array of a file that NumPy accepts."""
    shape, fortran_order, dtype = read_header(file)
    name = format.dtype_to_descr(dtype)
    if name == "|V2":
        # NumPy drops the byte order of a dtype without a meaning.
        name = ">V2" if str(descr(file)).startswith(">") else "<V2"
    stream = io.BytesIO()
    format.write_array_header_1_0(stream, {"descr": name, "fortran_order": fortran_order, "shape": shape})
    return stream.getvalue()
