"""The .npz files of scripts/differential_fuzz.py: mutates archives, and compares what NumPy reads from them and from the
outputs of `elu run`.

A member can be one of three kinds: an array that ELU replaces, another array, or other data. The verdict of NumPy on an
archive is that numpy.load reads every member. If the command accepts an archive, NumPy must read the same members from
its output: ELU of the arrays that it replaces, and everything else unchanged.
"""

import contextlib
import io
import json
import re
import struct
import subprocess
import warnings
import zipfile

import numpy as np
import numpy_verdict

# The signatures of a ZIP archive, with the position and the size of each field after the signature.
FIELDS = {
    b"PK\x03\x04": [(4, 2), (6, 2), (8, 2), (10, 2), (12, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)],
    b"PK\x01\x02": [(4, 2), (6, 2), (8, 2), (10, 2), (12, 2), (14, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2)]
    + [(32, 2), (34, 2), (36, 2), (38, 4), (42, 4)],
    b"PK\x05\x06": [(4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)],
    b"PK\x06\x06": [(0, 4), (4, 8), (12, 2), (14, 2), (16, 4), (20, 4), (24, 8), (32, 8), (40, 8), (48, 8)],
    b"PK\x06\x07": [(4, 4), (8, 8), (16, 4)],
    # The extra field of ZIP64 in the headers that NumPy writes.
    b"\x01\x00\x10\x00": [(0, 2), (2, 2), (4, 8), (12, 8)],
}

# Why the command refuses an archive that NumPy reads, with a pattern of the command's error.
REFUSED_ONLY_BY_ELU = {
    "there is nothing to compute": "no array of float16, float32 or float64|a ZIP archive without arrays",
    "two members have the same name, of which NumPy reads one": "two members of the archive have the same name",
    "members share bytes": "its members overlap",
    "the comment contains the end of an archive": "its comment contains the end of an archive",
    "the archive is said to be one of several": "multi-disk ZIP files are not supported",
    "bytes before an archive with an end of ZIP64": "invalid CDFH offset in EOCD",
    "the comment is shorter than its length": "eOCD comment exceeds file boundary",
    "a member claims more bytes than its compressed bytes can contain, and NumPy reads fewer": "claims [0-9]+ bytes",
    "the compressed bytes end early, after the last byte that NumPy reads": "incomplete deflate stream",
}

# Why the command accepts an archive that NumPy refuses, with a pattern of NumPy's error.
ACCEPTED_ONLY_BY_ELU = {
    "bytes before the archive, which numpy.load takes for a pickle": "This file contains pickled",
    "the archive is said to need a newer version of ZIP": "zip file version",
    "a name is not UTF-8": "codec can't decode",
}
CONTRADICTION = "the headers of the archive contradict each other"
OBJECTS = "an array of objects is kept, and NumPy does not read it without allow_pickle"
DAMAGED = "a member that is kept is damaged, and the command does not read it"
SPELLING = "an array is kept, because its dtype has a spelling that no program writes"


def save(array, **arguments):
    """Returns the bytes of a .npy file."""
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **arguments)
    return file.getvalue()


def pack(rng, members):
    """Returns an archive of members, which are pairs of a name and its bytes. NumPy writes members with force_zip64."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")  # about duplicate names
        for name, content in members:
            info = zipfile.ZipInfo(name, (2001, 2, 3, 4, 5, 6))
            info.compress_type = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
            with archive.open(info, "w", force_zip64=rng.random() < 0.7) as member:
                member.write(content)
        archive.comment = rng.choice([b"", b"", b"", b"a comment"])
    return with_zip64_end(file.getvalue()) if rng.random() < 0.1 else file.getvalue()


def with_zip64_end(data):
    """Returns an archive with the end of an archive of ZIP64."""
    end = data.rfind(b"PK\x05\x06")
    count, _, size, offset, comment = struct.unpack_from("<HHIIH", data, end + 8)
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    new_end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, comment)
    return data[:end] + record + locator + new_end + data[end + 22 :]


def mutate_archive(rng, data):
    """Returns an archive with one or two changes, most of them in the fields of its headers."""
    for _ in range(rng.choice([1, 1, 1, 2])):
        data = bytearray(data)
        kind = rng.randrange(12)
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice([1, 1, 2, 4, 22, 46]))
        if kind < 7:
            places = [
                (found.start() + position, size)
                for signature, fields in FIELDS.items()
                for found in re.finditer(re.escape(signature), data, re.DOTALL)
                for position, size in fields
            ]
            at, size = rng.choice(places) if places else (0, 1)
            old = int.from_bytes(data[at : at + size], "little")
            others = [int.from_bytes(data[at : at + size], "little") for at, other in places if other == size] or [0]
            new = rng.choice([0, 1, old + 1, old - 1, old ^ 1 << rng.randrange(8 * size), -1, rng.choice(others)])
            data[at : at + size] = (new % (1 << 8 * size)).to_bytes(size, "little")
        elif kind == 7:
            data[at:end] = b""
        elif kind == 8:
            data[at:at] = rng.choice([bytes(data[at:end]), rng.randbytes(end - at), b"\0" * (end - at), b"PK\x05\x06"])
        elif kind == 9 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 10:
            # Bytes before or after the archive.
            extra = rng.choice([b"\0", b"#!/bin/sh\n", rng.randbytes(30), bytes(data[-22:])])
            data = rng.choice([data + extra, extra + data])
        else:
            del data[at if rng.random() < 0.5 else max(0, len(data) - rng.randrange(100)) :]
        data = bytes(data) or b"PK"
    return data


def files(rng, count, npy_files):
    """Yields mutated .npz files. `npy_files` yields mutated .npy files."""
    values = np.frombuffer(rng.randbytes(48), np.float64)
    others = [
        ("i.npy", save(np.arange(3))),
        ("b.npy", save(np.array([True, False]))),
        ("pickled.npy", save(np.array([{}], dtype=object))),
        ("note.txt", b"text"),
        ("empty", b""),
        ("folder/", b""),
    ]
    for _ in range(count):
        floats = [
            save(rng.choice([-1, 1]) * np.arange(3, dtype=rng.choice(["<f2", "<f4", "<f8", ">f4"]))),
            save(np.asfortranarray(np.linspace(-2, 2, 6, dtype=rng.choice(["<f4", ">f8"])).reshape(2, 3))),
            save(values[: rng.randrange(6)]),
            save(np.zeros((0, 3), np.float16)),
        ]
        mutated = rng.random() < 0.4
        name = rng.choice(["x.npy", "arr_0.npy", "ä.npy", "plain"])
        members = [(name, next(npy_files) if mutated else rng.choice(floats))]
        while rng.random() < 0.5:
            # The second name can be that of the first member.
            members.append(rng.choice([*others, ("x.npy", rng.choice(floats)), ("y.npy", rng.choice(floats))]))
        rng.shuffle(members)
        file = pack(rng, members)
        yield file if mutated and rng.random() < 0.9 else mutate_archive(rng, file)


def contradicts_itself(file):
    """Returns whether the headers of an archive contradict each other."""
    end = file.rfind(b"PK\x05\x06")
    if len(file) < end + 22:
        return True  # NumPy takes the last signature for the end, and the command an earlier one
    count, total, size, offset = struct.unpack_from("<HHII", file, end + 8)
    if file[end - 20 : end - 16] == b"PK\x06\x07":
        end -= 76
        count, total, size, offset = struct.unpack_from("<QQQQ", file, end + 24)
        length, _, *disks = struct.unpack_from("<QIII", file, end + 4)
        locator = struct.unpack_from("<IQI", file, end + 60)
        if (length, disks, locator) != (44, [0, 0], (0, size + offset, 1)):
            return True
    at, before = end - size, end - size - offset
    members = 0
    while 0 <= before and 0 <= at < end and file[at : at + 4] == b"PK\x01\x02":
        members += 1
        flags, method, _, _, crc, _, _, name, extra, comment = struct.unpack_from("<HHHHIIIHHH", file, at + 8)
        local = before + struct.unpack_from("<I", file, at + 42)[0]
        if file[local : local + 4] != b"PK\x03\x04":
            return True
        local_flags, local_method, _, _, local_crc, _, _, local_name = struct.unpack_from("<HHHHIIIH", file, local + 6)
        listed = flags, method, crc, file[at + 46 : at + 46 + name]
        if listed != (local_flags, local_method, local_crc, file[local + 30 : local + 30 + local_name]):
            return True
        at += 46 + name + extra + comment
    return at != end or not members == count == total


def read(path):
    """Returns the raw names of the members and what NumPy reads from each: an array, bytes or an exception."""
    members = []
    with warnings.catch_warnings(), open(path, "rb") as file, np.lib.npyio.NpzFile(file) as archive:
        warnings.simplefilter("ignore")
        for name in archive.zip.namelist():
            try:
                value = archive[name]
            except Exception as error:
                value = error
            members.append((name, value))
    return members


def elu(x):
    """Returns ELU of an array."""
    if not x.size:
        return x  # its other dimensions can be too large for float64
    with np.errstate(all="ignore"):
        return np.where(x > 0, x, np.expm1(x.astype(np.float64))).astype(x.dtype)


def is_float(value):
    """Returns whether ELU supports an array."""
    return isinstance(value, np.ndarray) and value.dtype.str in numpy_verdict.SUPPORTED and value.dtype.str != "|V2"


def equal(value, result):
    """Returns whether a member of the output is equal to an expected value."""
    if not isinstance(value, np.ndarray) or not isinstance(result, np.ndarray):
        return type(value) is type(result) and (isinstance(value, Exception) or value == result)
    if (value.dtype, value.shape, value.flags.f_contiguous) != (result.dtype, result.shape, result.flags.f_contiguous):
        return False
    if not is_float(value):
        return value.tobytes() == result.tobytes()
    epsilon = np.finfo(value.dtype).eps
    return np.allclose(value, result, 4 * epsilon, epsilon, equal_nan=True)


def run(command, paths, folder):
    """Runs `elu run` on archives. Yields for each path what its report says."""
    # Several calls, because the length of a command line is limited.
    for start in range(0, len(paths), 200):
        batch = paths[start : start + 200]
        call = [command, "run", "--device", "cpu", "--json", "--quiet", "--output-dir", folder, *batch]
        output = subprocess.run(call, capture_output=True, text=True)
        assert output.returncode in (0, 1), output
        reports = json.loads(output.stdout)["files"]
        assert [report["input"] for report in reports] == [str(path) for path in batch]
        yield from reports


def judge(path, report, header_reason):
    """Compares NumPy with the command. Returns a description of what both do, and whether there is no difference or a
    known one."""
    try:
        failure, members = None, read(path)
        np.load(path).close()
    except Exception as error:
        failure = error
    file = path.read_bytes()

    def known(what, reasons, text):
        reason = next((reason for reason, pattern in reasons.items() if re.search(pattern, text)), None)
        if reason is None and contradicts_itself(file):
            reason = CONTRADICTION
        return f"{what}: {reason or text}", reason is not None

    if report["status"] == "failed":
        if "internal error" in report["error"]:
            return report["error"], False
        if failure or any(isinstance(value, Exception) for _, value in members):
            return "refused by both", True
        text = report["error"].removeprefix(f"{path}: ")
        if of_member := re.search('^member ".*?": (.*)', text):
            if reason := header_reason(of_member[1], headers(path)):
                return f"refused only by elu: {reason}", True
        return known("refused only by elu", REFUSED_ONLY_BY_ELU, text)
    if failure:
        return known("accepted only by elu", ACCEPTED_ONLY_BY_ELU, f"{type(failure).__name__}: {failure}")

    results = read(report["output"])
    if [name for name, _ in results] != [name for name, _ in members]:
        return known("read differently", {}, f"{members} {results}")
    kept = {member["name"] for member in report["unchanged"]}
    verdict = "accepted by both"
    for (name, value), (_, result) in zip(members, results):
        is_kept = name.removesuffix(".npy") in kept
        if isinstance(value, Exception):
            if not is_kept:
                if isinstance(value, ValueError) and (reason := header_reason(None, headers(path))):
                    return f"accepted only by elu: {reason}", True
                return known("accepted only by elu", {}, f"{name!r} {value!r}")
            verdict = f"accepted only by elu: {OBJECTS if 'Object arrays' in str(value) else DAMAGED}"
        elif is_float(value) and is_kept:
            verdict = f"read differently: {SPELLING}"
        if not equal(elu(value) if is_float(value) and not is_kept else value, result):
            return known("read differently", {}, f"{name!r} {value!r} {result!r}")
    return verdict, True


def headers(path):
    """Returns the headers of all arrays that are not damaged, one after the other."""
    found = []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with contextlib.suppress(Exception):
                found.append(numpy_verdict.split(archive.read(name))[1])
    return b"".join(found)
