"""The Python half of scripts/differential-fuzz.

The arguments are the path of the Rust half, which is the program built from cli/examples/read_files.rs, the path of the
command `elu`, the number of files of each format, and the seed.
"""

import collections
import itertools
import json
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

import differential_npz
import numpy_verdict

# Why the command refuses a .npy file that NumPy reads as one of our dtypes. Each reason has a test, which takes the
# command's error and the header. cli/tests/npy_headers.rs has an example of each, except of the first.
REFUSED_ONLY_BY_ELU = {
    "bytes after the array, which the result could not keep": lambda error, _: " bytes of data, found " in error,
    "a key that appears twice": lambda _, header: any(header.count(key) > 1 for key in (b"des", b"order", b"shape")),
    "a dtype with an empty shape of its own": lambda error, _: error.startswith("structured dtypes"),
    "a spelling of a dtype that no program writes": lambda error, _: error.startswith("dtype '"),
    "an escape that needs the table of all characters' names": lambda error, _: "has the escape \\N" in error,
    "an indentation that NumPy's filter for Python 2 removes": lambda error, _: "line is indented" in error,
    "a header of more than 10,000 bytes, but fewer characters": lambda error, _: "needed at most 10000" in error,
}

# Why the command accepts a .npy file that NumPy refuses, with a test of the header.
ACCEPTED_ONLY_BY_ELU = {
    "a form feed and an integer of Python 2, which NumPy's filter cannot read together": lambda header: (
        b"\x0c" in header and re.search(rb"[0-9a-fA-F]\s*L", header)
    ),
    "spaces after the last line break, which NumPy does not always accept": lambda header: re.search(
        rb"[\r\n][ \t\x0c]+$", header
    ),
}

# Parts of headers that mutations insert.
SPACES = [" ", "  ", "\n", "\r\n", "\t"]
NPY_PARTS = [
    *"""' " ''' ( ) , : { } [ ] # \\ + - _ . 0 1 3 L l 0x 0b 00 True False None u r U R b f < > = | f4 f8 V2 i4 d e""".split(),
    *"""float32 half descr shape fortran_order (3,) (3L,) '<f4' 'shape':(3,), \\x66 \\N{SPACE} '' \r \0 \xe9 \xa0""".split(
        " "
    ),
    *[*SPACES, "\x0c", "\\\n", "#c\n"] * 3,
]
JSON_PARTS = [
    *r"""{ } [ ] , : " \ 0 1 - . e 1e1 null true false F32 BF16 F64 I64 F4 dtype shape data_offsets __metadata__""".split(),
    *r""""a": [0,4] 18446744073709551616 \u0000 \ud800 "b":{"dtype":"F32","shape":[],"data_offsets":[12,16]},""".split(),
    *["\0", "\xff", "\x0b", "\r"],
    *SPACES * 3,
]


def mutate(rng, data, parts):
    """Returns bytes with one or two changes, most of them between words."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2])):
        places = range(len(data) + 1)
        if rng.random() < 0.9:
            places = [at for at in places if not data[max(at - 1, 0) : at + 1].isalnum()] or places
        at = rng.choice(places)
        end = min(len(data), at + rng.choice([1, 1, 1, 2, 4, 8]))
        kind = rng.randrange(15)
        if kind == 0:
            data[at:end] = b""
        elif kind == 1:
            data[at:at] = data[at:end]
        elif kind == 2:
            data[at:end] = bytes([rng.randrange(256)])
        elif kind == 3:
            data[at:end] = rng.choice(parts).encode("latin-1")
        elif kind == 4 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        else:
            data[at:at] = rng.choice(rng.choice([parts, SPACES])).encode("latin-1")
    return bytes(data)


def npy_files(rng):
    """Yields mutated .npy files without end."""
    corpus = json.loads(Path("tests/data/npy/headers.json").read_text(encoding="utf-8"))
    # Short headers, so that most mutations change a part that matters. Most of them are accepted.
    cases = [case for case in corpus["cases"] if len(case["header"]) < 200]
    accepted = [case for case in cases if "written" in case]
    while True:
        case = rng.choice(rng.choice([accepted, accepted, accepted, cases]))
        file = numpy_verdict.wrap(case["version"], case["header"])
        if rng.random() < 0.9:
            version, header, _ = numpy_verdict.split(file)
            file = numpy_verdict.wrap(version, mutate(rng, header, NPY_PARTS))
        # As much data as the header asks for, if it is valid.
        size = rng.choice([0, 12, 24, 96])
        try:
            shape, _, dtype = numpy_verdict.read_header(file)
            needed = int(np.prod(shape, dtype=object)) * dtype.itemsize
            size = needed if 0 <= needed < 1 << 16 else size
        except Exception:
            pass
        file += rng.randbytes(size)
        yield mutate(rng, file, NPY_PARTS) if rng.random() < 0.1 else file


def safetensors_files(rng, count):
    """Yields mutated .safetensors files."""
    one, half, double = np.zeros(3, np.float32), np.zeros((2, 3), np.float16), np.zeros((), np.float64)
    seeds = [
        safetensors.numpy.save({"a": one}),
        safetensors.numpy.save({"a": half, "b": np.zeros(0, np.float64)}, {"made by": "a test"}),
        safetensors.numpy.save({"ids": np.zeros(2, np.int64), "b": double, "c": np.ones((1, 2), np.bool_)}),
        safetensors.numpy.save({}),
        *(path.read_bytes() for path in sorted(Path("fuzz/corpus/safetensors").iterdir())),
    ]
    for _ in range(count):
        file = rng.choice(seeds)
        if rng.random() < 0.9:
            length = int.from_bytes(file[:8], "little")
            header = mutate(rng, file[8 : 8 + length], JSON_PARTS)
            file = len(header).to_bytes(8, "little") + header + file[8 + length :]
        yield mutate(rng, file, JSON_PARTS) if rng.random() < 0.1 else file


def npy_expected(file, path):
    """Returns what the Rust half prints for a .npy file if it agrees with NumPy."""
    try:
        array = numpy_verdict.read(path)
        _, fortran_order, dtype = numpy_verdict.read_header(file)
    except Exception:
        return "refused"
    if dtype.str not in numpy_verdict.SUPPORTED:
        return "refused"
    written = numpy_verdict.written(file)
    data = array.tobytes("F" if fortran_order else "C")
    if written.startswith(b"{'descr': '>", 10):
        data = np.frombuffer(data, f"u{dtype.itemsize}").byteswap().tobytes()
    name = "bfloat16" if dtype.str == "|V2" else dtype.name
    return f"accepted {name} {list(array.shape)} {data.hex()} {written.hex()}"


def npy_reason(file, line, expected):
    """Returns the known reason for a difference, or None."""
    parts = numpy_verdict.split(file)
    if expected == "refused":
        return header_reason(None, parts[1])
    if line.startswith("accepted"):
        return None
    return header_reason(json.loads(line.removeprefix("refused ")), parts[1])


def header_reason(error, header):
    """Returns the known reason why only the command refuses a header with this error, or why only the command accepts it
    if there is no error. Returns None if no reason is known."""
    if error is None:
        return next((reason for reason, test in ACCEPTED_ONLY_BY_ELU.items() if test(header)), None)
    return next((reason for reason, test in REFUSED_ONLY_BY_ELU.items() if test(error, header)), None)


def safetensors_expected(file, _):
    """Returns what the Rust half prints for a .safetensors file if it agrees with the package."""
    try:
        tensors = safetensors.deserialize(file)
    except Exception:
        return "refused"
    entries = [[name, tensor["dtype"], len(tensor["data"])] for name, tensor in tensors]
    return f"accepted {json.dumps(sorted(entries))}"


def comparable(line):
    """Returns a line of the Rust half without its error, and with the tensors sorted by their names."""
    if line.startswith("refused"):
        return "refused"
    if line.startswith("accepted ["):
        return f"accepted {json.dumps(sorted(json.loads(line.removeprefix('accepted '))))}"
    return line


def compare(rust, files, suffix, expected, reason):
    """Compares all files of one format. Returns whether every difference is known."""
    counts = collections.Counter()
    unknown = []
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{index}{suffix}") for index in range(len(files))]
        for path, file in zip(paths, files):
            path.write_bytes(file)
        names = "".join(f"{path}\n" for path in paths)
        output = subprocess.run([rust], input=names, check=True, capture_output=True, text=True).stdout
        lines = output.removesuffix("\n").split("\n")
        assert len(lines) == len(paths)
        for path, file, line in zip(paths, files, lines):
            needed = expected(file, path)
            if comparable(line) == needed:
                counts[f"{line.split()[0]} by both"] += 1
            elif known := reason(file, line, needed):
                counts[f"{line.split()[0]} only by elu: {known}"] += 1
            else:
                unknown.append((file, f"needed {needed}\n  found  {line}"))
    report(suffix, counts, unknown)
    return not unknown


def report(suffix, counts, unknown):
    """Prints how often everything occurs, and the unknown differences: pairs of a file and a description."""
    print(f"{counts.total()} {suffix} files")
    for what, count in counts.most_common():
        print(f"{count:7} {what}")
    for file, what in unknown[:20]:
        print(f"UNKNOWN DIFFERENCE in {file!r}\n  {what}")
    if unknown:
        print(f"{len(unknown)} unknown differences")


def compare_npz(command, files):
    """Compares all .npz files. Returns whether every difference is known."""
    counts = collections.Counter()
    unknown = []
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{index}.npz") for index in range(len(files))]
        for path, file in zip(paths, files):
            path.write_bytes(file)
        for path, result in zip(paths, differential_npz.run(command, paths, Path(folder, "output"))):
            what, is_known = differential_npz.judge(path, result, header_reason)
            counts[what] += 1
            if not is_known:
                unknown.append((path.read_bytes(), what))
    report(".npz", counts, unknown)
    return not unknown


def main():
    rust, command, count, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    rng = random.Random(seed)
    npy = list(itertools.islice(npy_files(rng), count))
    known = [
        compare(rust, npy, ".npy", npy_expected, npy_reason),
        compare(rust, list(safetensors_files(rng, count)), ".safetensors", safetensors_expected, lambda *_: None),
        compare_npz(command, list(differential_npz.files(rng, count, npy_files(rng)))),
    ]
    sys.exit(0 if all(known) else 1)


main()
