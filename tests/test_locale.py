"""Where the decimal point is a comma: files are read and written as everywhere."""

import os
import shutil
import subprocess
import sys

import pytest

COMMA = "LC_NUMERIC\ndecimal_point \",\"\nthousands_sep \".\"\ngrouping 3;3\nEND LC_NUMERIC\n"
EVERYTHING = """
import ctypes, locale, os, pathlib, sys
if sys.argv[1] == "comma":
    locale.setlocale(locale.LC_ALL, "de_DE")
    assert locale.localeconv()["decimal_point"] == ","
    text = ctypes.create_string_buffer(9)
    ctypes.CDLL(None).snprintf(text, 9, b"%.1f", ctypes.c_double(1.5))
    assert text.value == b"1,5"                          # C's own functions write it so
import backprop as bp
from backprop import cli

os.chdir(sys.argv[2])
pathlib.Path("a.csv").write_text("x,y,z\\n1234.5,2.25,a\\n-1e-3,0.5,b\\n3.5,1e3,a\\n")
pathlib.Path("a.svm").write_text("1.5 1:2.25 3:-0.125\\n-1 2:1234.5\\n")
table, rows = bp.data.load("a.csv", target="z"), bp.data.load("a.svm", zero_based=False, sparse=False)
streamed = list(bp.data.stream("a.csv", target="y", drop=["z"], chunk_rows=2))
net = bp.Network([2, 3, 2], loss="log_loss", seed=1)
net.train(table.X / 1000, bp.data.one_hot(table.y), epochs=3)
net.save("net")
bp.export.c(net, "net.c")
bp.export.python(net, "net.py")
assert cli.main(["train", "a.csv", "--target", "z", "--epochs", "3", "--seed", "1", "--out", "model"]) == 0
assert cli.main(["predict", "model", "a.csv", "--out", "out.csv"]) == 0
found = [table.X.tolist(), table.y.tolist(), rows.X.tolist(), rows.y.tolist(), [X.tolist() for X, _ in streamed],
         bp.load("net").parameters.tolist(), str(net.trace([0.5, 0.25], [1, 0], 0.1)), net.summary()]
print(repr(found), *(pathlib.Path(p).read_bytes() for p in ("net.c", "net.py", "out.csv")))
"""


def test_a_decimal_comma_changes_nothing(tmp_path):
    if shutil.which("localedef") is None:
        pytest.skip("localedef is missing, which makes the locale")
    (tmp_path / "source").write_text(COMMA)
    subprocess.run(["localedef", "-c", "-i", tmp_path / "source", tmp_path / "de_DE"], capture_output=True)
    if not (tmp_path / "de_DE" / "LC_NUMERIC").exists():
        pytest.skip("localedef makes no locale of nothing but LC_NUMERIC here")
    printed = []
    for kind in ("point", "comma"):
        folder = tmp_path / kind
        folder.mkdir()
        environment = {**os.environ, "LOCPATH": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                       "PYTHONUTF8": "1"}
        done = subprocess.run([sys.executable, "-c", EVERYTHING, kind, folder], capture_output=True, text=True,
                              env=environment, timeout=60)
        assert done.returncode == 0, done.stderr
        printed.append([line for line in done.stdout.splitlines() if line.startswith("[[")])
    assert printed[0] and printed[0] == printed[1]
