"""DaskMLPClassifier and DaskMLPRegressor on a real cluster of processes."""

import warnings

import numpy as np
import pytest

import backprop as bp

dask = pytest.importorskip("dask", reason="needs Dask, the extra `dask`")
distributed = pytest.importorskip("distributed", reason="needs Dask, the extra `dask`")
da = pytest.importorskip("dask.array", reason="needs Dask's arrays, the extra `dask`")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning",
                                        "ignore:.*onverge", "ignore::pytest.PytestUnraisableExceptionWarning")
CHUNKS = (70, 0, 130, 100)
RNG = np.random.default_rng(1)
X = RNG.normal(size=(300, 4))
LABELS = np.array(["no", "perhaps", "yes"])[np.digitize(X[:, 0] + X[:, 1], [-0.5, 0.5])]
y = np.tanh(X @ RNG.normal(size=4))
DX, DLABELS, Dy = (da.from_array(array, chunks=(CHUNKS, *array.shape[1:])) for array in (X, LABELS, y))
WEIGHT = RNG.uniform(0.5, 2.0, 300)
OPTIONS = {"hidden_layer_sizes": (5,), "random_state": 0, "max_iter": 30, "learning_rate_init": 0.05}


@pytest.fixture(scope="module")
def client():
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        with distributed.Client(cluster) as client:
            yield client


@pytest.mark.parametrize("kind, targets, there", [("Classifier", LABELS, DLABELS), ("Regressor", y, Dy)])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_fit_of_whole_gradients_is_that_of_the_estimator_in_memory(client, kind, targets, there, solver, weighted):
    weight = WEIGHT if weighted else None
    here = getattr(bp, f"MLP{kind}")(solver=solver, batch_size="full", **OPTIONS).fit(X, targets, weight)
    far = getattr(bp.dask, f"DaskMLP{kind}")(solver=solver, **OPTIONS)
    far.fit(DX, there, da.from_array(WEIGHT, chunks=(CHUNKS,)) if weighted else None, client=client)
    np.testing.assert_allclose(far.network_.parameters, here.network_.parameters, rtol=0, atol=1e-7)
    assert far.loss_curve_ == pytest.approx(here.loss_curve_, rel=1e-7) and far.n_iter_ == here.n_iter_
    predicted = far.predict(DX)
    assert [rows for rows in predicted.chunks[0] if rows] == [rows for rows in CHUNKS if rows]
    assert np.array_equal(predicted.compute(), far.predict(X))
    score = far.score(X, targets)
    assert score > 0.6 and far.score(DX, there) == pytest.approx(score)


def test_probabilities_local_twin_and_file(client, tmp_path):
    far = bp.dask.DaskMLPClassifier(**OPTIONS).fit(DX, DLABELS, client=client, mode="average", local_epochs=2)
    assert far.classes_.tolist() == ["no", "perhaps", "yes"]
    assert type(far.to_local()) is bp.MLPClassifier
    P = far.predict_proba(DX).compute()
    assert P.shape == (300, 3) and np.array_equal(P, far.to_local().predict_proba(X))
    far.save(tmp_path / "far")
    assert np.array_equal(bp.load(tmp_path / "far").predict_proba(X), P)


@pytest.mark.parametrize("kind", ["str", "category", "int64", "bool"])
def test_frames(client, kind):
    """Labels of frames, pyarrow's strings among them: the classes and the fit of the estimator in memory."""
    pd = pytest.importorskip("pandas", reason="needs pandas for frames")
    dd = pytest.importorskip("dask.dataframe", reason="needs Dask's frames: pandas, pyarrow")
    labels = pd.Series({"int64": (X[:, 0] > 0) * 3, "bool": X[:, 0] > 0}.get(kind, LABELS)).astype(kind)
    table = pd.DataFrame(X, columns=list("abcd")).assign(label=labels, w=WEIGHT)
    frame = dd.from_pandas(table, npartitions=3)
    frame = frame.assign(label=frame["label"].astype(kind)) if kind == "category" else frame
    far = bp.dask.DaskMLPClassifier(**OPTIONS).fit(frame[list("abcd")], frame["label"], client=client)
    here = bp.MLPClassifier(batch_size="full", **OPTIONS).fit(table[list("abcd")], table["label"])
    assert far.classes_.tolist() == here.classes_.tolist()
    np.testing.assert_allclose(far.network_.parameters, here.network_.parameters, rtol=0, atol=1e-7)
    assert far.predict(frame[list("abcd")]).compute().tolist() == here.predict(table[list("abcd")]).tolist()
    score = here.score(table[list("abcd")], table["label"], table["w"])
    assert far.score(frame[list("abcd")], frame["label"], frame["w"]) == pytest.approx(score)


def test_names_of_columns_are_kept_and_held_against_those_of_later_frames(client):
    pd = pytest.importorskip("pandas", reason="needs pandas for frames")
    dd = pytest.importorskip("dask.dataframe", reason="needs Dask's frames: pandas, pyarrow")
    table = pd.DataFrame(X, columns=list("abcd"))
    frame, target = dd.from_pandas(table, npartitions=3), dd.from_pandas(pd.Series(LABELS), npartitions=3)
    far = bp.dask.DaskMLPClassifier(**OPTIONS, warm_start=True).fit(frame, target, client=client)
    assert far.feature_names_in_.tolist() == far.to_local().feature_names_in_.tolist() == list("abcd")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = far.predict(frame).compute().tolist()
        assert far.predict(table).tolist() == far.to_local().predict(table).tolist() == expected
    for other in (frame[list("badc")], table[list("badc")]):
        with pytest.raises(ValueError, match="feature names should match"):
            far.predict(other)
    with pytest.raises(ValueError, match="feature names should match"):
        far.fit(frame[list("badc")], target, client=client)
    with pytest.warns(UserWarning, match="X does not have valid feature names, but MLPClassifier was fitted with"):
        assert far.predict(DX).compute().tolist() == expected
    parts = [dask.delayed(table[:150]), dask.delayed(table[150:][list("badc")])]
    with pytest.raises(ValueError, match="the partitions of X differ in the names of their columns"):
        far.fit(parts, [dask.delayed(LABELS[:150]), dask.delayed(LABELS[150:])], client=client)
    far.set_params(warm_start=False).fit(DX, DLABELS, client=client)
    assert not hasattr(far, "feature_names_in_")


def test_a_missing_label_is_named_by_its_partition(client):
    pd = pytest.importorskip("pandas", reason="needs pandas for frames")
    dd = pytest.importorskip("dask.dataframe", reason="needs Dask's frames: pandas, pyarrow")
    table = pd.DataFrame(X, columns=list("abcd")).assign(label=LABELS)
    table.loc[205, "label"] = None
    frame = dd.from_pandas(table, npartitions=3)
    with pytest.raises(ValueError, match="partition 2: y has a missing label at row 5"):
        bp.dask.DaskMLPClassifier(**OPTIONS).fit(frame[list("abcd")], frame["label"], client=client)


@pytest.mark.parametrize("parameters, error, words", [
    ({"early_stopping": True}, ValueError, "early_stopping needs X_val"),
    ({"class_weight": "balanced"}, ValueError, "class_weight"),
    ({"max_iter": 0}, ValueError, "max_iter"),
    ({"dropout": 0.5}, ValueError, "dropout"),
])
def test_what_cannot_be_is_refused_and_leaves_no_fit(client, parameters, error, words):
    far = bp.dask.DaskMLPClassifier(**{**OPTIONS, **parameters})
    with pytest.raises(error, match=words):
        far.fit(DX, DLABELS, client=client)
    assert not hasattr(far, "network_") and "_call" not in vars(far)


@pytest.mark.parametrize("kind, target", [("Classifier", DLABELS), ("Regressor", Dy)])
def test_a_column_of_targets_is_one_warning(client, kind, target):
    far = getattr(bp.dask, f"DaskMLP{kind}")(**OPTIONS)
    with pytest.warns(UserWarning, match="column-vector y") as caught:
        far.fit(DX, target[:, None], client=client)
        assert far.score(DX, target[:, None]) == far.score(DX, target)
    assert ["column-vector" in str(each.message) for each in caught].count(True) == 1
    assert caught[0].filename == __file__
    assert far.predict(DX).compute().shape == (300,)


def test_arrays_in_memory_are_refused(client):
    with pytest.raises(TypeError, match="X must be a dask array"):
        bp.dask.DaskMLPRegressor(**OPTIONS).fit(X, y, client=client)


def test_parameters_are_those_of_the_estimators():
    assert bp.dask.DaskMLPRegressor().get_params() == bp.MLPRegressor().get_params()
    assert bp.dask.DaskMLPClassifier().get_params() == bp.MLPClassifier().get_params()
