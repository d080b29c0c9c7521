"""The command line and tables as people have them: categories, missing cells, encodings, pipes, files beyond memory."""

import inspect
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import backprop as bp
from backprop import data
from backprop.columns import Column, encode
from backprop.errors import ModelFormatError
from command_line import command, ok, refused, rows_of, run

DISTRICTS = {"north": 0.0, "old town": 50_000.0, "Höhe": 80_000.0}


@pytest.fixture
def model(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def houses(tmp_path):
    """A price that is linear in the area, the district and the garden; an identifier, and notes over two lines."""
    rng = np.random.default_rng(1)
    path = tmp_path / "houses.csv"
    lines = ["id,area,district,note,garden,price"]
    for i in range(300):
        area, district, garden = rng.uniform(40, 200), rng.choice(list(DISTRICTS)), rng.choice(["yes", "no"])
        price = 1000.0 * area + DISTRICTS[district] + 20_000.0 * (garden == "yes")
        lines.append(f'h{i},{area!r},{district},"note, ""{i}""\nand more",{garden},{price!r}')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def train_houses(capsys, houses, model, *options):
    return ok(capsys, "train", houses, "--target", "price", "--drop", "id,note", "--hidden", "none", "--epochs", 400,
              "--learning-rate", 0.02, "--out", model, *options)


# ---- categories ------------------------------------------------------------------------------------------------


def test_columns_of_text_become_inputs(capsys, model, houses, tmp_path):
    out = train_houses(capsys, houses, model)
    assert "300 rows, 3 features, target 'price'\n  categories: district (3), garden (2)\n" in out
    saved = bp.load(model)
    assert saved.feature_names == ["area", "district=Höhe", "district=north", "district=old town", "garden=no",
                                   "garden=yes"]
    assert saved.columns == [Column("area"), Column("district", ("Höhe", "north", "old town")),
                             Column("garden", ("no", "yes"))]
    scores = json.loads(ok(capsys, "evaluate", model, houses, "--json"))
    assert scores["r2"] > 0.999
    predicted = np.array(rows_of(ok(capsys, "predict", model, houses))[1:], float)[:, 0]
    table = [[float(row[1]), row[2], row[4]] for row in rows_of(houses.read_text(encoding="utf-8"))[1:]]
    assert predicted.tobytes() == saved.predict(table).tobytes()
    # the columns in another order and with others among them; no target
    other = tmp_path / "other.csv"
    other.write_text("garden,extra,district,area\nyes,x,Höhe,100\nno,y,north,50\n", encoding="utf-8")
    values = np.array(rows_of(ok(capsys, "predict", model, other))[1:], float)[:, 0]
    assert np.abs(values - [200_000, 50_000]).max() < 2_000
    assert "district (Höhe|north|old town)" in ok(capsys, "info", model)


def test_an_option_that_names_columns_may_be_given_again(capsys, model, houses):
    """Nothing that was named is forgotten: a column left out stays out, also one that would give the target away."""
    ok(capsys, "train", houses, "--target", "price", "--drop", "id", "--drop", "note", "--drop", "area,district",
       "--categorical", "garden", "--metrics", "mae", "--metrics", "r2", "--hidden", "none", "--epochs", 2, "--out",
       model)
    assert bp.load(model).feature_names == ["garden=no", "garden=yes"]
    table = rows_of(ok(capsys, "predict", model, houses, "--keep", "id", "--keep", "district,garden"))
    assert table[0][:3] == ["id", "district", "garden"] and table[1][0] == "h0" and len(table) == 301


def test_numbers_can_be_categories(capsys, model, tmp_path):
    path = tmp_path / "codes.csv"
    path.write_text("code,y\n" + "".join(f"{i % 3},{[5.0, -1.5, 2.5][i % 3]}\n" for i in range(60)))
    ok(capsys, "train", path, "--target", "y", "--categorical", "code", "--hidden", "none", "--epochs", 300,
       "--learning-rate", 0.05, "--out", model)
    assert bp.load(model).columns == [Column("code", ("0", "1", "2"))]
    assert json.loads(ok(capsys, "evaluate", model, path, "--json"))["r2"] > 0.999


def test_categories_without_a_header_go_by_position(capsys, model, tmp_path):
    path = tmp_path / "bare.csv"
    path.write_text("".join(f"{'ab'[i % 2]},{i},{'no' if i % 2 else 'yes'}\n" for i in range(40)))
    ok(capsys, "train", path, "--target", "-1", "--header", "no", "--epochs", 100, "--out", model,
       "--learning-rate", 0.01)
    expected = [["prediction"], *[["no" if i % 2 else "yes"] for i in range(40)]]
    assert rows_of(ok(capsys, "predict", model, path, "--header", "no")) == expected
    bare = tmp_path / "features.csv"
    bare.write_text("a,1\nb,2\n")
    assert ok(capsys, "predict", model, bare, "--header", "no") == "prediction\nyes\nno\n"


def test_unknown_categories(capsys, model, houses, tmp_path):
    train_houses(capsys, houses, model)
    path = tmp_path / "new.csv"
    path.write_text("area,district,garden\n100,north,yes\n100,moon,yes\n")
    assert refused(capsys, 2, "predict", model, path) == (
        f"{path}, line 3, column 2: the cell 'moon' in column 'district' is none of the model's categories, "
        "Höhe, north, old town")
    rows = rows_of(ok(capsys, "predict", model, path, "--unknown", "zeros"))[1:]
    X = encode(bp.load(model).columns, [[100, "north", "yes"], [100, "moon", "yes"]], unknown="zeros")
    assert X[1].tolist() == [100, 0, 0, 0, 0, 1]
    assert np.array(rows, float)[:, 0].tobytes() == bp.load(model).outputs_of(X)[:, 0].tobytes()


@pytest.mark.parametrize("text, message", [
    ("x,y\n1,a\nfrob,b\n2,a\n", "line 3, column 1: the cell 'frob' in column 'x' is not a number, and others of the "
     "column are; --categorical x takes all its cells as text, --drop x leaves the column out"),
    ("x,y\nred,a\n7,b\nblue,a\n", "line 3, column 1: the cell '7' in column 'x' is a number, and others of the column "
     "are not; --categorical x takes all its cells as text, --drop x leaves the column out"),
    ("x,y\nr1,a\nr2,b\nr3,a\n", "line 1, column 1: column 'x' has another text in every row, as an identifier has; "
     "--categorical x takes all its cells as text, --drop x leaves the column out"),
    ("x,z,y\n1,,a\n2,3,b\n", "line 2, column 2: the cell '' in column 'z' is empty; --missing fill puts the column's "
     "mean or a category of its own there, --missing drop leaves such rows out"),
    ("x,z,y\n1,NA,a\n2,3,b\n", "line 2, column 2: the cell 'NA' in column 'z' stands for a missing value; --missing "
     "fill puts the column's mean or a category of its own there, --missing drop leaves such rows out"),
    ("x,y\n1,a\n2\n", "line 3, column 2: the row has 1 cells, expected 2"),
    ("x,y\n1,a\n2,\n", "line 3, column 2: the target '' is empty"),
    ("x,x,y\n1,2,a\n", "line 1, column 2: the column name 'x' occurs twice"),
    (",x,y\n0,1,a\n1,2,b\n", "line 1, column 1: the column has no name; leave it out by --drop 0 if it is an index"),
    ("x,y\n1,a\n\n2,b\n", "line 3, column 1: blank line between rows of data"),
    ('x,y\n1,"a\n2,b\n', "line 2, column 2: malformed cell: a quote is opened and not closed"),
    ("x,y\n1e999,a\n2,b\n", "line 2, column 1: the cell '1e999' in column 'x' is too large for a float64"),
    ("x,y\n", "line 1, column 1: the file has a header and no rows of data"),
    ("", "line 1, column 1: the file is empty"),
])
def test_tables_that_are_refused(capsys, model, tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    assert refused(capsys, 2, "train", path, "--target", "y", "--out", model) == f"{path}, {message}"
    assert not model.exists()


def test_too_many_categories_are_an_identifier(capsys, model, tmp_path):
    path = tmp_path / "many.csv"
    path.write_text("x,y\n" + "".join(f"t{i % 150},{i}\n" for i in range(300)))
    assert refused(capsys, 2, "train", path, "--target", "y", "--out", model).endswith(
        "column 'x' has 150 different texts, as an identifier has; --categorical x takes all its cells as text, "
        "--drop x leaves the column out")
    ok(capsys, "train", path, "--target", "y", "--categorical", "x", "--epochs", 1, "--out", model)
    assert bp.load(model).network.sizes[0] == 150


# ---- missing cells ---------------------------------------------------------------------------------------------


@pytest.fixture
def holes(tmp_path):
    """Two features with a missing cell in every tenth row; the class is the colour."""
    path = tmp_path / "holes.csv"
    lines = ["size,colour,class"]
    for i in range(100):
        lines.append(f"{'' if i % 10 == 3 else i % 7},{'?' if i % 10 == 4 else ['red', 'blue'][i % 2]},{'ab'[i % 2]}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_missing_cells_are_filled_now_and_later(capsys, model, holes, tmp_path):
    out = ok(capsys, "train", holes, "--target", "class", "--missing", "fill", "--test-size", 0, "--epochs", 100,
             "--out", model)
    known = [i % 7 for i in range(100) if i % 10 != 3]
    size, colour = bp.load(model).columns
    assert size == Column("size", None, size.fill) and size.fill == pytest.approx(np.mean(known), rel=1e-15)
    assert colour == Column("colour", ("", "blue", "red"))
    assert f"missing cells filled: size ({size.fill:.4g})" in out
    path = tmp_path / "new.csv"
    path.write_text("size,colour\n,red\n3,NA\n")
    rows = rows_of(ok(capsys, "predict", model, path, "--proba"))
    assert rows[1][0] == "a"
    X = [[size.fill, 0, 0, 1], [3, 1, 0, 0]]
    assert np.array([row[1:] for row in rows[1:]], float).tobytes() == bp.load(model).outputs_of(X).tobytes()


def test_the_mean_that_fills_knows_nothing_of_the_test_part(capsys, model, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("x,y\n" + "".join(f"{'' if i == 7 else i * i},{i}.5\n" for i in range(50)))
    ok(capsys, "train", path, "--target", "y", "--missing", "fill", "--seed", 3, "--epochs", 0, "--out", model)
    rows = np.arange(50.0).reshape(-1, 1)
    train = data.split(rows, rows[:, 0], test_size=0.2, seed=3)[0][:, 0]
    expected = np.mean([i * i for i in train if i != 7])
    assert bp.load(model).columns[0].fill == pytest.approx(expected, rel=1e-15)


def test_rows_with_missing_cells_are_dropped(capsys, model, holes, tmp_path):
    out = ok(capsys, "train", holes, "--target", "class", "--missing", "drop", "--epochs", 1, "--out", model)
    assert "80 rows, 2 features, target 'class'; 20 rows with missing cells were dropped" in out
    path = tmp_path / "new.csv"
    path.write_text("size,colour\n,red\n")
    assert refused(capsys, 2, "predict", model, path) == (
        f"{path}, line 2, column 1: the cell '' in column 'size' is missing, and the model has no value to put there")


def test_columns_in_the_file_are_checked():
    for document in ([], {"name": "x"}, {"name": 1, "categories": None, "fill": None},
                     {"name": "x", "categories": [], "fill": None},
                     {"name": "x", "categories": ["a", "a"], "fill": None},
                     {"name": "x", "categories": [1], "fill": None}, {"name": "x", "categories": None, "fill": "1"},
                     {"name": "x", "categories": None, "fill": float("nan")}):
        with pytest.raises(ModelFormatError, match="column"):
            Column.from_dict(document)
    column = Column("x", ("a", "b"))
    assert Column.from_dict(json.loads(json.dumps(column.to_dict()))) == column
    with pytest.raises(ValueError, match="columns make 2 inputs, and the network has 3"):
        bp.Model(bp.Network([3, 1], seed=0), columns=[column])


def test_a_table_of_cells_is_refused_with_its_place():
    columns = [Column("area"), Column(None, ("red",))]
    for table, message in (([["x", "red"]], r"row 0, column 0 \(area\): the cell 'x' is not a number"),
                           ([[1, "red"], [2, "blue"]], "row 1, column 1: the cell 'blue' is none of the model's"),
                           ([[1]], "a table of 2 columns"), ([[float("inf"), "red"]], "is not finite"),
                           ([[None, "red"]], "is missing"), ([["1_000", "red"]], "the cell '1_000' is not a number"),
                           ([["١", "red"]], "the cell '١' is not a number"), ([["-inf", "red"]], "is not finite"),
                           ([[1, ""]], "the cell '' is missing, and the model was trained without missing cells here")):
        with pytest.raises(ValueError, match=message):
            encode(columns, table)


# ---- encodings, separators, pipes ------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding, delimiter, end", [("utf-8-sig", ";", "\r\n"), ("utf-8", "\t", "\n"),
                                                      ("utf-8-sig", ",", "\n")])
def test_files_as_other_programs_write_them(capsys, model, tmp_path, encoding, delimiter, end):
    path = tmp_path / "table.csv"
    rows = [["größe", "class"], *[[str(i % 9), "für" if i % 9 > 4 else "gegen"] for i in range(90)]]
    path.write_bytes(end.join(delimiter.join(row) for row in [*rows, []]).encode(encoding))
    ok(capsys, "train", path, "--target", "class", "--epochs", 300, "--out", model)
    assert bp.load(model).feature_names == ["größe"]
    assert [row[0] for row in rows_of(ok(capsys, "predict", model, path))[1:]] == [row[1] for row in rows[1:]]


def test_labels_of_any_script_reach_an_ascii_stdout(model, tmp_path):
    bp.Model(bp.Network([1, 2], loss="log_loss", init=([[[1.0, -1.0]]], None)), classes=["für", "gegen"]).save(model)
    path = tmp_path / "x.csv"
    path.write_text("1.0\n-1.0\n")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    for name in ("predict", "evaluate"):
        done = subprocess.run(command(name, model, path), capture_output=True, env=environment)
        if name == "predict":
            assert (done.returncode, done.stderr) == (0, b"")
            assert done.stdout.decode("utf-8") == "prediction\nfür\ngegen\n"
        else:
            assert done.returncode == 2 and done.stderr.count(b"\n") == 1


def test_rows_from_a_pipe(model, houses, capsys):
    train_houses(capsys, houses, model)
    expected = ok(capsys, "predict", model, houses)
    done = subprocess.run(command("predict", model, "-"), input=houses.read_bytes(), capture_output=True)
    assert (done.returncode, done.stderr, done.stdout.decode()) == (0, b"", expected)
    done = subprocess.run(command("predict", model, "-"), input=b"area,district,garden\n1,moon,yes\n",
                          capture_output=True, env={**os.environ, "PYTHONIOENCODING": "utf-8"})
    assert (done.returncode, done.stdout, done.stderr.decode()) == (
        2, b"", "backprop: error: standard input, line 2, column 2: the cell 'moon' in column 'district' is none of "
                "the model's categories, Höhe, north, old town\n")
    done = subprocess.run(command("predict", model, "-"), input=b"area\n1\n", capture_output=True)
    assert done.stderr == (b"backprop: error: standard input: no column 'district', which the model takes; "
                           b"the columns are area\n")


def test_head_is_quiet(model, tmp_path):
    bp.Network([2, 1], seed=0).save(model)
    path = tmp_path / "long.csv"
    path.write_text("a,b\n" + "1,2\n" * 200_000)
    line = " ".join(map(str, command("predict", model, path)))
    done = subprocess.run(["sh", "-c", f"{line} | head -1"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("prediction\n", "")


def test_identifiers_are_named_together(capsys, model, tmp_path):
    path = tmp_path / "people.csv"
    rows = [f"n{i},{i},{'c' if i % 2 else f'C{i}'},{i % 2}\n" for i in range(300)]
    path.write_text("name,age,cabin,y\n" + "".join(rows))
    assert refused(capsys, 2, "train", path, "--target", "y", "--out", model) == (
        f"{path}, line 1, column 1: the columns name, cabin have other texts in every row or more than 100, as "
        "identifiers have; --drop name,cabin leaves them out")
    ok(capsys, "train", path, "--target", "y", "--drop", "name,cabin", "--epochs", 1, "--out", model)


# ---- decimal commas, kept columns ------------------------------------------------------------------------------


def test_decimal_commas(capsys, model, tmp_path):
    path, plain = tmp_path / "komma.csv", tmp_path / "plain.csv"
    rows = [(f"{i / 4:.2f}", ("rot, hell", "blau")[i % 2], f"{i * 0.75:.3f}") for i in range(40)]
    plain.write_text("x;farbe;y\n" + "".join(f"{x};{colour};{y}\n" for x, colour, y in rows))
    path.write_text("x;farbe;y\n" + "".join(f"{x.replace('.', ',')};{colour};{y.replace('.', ',')}\n"
                                            for x, colour, y in rows))
    assert refused(capsys, 2, "train", path, "--target", "y", "--out", model) == (
        f"{path}, line 2, column 1: the cell '0,00' in column 'x' has a comma where a number has its point; --decimal "
        ", takes it for the point; --categorical x takes all its cells as text, --drop x leaves the column out")
    ok(capsys, "train", path, "--target", "y", "--decimal", ",", "--epochs", 20, "--out", model)
    saved = bp.load(model)
    assert saved.feature_names == ["x", "farbe=blau", "farbe=rot, hell"] and saved.classes is None
    answers = ok(capsys, "predict", model, path, "--decimal", ",")
    assert answers == ok(capsys, "predict", model, plain)
    assert ok(capsys, "evaluate", model, path, "--decimal", ",", "--json").replace("komma", "plain") == (
        ok(capsys, "evaluate", model, plain, "--json"))
    assert refused(capsys, 2, "predict", model, path) == (
        f"{path}, line 2, column 1: the cell '0,00' in column 'x' is not a number: it has a comma where a number has "
        "its point; --decimal , takes it for the point")
    path.write_text("1,5;2,5;3,5\n2,5;3,5;5,5\n1,0;3,0;4,25\n")        # no names, and more commas than semicolons
    out = ok(capsys, "train", path, "--target", -1, "--decimal", ",", "--epochs", 1, "--out", model)
    assert "3 rows, 2 features" in out
    assert len(rows_of(ok(capsys, "predict", model, path, "--decimal", ","))) == 4


def test_a_file_of_names_alone_has_no_predictions(capsys, model, houses, tmp_path):
    train_houses(capsys, houses, model, "--epochs", 1)
    path, out = tmp_path / "none.csv", tmp_path / "out.csv"
    path.write_text("id,area,district,garden\n")
    assert ok(capsys, "predict", model, path) == "prediction\n"
    ok(capsys, "predict", model, path, "--keep", "id,area", "--out", out)
    assert out.read_text() == "id,area,prediction\n"


def test_columns_are_kept_beside_the_predictions(capsys, model, houses, tmp_path):
    train_houses(capsys, houses, model, "--epochs", 1)
    cells, answers = rows_of(houses.read_text()), rows_of(ok(capsys, "predict", model, houses))
    place = cells[0].index("price")
    kept = rows_of(ok(capsys, "predict", model, houses, "--keep", f"price,{cells[0][0]}"))
    assert kept == [[row[place], row[0], *answer] for row, answer in zip(cells, answers)]
    everything = rows_of(ok(capsys, "predict", model, houses, "--keep", "all"))
    assert everything == [[*row, *answer] for row, answer in zip(cells, answers)]
    assert refused(capsys, 2, "predict", model, houses, "--keep", "z").startswith("--keep z is not a column of ")
    bp.Network([2, 1], seed=0).save(model)
    bare = tmp_path / "bare.csv"
    bare.write_text("1,2.50\n3,4\n")
    assert [row[:2] for row in rows_of(ok(capsys, "predict", model, bare, "--keep=-1,0"))] == [
        ["column 1", "column 0"], ["2.50", "1"], ["4", "3"]]
    np.save(tmp_path / "x.npy", np.ones((2, 2)))
    assert refused(capsys, 2, "predict", model, tmp_path / "x.npy", "--keep", 0) == (
        f"argument --keep: {tmp_path / 'x.npy'} is not a text file, whose cells could be kept")


# ---- files beyond memory ---------------------------------------------------------------------------------------

PEAK = """\
import re, sys
from backprop.cli import main
code = main(sys.argv[1:])
print(code, re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1], file=sys.stderr)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the system does not tell the peak of memory")
@pytest.mark.parametrize("kind, rows", [("numbers", 500_000), ("categories", 200_000)])
def test_prediction_takes_bounded_memory(tmp_path, model, kind, rows):
    """A file ten times as long takes no more memory: one block of rows is held at a time."""
    columns = None if kind == "numbers" else [*[Column(f"c{j}") for j in range(7)], Column("c7", ("0.25", "x"))]
    bp.Model(bp.Network([8 if columns is None else 9, 1], seed=0), columns=columns).save(model)
    path, out, peaks = tmp_path / "long.csv", tmp_path / "out.csv", []
    for n in (rows // 10, rows):
        with open(path, "w") as stream:
            stream.write(",".join(f"c{j}" for j in range(8)) + "\n")
            stream.writelines("0.25,0.5,0.75,1.5,2.5,3.5,0.1,0.25\n" for _ in range(n))
        done = subprocess.run([sys.executable, "-c", PEAK, "predict", str(model), str(path), "--out", str(out)],
                              capture_output=True, text=True, check=True)
        code, peak = done.stderr.split()
        with open(out, "rb") as stream:
            assert (code, sum(1 for _ in stream)) == ("0", n + 1)
        peaks.append(int(peak) / 1024)
    assert peaks[1] - peaks[0] < 4.0                     # MiB; these rows alone are 12 to 30 MiB as float64


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the system does not tell the peak of memory")
@pytest.mark.parametrize("form", ["npy", "npy with target", "idx", "npz", "npz deflated", "npz with target", "libsvm"])
def test_prediction_from_an_array_takes_bounded_memory(tmp_path, model, form):
    width = 48
    bp.Model(bp.Network([width, 1], seed=0), target=width if "with target" in form else None).save(model)
    path, out, peaks = tmp_path / f"long.{form.split()[0]}", tmp_path / "out.csv", []
    options = ["--index-base", "0"] if form == "libsvm" else []
    for n in (20_000, 150_000):
        rows = np.resize(np.arange(251.0), (n, width + ("with target" in form)))
        if form == "libsvm":
            rows[:, 3:-1] = 0.0
            lines = [f"1 0:{a:.0f} 1:{b:.0f} 2:{c:.0f} 47:{d:.0f}\n" for a, b, c, *_, d in rows[:251].tolist()]
            path.write_text("".join(lines[i % 251] for i in range(n)))
        elif form.startswith("npz"):             # without y, the target a column of X; or strings as y, not looked at
            labels = {} if "with target" in form else {"y": np.full(n, "x")}
            (np.savez_compressed if "deflated" in form else np.savez)(path, X=rows, **labels)
        elif form == "idx":
            path.write_bytes(b"\0\0\x08\2" + n.to_bytes(4, "big") + width.to_bytes(4, "big")
                             + rows.astype(np.uint8).tobytes())
        else:
            np.save(path, rows)
        argv = ["predict", str(model), str(path), "--out", str(out), *options]
        done = subprocess.run([sys.executable, "-c", PEAK, *argv], capture_output=True, text=True, check=True)
        code, peak = done.stderr.split()
        assert code == "0", done.stderr
        peaks.append(int(peak) / 1024)
        values = np.loadtxt(out, skiprows=1)
        expected = bp.load(model).network.predict(rows[:, :width])[:, 0]
        np.testing.assert_array_equal(values, expected)
    assert peaks[1] - peaks[0] < 25.0                    # MiB, a block of 2**20 cells and its text; all rows are 55 MiB


def test_nothing_is_written_where_a_late_row_is_bad(capsys, model, tmp_path):
    bp.Network([2, 1], seed=0).save(model)
    path, out = tmp_path / "long.csv", tmp_path / "out.csv"
    path.write_text("1,2\n" * 100_000 + "1,x\n")
    out.write_text("old")
    message = refused(capsys, 2, "predict", model, path, "--out", out)
    assert message.startswith(f"{path}, line 100001, column 2: the cell 'x' is not a number")
    assert out.read_text() == "old" and sorted(os.listdir(tmp_path)) == ["long.csv", model.name, "out.csv"]
    code, stdout, err = run(capsys, "predict", model, path)
    assert code == 2 and err.count("\n") == 1 and stdout.count("\n") > 1         # the rows before it


# ---- LIBSVM ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif("zero_based" not in inspect.signature(data.load).parameters, reason="no reader of LIBSVM files")
def test_libsvm(capsys, model, tmp_path):
    path = tmp_path / "data.libsvm"
    path.write_text("".join(f"{'+1' if i % 2 else '-1'} 1:{i % 2} 3:0.5\n" for i in range(60)))
    assert refused(capsys, 2, "train", path, "--out", model) == (
        f"{path} is LIBSVM, and does not tell whether its columns count from 0 or from 1: give --index-base 0 or "
        "--index-base 1")
    ok(capsys, "train", path, "--index-base", 1, "--epochs", 200, "--learning-rate", 0.01, "--out", model)
    saved = bp.load(model)
    assert saved.network.sizes[0] == 3 and saved.classes.tolist() == [-1, 1]
    assert json.loads(ok(capsys, "evaluate", model, path, "--index-base", 1, "--json"))["accuracy"] == 1.0
    narrow = tmp_path / "narrow.libsvm"                  # its largest index is smaller than the model's
    narrow.write_text("1 1:1\n-1\n")
    assert ok(capsys, "predict", model, narrow, "--index-base", 1) == "prediction\n1\n-1\n"
