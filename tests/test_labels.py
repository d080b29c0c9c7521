"""Labels come back as they were given, of any kind, in any container, at every entry point; or they are refused."""

import decimal
import enum
import fractions

import numpy as np
import pytest

import backprop as bp

pytestmark = pytest.mark.filterwarnings("ignore")        # few iterations do not converge, and that is not the subject

rng = np.random.default_rng(4)
X = rng.normal(size=(12, 3))
SMALL = {"hidden_layer_sizes": (3,), "max_iter": 2, "random_state": 0}


class Size(enum.IntEnum):
    SMALL, LARGE = 1, 2


# {name: labels in order}; the dtype of `classes_` follows
LABELS = {
    "strings": ["", "a", "b c", "ä"], "numerals": ["01", "1", "1.0"], "bools": [False, True], "integers": [-2, 0, 7],
    "an enumeration": [Size.SMALL, Size.LARGE], "beyond 2^53": [2**53, 2**53 + 1], "least": [-2**63, -2**63 + 1, 0],
    "beyond 2^63": [1, 2**63, 2**63 + 1], "largest": [0, 2**64 - 1], "both ends": [-1, 2**63, 2**63 + 1],
    "no word holds them": [-2**70, 2**70, 2**70 + 1], "whole floats": [-1.0, 0.0, 2.0], "case": ["A", "a"],
}
SCALARS = {str: np.str_, bool: np.bool_, int: np.int64, float: np.float64}


def objects(values):
    out = np.empty(len(values), object)
    out[:] = values
    return out


def series(values, dtype=None):
    return pytest.importorskip("pandas", reason="the series are pandas'").Series(values, dtype=dtype)


def nullable(values):
    return series(values, {bool: "boolean", int: "Int64", str: "string"}[type(values[0])])


def scalars(values):
    return objects([SCALARS[type(values[0])](value) for value in values])


def text_of_any_length(values):
    return np.array(values, np.dtypes.StringDType())


def fits(labels, form):
    """Whether a form has a kind for labels."""
    if form == "text of any length":
        return type(labels[0]) is str and hasattr(np, "dtypes") and hasattr(np.dtypes, "StringDType")
    if form in ("nullable series", "NumPy's scalars"):
        small = type(labels[0]) is not int or all(-2**63 <= label < 2**63 for label in labels)
        return small and type(labels[0]) in ((bool, int, str) if form == "nullable series" else SCALARS)
    return True


FORMS = {"list": list, "tuple": tuple, "objects": objects, "series": series, "nullable series": nullable,
         "NumPy's scalars": scalars, "text of any length": text_of_any_length}


def fitted(make, save=True):
    def entry(y, path):
        model = make().fit(X, y)
        model.save(path)
        again = bp.load(path)
        assert again.classes_.dtype == model.classes_.dtype and again.classes_.tolist() == model.classes_.tolist()
        assert again.predict(X).tolist() == model.predict(X).tolist()
        return model.classes_
    return entry


def one_by_one(make):
    return lambda y, path: make().partial_fit(X, y, classes=y).classes_


def split(y, path):
    return np.unique(np.concatenate(bp.data.split(X, y, seed=0)[2:]))


def one_hot(y, path):
    """The labels of the columns' ones, in the order of the columns."""
    columns = bp.data.one_hot(y).argmax(axis=1)
    given = [label.item() if isinstance(label, np.generic) else label for label in y]
    return objects([given[columns.tolist().index(column)] for column in range(columns.max() + 1)])


def classifier():
    return bp.MLPClassifier(**SMALL)


def perceptron():
    return bp.Perceptron(max_iter=2, random_state=0)


ENTRIES = {"MLPClassifier": fitted(classifier), "Perceptron": fitted(perceptron), "split": split, "one_hot": one_hot,
           "MLPClassifier.partial_fit": one_by_one(classifier), "Perceptron.partial_fit": one_by_one(perceptron)}


@pytest.mark.parametrize("kind, form", [(kind, form) for kind in LABELS for form in FORMS if fits(LABELS[kind], form)])
def test_labels_come_back_as_they_were_given(tmp_path, kind, form):
    labels = LABELS[kind]
    y = FORMS[form]([labels[i % len(labels)] for i in range(len(X))])
    for name, entry in ENTRIES.items():
        found = entry(y, tmp_path / "model")
        assert found.tolist() == labels, name
        assert {type(value) for value in found.tolist()} <= {type(labels[0]), int if kind == "an enumeration" else type(
            labels[0])}, name


@pytest.mark.parametrize("dtype", ["i1", ">i2", "i4", "i8", "u1", "u2", ">u4", "u8", "f2", "f4", ">f8", "?", "U3"])
def test_a_model_file_keeps_the_dtype_of_labels(tmp_path, dtype):
    y = (np.arange(12) % 2).astype(dtype)
    for make in (classifier, perceptron):
        model = make().fit(X, y)
        model.save(tmp_path / "model")
        again = bp.load(tmp_path / "model")
        assert again.classes_.dtype == np.unique(y).dtype.newbyteorder("=") or dtype == "U3"
        assert again.predict(X).tolist() == model.predict(X).tolist()
        first = (tmp_path / "model").read_bytes()
        again.save(tmp_path / "model")
        assert (tmp_path / "model").read_bytes() == first
    model = bp.Model(bp.Network([3, 2], seed=0), classes=np.unique(y))
    model.save(tmp_path / "model")
    assert bp.load(tmp_path / "model").classes.dtype == model.classes.dtype.newbyteorder("=") or dtype == "U3"


# {name: (two labels, the error)}: none is taken for another, whatever holds it
BAD = {
    "None": (["a", None], ValueError), "NaN": ([1.0, float("nan")], ValueError),
    "infinity": ([1.0, float("inf")], ValueError), "infinity among integers": ([1, float("inf")], ValueError),
    "NaN among texts": (["a", float("nan")], ValueError),
    "a decimal NaN": ([decimal.Decimal(1), decimal.Decimal("nan")], ValueError),
    "a signalling NaN": ([decimal.Decimal(1), decimal.Decimal("snan")], ValueError),
    "NaT": (["a", np.datetime64("NaT", "s")], ValueError), "a masked one": ([1, np.ma.masked], ValueError),
    "complex": ([1j, 2j], ValueError), "bytes": ([b"a", b"b"], TypeError), "text and numbers": (["a", 1], TypeError),
    "text and its number": (["1", 1], TypeError), "text and bytes": (["a", b"a"], TypeError),
    "text and bools": (["True", True], TypeError), "records": (np.zeros(2, [("a", int)]), TypeError),
    "voids": (np.zeros(2, "V2"), TypeError), "a null character at the end": (["a\0", "a"], ValueError),
    "a fraction": ([fractions.Fraction(1, 3), "a"], TypeError),
    "arrays": ([np.array([1, 2]), np.array([1, 3, 4])], TypeError), "an array": (["a", np.ones(3)], TypeError),
}


NOT_IN_SERIES = ("a masked one", "a signalling NaN", "records", "voids", "bytes", "complex")    # pandas changes them


@pytest.mark.parametrize("kind, form", [(kind, form) for kind in BAD for form in ("list", "objects", "series")
                                        if form != "series" or kind not in NOT_IN_SERIES])
def test_labels_that_are_none_are_refused_by_name(tmp_path, kind, form):
    labels, error = BAD[kind]
    y = FORMS[form]([labels[i % 2] for i in range(len(X))])
    if form == "objects" and isinstance(labels, np.ndarray):
        y = np.array(list(y))
    if kind in ("arrays", "an array") and form == "list":
        error = (TypeError, ValueError)                          # the list is ragged
    for name, entry in ENTRIES.items():
        if name == "split" and kind in ("text and numbers", "text and its number", "text and bytes", "text and bools",
                                        "a fraction"):
            continue                                             # it splits whatever there is, and sorts nothing
        with pytest.raises((ValueError, TypeError), match=r"\b(y|classes)\b") as caught:
            entry(y, tmp_path / "model")
        assert isinstance(caught.value, error), (name, caught.value)


@pytest.mark.skipif(np.finfo("g").eps == np.finfo(float).eps, reason="a long double is a float64 here")
def test_long_doubles_are_labels_where_float64_holds_them(tmp_path):
    y = np.array([1, 2] * 6, "g")
    assert fitted(perceptron)(y, tmp_path / "model").dtype == fitted(classifier)(y, tmp_path / "model").dtype == float
    y[3] = np.longdouble(2)**60 + 1
    for entry in ENTRIES.values():
        with pytest.raises(ValueError, match="(y|classes) holds the long double .* at row 3"):
            entry(y, tmp_path / "model")


def test_labels_that_are_beyond_their_dtype_in_a_file_are_refused():
    from backprop.errors import ModelFormatError
    from backprop.model import labels_document, labels_of

    document = labels_document(np.array([1, 2], np.int8))
    assert document == {"kind": "int", "labels": [1, 2], "dtype": "int8"} and labels_of(document).dtype == np.int8
    for changed in ({"labels": [1, 300]}, {"dtype": "float32"}, {"dtype": "int64"}, {"dtype": "O"}, {"dtype": 8},
                    {"dtype": []}, {"more": 1}, {"kind": "float"}):
        with pytest.raises((ModelFormatError, TypeError)):
            labels_of({**document, **changed})
    with pytest.raises(ModelFormatError, match="do not fit float16"):
        labels_of({"kind": "float", "labels": [0.1], "dtype": "float16"})


def test_labels_of_another_kind_than_the_classes_are_refused():
    """Those that cannot even be compared with the classes among them."""
    for classes in ([2**70, 1], [1, 2], ["a", "b"]):
        model = bp.MLPClassifier(max_iter=1).partial_fit(X, [classes[i % 2] for i in range(len(X))], classes=classes)
        for others in (["u", "v"], [2**80, 2**81], [5.0, 7.0]):
            with pytest.raises(ValueError, match=r"classes not in `self\.classes_`"):
                model.partial_fit(X, [others[i % 2] for i in range(len(X))])


def test_rows_of_labels_that_cannot_be_sorted_are_not_split_by_class():
    y = np.array([1, "a"] * 4, object)
    with pytest.raises(TypeError, match="y mixes labels that cannot be sorted"):
        bp.data.split(np.ones((8, 1)), y, 0.5, stratify=True)


@pytest.mark.parametrize("make", [lambda: bp.MLPClassifier((3,), max_iter=2), lambda: bp.Perceptron(max_iter=2)],
                         ids=["MLPClassifier", "Perceptron"])
@pytest.mark.filterwarnings("ignore")                    # two iterations do not converge
def test_a_score_is_of_labels_of_one_kind(make):
    X, texts = np.eye(12), ["a", "b", "c"] * 4
    model = make().fit(X, texts)
    assert model.score(X, np.array(texts, object)) == model.score(X, texts)
    assert model.score(X, ["unknown"] * 12) == 0.0
    with pytest.raises(TypeError, match="^y mixes labels that cannot be sorted"):
        model.score(X, ["a", 1, 2] * 4)
    with pytest.raises(ValueError, match="^y has a missing label at row 1"):
        model.score(X, ["a", None, "b"] * 4)


@pytest.mark.filterwarnings("ignore")
def test_numbers_are_no_score_of_texts():
    model = bp.MLPClassifier((3,), max_iter=2).fit(np.eye(3), ["a", "b", "c"])
    with pytest.raises(ValueError, match=r"y has labels such as 0, and classes_ is \['a' 'b' 'c'\]"):
        model.score(np.eye(3), [0, 1, 2])
