"""The Python half of scripts/npy-headers. The argument is the path of the file that it writes."""

import json
import platform
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import numpy_verdict

# The spellings of each part. The first one is NumPy's.
DESCRS = [
    "'<f4'",
    "'>f4'",
    "'=f4'",
    "'|f4'",
    "'f4'",
    "'<f2'",
    "'>f2'",
    "'=f2'",
    "'|f2'",
    "'f2'",
    "'<f8'",
    "'>f8'",
    "'=f8'",
    "'|f8'",
    "'f8'",
    "'f'",
    "'<f'",
    "'>f'",
    "'=f'",
    "'|f'",
    "'e'",
    "'<e'",
    "'>e'",
    "'d'",
    "'<d'",
    "'>d'",
    "'=d'",
    "'|d'",
    "'float32'",
    "'float16'",
    "'float64'",
    "'single'",
    "'half'",
    "'double'",
    "'float'",
    "'<V2'",
    "'>V2'",
    "'|V2'",
    "'=V2'",
    "'V2'",
    "u'<f4'",
    "U'<f4'",
    "r'<f4'",
    "R'<f4'",
    '"<f4"',
    "'''<f4'''",
    '"""<f4"""',
    "('<f4')",
    "(('<f4'))",
    "'<'",
    "'<''f4'",
    "'\\x3cf4'",
    "'\\u003cf4'",
    "'\\U0000003cf4'",
    "'\\74f4'",
    "'\\074f4'",
    "'<f\\64'",
    "'<\\\nf4'",
    "'''<\\\nf4'''",
    "u'<''f4'",
    "'f04'",
    "'f+4'",
    "'()f4'",
    "'2V'",
    "('<f4',())",
    "('<f4',(2,))",
    "('<f4',1)",
    "'\\N{LESS-THAN SIGN}f4'",
    "[('a','<f4')]",
    "[('a','<f4'),('b','<i4')]",
    "[('','<f4')]",
    "[]",
    "([('a','<f4')])",
    "('<f4',)",
    "()",
    "{}",
    "{'a':1}",
    "'<i8'",
    "'<i4'",
    "'|i1'",
    "'|u1'",
    "'<u2'",
    "'|b1'",
    "'<c8'",
    "'<c16'",
    "'<f16'",
    "'|O'",
    "'<U7'",
    "'|S3'",
    "'<M8[ns]'",
    "'<m8[s]'",
    "'|V1'",
    "'|V4'",
    "'<V2,'",
    "'f4,f4'",
    "'g'",
    "'bfloat16'",
    "'f3'",
    "'f5'",
    "'F4'",
    "'<float32'",
    "'>double'",
    "'<<f4'",
    "'f4<'",
    "' <f4'",
    "'<f4 '",
    "'<f 4'",
    "''",
    "'4f'",
    "'Float32'",
    "'float128'",
    "'numpy.float32'",
    "'void16'",
    "b'<f4'",
    "f'<f4'",
    "rb'<f4'",
    "ur'<f4'",
    "br'<f4'",
    "bu'<f4'",
    "x'<f4'",
    "''''<f4'''",
    "'<f4'''",
    "'<f4 <f4'",
    "'<f4\"",
    "\"<f4'",
    "'\\x3'",
    "'\\u003'",
    "'\\U00110000'",
    "'\\ud800'",
    "'\\8'",
    "'\\é'",
    "'é'",
    "'<f4\\'",
    "r'\\'",
    "'<f4'L",
    "'<f4'.x",
    "'<f4'[0]",
    "'<f4'*1",
    "'<f4'+''",
    "f4",
    "float32",
    "None",
    "4",
    "4.0",
    "True",
    "-1",
    "<f4",
    "'<f4'b''",
    "lambda:0",
    "...",
    "(",
]
SHAPES = [
    "(3,)",
    "(3L,)",
    "(3l,)",
    "(3LL,)",
    "(3 L,)",
    "(3L L,)",
    "(3\\\nL,)",
    "(3#c\nL,)",
    "(0x3L,)",
    "(03L,)",
    "(00L,)",
    "(0L,)",
    "(1L, 3L)",
    "(1,3L)",
    "(3, 4)",
    "(3,4)",
    "(3L, 4L,)",
    "(3, 4,)",
    "()",
    "( )",
    "((3),)",
    "((3,))",
    "(((3),),)",
    "((3), (4))",
    "(1,)",
    "(0,)",
    "(0, 3)",
    "(3, 0)",
    "(+3,)",
    "(-0,)",
    "(+0,)",
    "(- 0,)",
    "(-(0),)",
    "(-(+0),)",
    "(+-3,)",
    "(+(3),)",
    "(1_0,)",
    "(1__0,)",
    "(1_,)",
    "(_1,)",
    "(0x3,)",
    "(0X3,)",
    "(0x_3,)",
    "(0x,)",
    "(0x3_,)",
    "(0o3,)",
    "(0O3,)",
    "(0b11,)",
    "(0B_1_1,)",
    "(0b2,)",
    "(0o8,)",
    "(0xg,)",
    "(00,)",
    "(0_0,)",
    "(03,)",
    "(0_3,)",
    "(003,)",
    "(3)",
    "3",
    "[3]",
    "[3,]",
    "{3}",
    "{}",
    "'3'",
    "('3',)",
    "(3.0,)",
    "(3.,)",
    "(.3,)",
    "(3e0,)",
    "(3e+0,)",
    "(3j,)",
    "(True,)",
    "(True, 3)",
    "(False,)",
    "(None,)",
    "(3, None)",
    "None",
    "(-1,)",
    "(-3,)",
    "(3, -1)",
    "(-1, -3)",
    "(-1, 0)",
    "(,)",
    "(,3)",
    "(3,,)",
    "(3 4)",
    "(3;)",
    "(3,",
    "3,)",
    "3,",
    "3, 4",
    "(3]",
    "(3}",
    "(*(3,),)",
    "(1,)*3",
    "(1+2,)",
    "(3,)+()",
    "tuple([3])",
    "set()",
    "(3if 1else 3,)",
    "(not 0,)",
    "(x,)",
    "(é,)",
    "(٣,)",
    "(３,)",
    "(3é,)",
    "(3,#c\n)",
    "(3,\n)",
    "(\n3\n,\n)",
    "(3\r\n,)",
    "(3\r,)",
    "(3L\r\n,)",
    "(3\t,)",
    "(3\x0c,)",
    "(3\x0b,)",
    "(3\xa0,)",
    "(3\\\n,)",
    "(3\\ \n,)",
    "(3,\\\r\n)",
    "(3\\,)",
    "(3,/)",
    "(3,$)",
    "(3,?)",
    "(3,`)",
    "(3,!)",
    "(3,@)",
    "((3,),)",
    "((3,),4)",
    "([3],)",
    "({3},)",
    "(4611686018427387904, 8)",
    "(4611686018427387904, 8, 0)",
    "(2305843009213693951, 0)",
    "(2305843009213693952, 0)",
    "(0, 9223372036854775807)",
    "(9223372036854775808, 0)",
    "(18446744073709551616, 0)",
    "(18446744073709551619,)",
    "(0x10000000000000003,)",
]
ORDERS = [
    "False",
    "True",
    "(False)",
    "((True))",
    "false",
    "true",
    "FALSE",
    "0",
    "1",
    "None",
    "'False'",
    "(False,)",
    "[]",
    "not True",
    "not",
    "1==2",
    "False\\\n",
    "-True",
    "-0",
    "0L",
    "F",
]
KEYS = [
    "'%s'",
    '"%s"',
    "u'%s'",
    "r'%s'",
    'U"%s"',
    "'''%s'''",
    "('%s')",
    "(('%s'))",
    "'' '%s'",
    "'%s'''",
    "b'%s'",
    "f'%s'",
    "%s",
    "'%s\\x20'",
    "' %s'",
    "'\\x64escr'",
    "['%s']",
    "('%s',)",
    "-'%s'",
    "1",
    "True",
    "None",
]


def dictionary(descr="'<f4'", order="False", shape="(3,)", key="'%s'"):
    keys = [key.replace("%s", name) for name in ("descr", "fortran_order", "shape")]
    return f"{{{keys[0]}: {descr}, {keys[1]}: {order}, {keys[2]}: {shape}, }}"


def layouts():
    """Yields headers whose values are NumPy's, but whose dictionary, or the text around it, is not."""
    d = dictionary()
    for start in [
        "",
        " ",
        "\t",
        "    ",
        "\n",
        "\n\n",
        "\r\n",
        "\r",
        "\x0c",
        " \x0c",
        "\x0c ",
        "\n ",
        "\n\t",
        "\n \x0c",
        "#c\n",
        " #c\n",
        "\n #c\n",
        "\\\n",
        "\\\n ",
        "\ufeff",
        "\xa0",
        "\0",
        "\x0b",
        "(",
        "+",
        "a=",
        ",",
        "#",
    ]:
        yield start + d
    for end in [
        "",
        "\n",
        " \n",
        "      \n",
        "\n      ",
        "\n\n\n",
        "\r\n",
        " \r\n",
        "\r",
        "\n  \n\t",
        "\t",
        "\x0c",
        "#",
        "#c",
        " #c\n",
        "\n#c",
        "\n  #c\n",
        "\\",
        "\\\n",
        " \\\n ",
        "\\\n\n",
        "\n\\\n\n",
        "\0",
        "\0\0\0",
        "\x0b",
        "\x1a",
        "\xa0",
        "\xff",
        ")",
        "}",
        ",",
        ";",
        ".x",
        "[0]",
        "()",
        "x",
        "\nx",
        "\n{}",
        " {}",
        "\n\n" + d,
        "#é",
        "'",
        '"',
        "\\x",
    ]:
        yield d + end
    for start in [" ", "\n", "#c\n", "\x0c", "#c\n\x0c"]:
        yield start + dictionary(shape="(3L,)")
    for depth in [1, 2, 90, 199, 200]:
        yield "(" * depth + d + ")" * depth
    for depth in [1, 5, 198, 199, 200]:
        yield dictionary(shape="(" * depth + "3," + ")" * depth)
        yield dictionary(descr="(" * depth + "'<f4'" + ")" * depth)
    yield from ["(" + d, d + ")", "(" + d + ",)", "[" + d + "]", "(" + d + "}", "\n(\n" + d + "\n)\n"]
    yield from [
        "",
        " ",
        "\n",
        "#c",
        "{",
        "}",
        "{}",
        "42",
        "[]",
        "()",
        "None",
        "dict()",
        "'descr'",
        "{'descr'}",
        "{,}",
        "(",
        "[" * 100 + "]" * 100,
        "(" * 9000,
        "{'descr': '<f4',\n\n'oops'",
        "\\",
        "'",
        "'''",
    ]
    values = {"descr": "'<f4'", "fortran_order": "False", "shape": "(3,)"}
    items = [f"'{key}': {value}" for key, value in values.items()]
    for separator in [",", ", ", " , ", ",\n", ",\r\n", ",\r", ", #c\n", ",\\\n", ",\n    ", ",\t", ";", "", " ", ",,"]:
        for end in ["", separator]:
            yield "{" + separator.join(items) + end + "}"
    for colon in [":", " : ", ":\n", "\n:", ":\\\n", "=", "::", "", ":=", ": \x0c"]:
        yield "{" + ", ".join(f"'{key}'{colon}{value}" for key, value in values.items()) + "}"
    yield "{" + ", ".join(reversed(items)) + "}"
    for item in items:
        yield "{" + ", ".join(other for other in items if other != item) + "}"
        yield "{" + ", ".join([*items, item]) + "}"
    for extra in [
        "'x': 1",
        "1: 1",
        "'': 1",
        "**{}",
        "*()",
        "'shape': (4,)",
        "'descr': 1.5",
        "[]: 1",
        "x",
        "x: 1",
        "(): 1",
        "None: None",
        "'é': 1",
        "'" + "x" * 4000 + "': 1",
    ]:
        yield "{" + ", ".join([*items, extra]) + "}"
        yield "{" + ", ".join([extra, *items]) + "}"
    for length in [9_999, 10_000, 10_001]:
        yield d + " " * (length - len(d))
    for digits in ["3" * 4000, "3" * 4301, "0" * 4000 + "3", "0" * 4000, "0x" + "0" * 4000 + "3", "1_" * 2000 + "1"]:
        yield dictionary(shape=f"({digits},)")
    for count in [63, 64, 65, 4000]:
        yield dictionary(shape=f"({'1,' * count})")
        yield dictionary(shape=f"({'1,' * (count - 1)}3)")


def writers():
    """Yields headers as programs write them."""
    # ml_dtypes in another process, because NumPy knows the name bfloat16 after it is imported.
    program = """
import io, sys, ml_dtypes, numpy as np
for order in "<>":
    for shape in [(), (3,), (2, 3)]:
        for array in [np.zeros(shape, ml_dtypes.bfloat16), np.zeros(shape, ml_dtypes.bfloat16, order="F")]:
            stream = io.BytesIO()
            np.save(stream, array.astype(array.dtype.newbyteorder(order)))
            print(repr(stream.getvalue()[10:128]))
"""
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    for line in output.splitlines():
        yield eval(line).decode("latin-1")
    for descr in ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]:
        for order in [False, True]:
            for shape in [(), (1,), (3,), (2, 3), (0,), (0, 3), (2, 3, 4), (1000, 0), (1,) * 64]:
                # NumPy 2, NumPy before 1.14 (aligned to 16 bytes), Python 2 on Windows, and NumPy's C writers.
                d = repr({"descr": descr, "fortran_order": order, "shape": shape})
                yield d[:-1] + ", }" + " " * 20 + "\n"
                yield d[:-1] + ", }" + " " * ((-len(d) - 13) % 16) + "\n"
                yield d.replace(",)", "L,)").replace(", ", "L, ") if len(shape) == 1 and shape != () else d
    for text in [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3L, 4L), }          \n",
        "{'descr': u'<f4', 'fortran_order': False, 'shape': (3L,), }\n",
        "{u'descr': u'<f4', u'fortran_order': False, u'shape': (3,)}\n",
        # cnpy, npy.hpp, and writers that align with spaces after the newline or with no newline.
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }           ",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n          ",
        "{'descr':'<f4','fortran_order':False,'shape':(3,)}",
        '{"descr": "<f4", "fortran_order": False, "shape": (3,)}\n',
        '{"descr": "<f4", "fortran_order": false, "shape": [3]}\n',
        "{\n  'descr': '<f4',\n  'fortran_order': False,\n  'shape': (3,),\n}\n",
        "{\r\n  'descr': '<f4',\r\n  'fortran_order': False,\r\n  'shape': (3,),\r\n}\r\n",
        "{'shape': (3,), 'fortran_order': False, 'descr': '<f4'}\n",
    ]:
        yield text


def combinations():
    """Yields random combinations of spellings."""
    rng = random.Random(18)
    keys = ["'%s'", '"%s"', "u'%s'", "('%s')", "r'%s'", "'''%s'''"]
    for _ in range(400):
        text = dictionary(rng.choice(DESCRS[:60]), rng.choice(ORDERS[:4]), rng.choice(SHAPES[:50]), rng.choice(keys))
        yield rng.choice(["", "", " ", "\n", "#c\n"]) + text + rng.choice(["", "\n", "   \n", "\r\n", "\n   ", " #c"])


def cases():
    """Yields the version and the text of every header."""
    yield from ((1, text) for text in writers())
    yield from ((1, dictionary(descr=descr)) for descr in DESCRS)
    yield from ((1, dictionary(order=order)) for order in ORDERS)
    yield from ((1, dictionary(shape=shape)) for shape in SHAPES)
    yield from ((1, dictionary(key=key)) for key in KEYS)
    yield from ((1, text) for text in layouts())
    yield from ((1, text) for text in combinations())
    for version in (2, 3):
        for shape in SHAPES[:14]:
            yield version, dictionary(shape=shape)
        for descr in DESCRS[:40]:
            yield version, dictionary(descr=descr)
        for end in ["\n", "   \n", "\n   ", "\r   ", "\n\t\n", "#é", "#𝄞"]:
            yield version, dictionary() + end
    # Longer than the limit in bytes, but not in characters.
    yield 3, dictionary() + "#" + "é" * 5_000


def verdict(version, text):
    """Returns NumPy's dtype, or None if it refuses the header, and the header that it would write."""
    file = numpy_verdict.wrap(version, text)
    data = bytes(4096)
    try:
        shape, _, dtype = numpy_verdict.read_header(file)
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if 0 <= size <= 1 << 16:
            data = bytes(size)
        with tempfile.NamedTemporaryFile() as temporary:
            temporary.write(file + data)
            temporary.flush()
            numpy_verdict.read(temporary.name)
    except Exception:
        return None, None
    return dtype.str, numpy_verdict.written(file) if dtype.str in numpy_verdict.SUPPORTED else None


def main():
    lines, seen = [], set()
    for version, text in cases():
        try:
            text.encode("utf-8" if version == 3 else "latin-1")
        except UnicodeEncodeError:
            continue
        if (version, text) in seen:
            continue
        seen.add((version, text))
        case = {"version": version, "header": text}
        case["dtype"], written = verdict(version, text)
        if written is not None:
            case["written"] = [written[10:].decode().rstrip(), len(written)]
        lines.append(json.dumps(case, ensure_ascii=False))
    versions = json.dumps({"numpy": np.__version__, "python": platform.python_version()})
    text = versions[:-1] + ', "cases": [\n' + ",\n".join(lines) + "\n]}\n"
    Path(sys.argv[1]).write_text(text, encoding="utf-8")
    json.loads(text)


main()
