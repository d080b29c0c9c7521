# %% [markdown]
# # A scikit-learn pipeline with grid search
#
# `bp.MLPClassifier` is an estimator like any other: it takes its place in a pipeline, and scikit-learn's tools search
# its parameters. The data is the Wisconsin breast cancer data (569 tumours, 30 measurements), which scikit-learn brings
# along.

# %%
import matplotlib.pyplot as plt
import numpy as np
from common import arguments, save
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import backprop as bp

options = arguments("Search the size and the penalty of a classifier in a scikit-learn pipeline")

data = load_breast_cancer()
X_train, X_test, y_train, y_test = train_test_split(data.data, data.target_names[data.target], test_size=0.25,
                                                    stratify=data.target, random_state=0)

# %% [markdown]
# The scaler is part of the pipeline, so every fold is scaled by what its own training part knows.

# %%
classifier = bp.MLPClassifier(solver="adam", learning_rate_init=0.01, batch_size=32, early_stopping=True,
                              n_iter_no_change=20, random_state=0)
pipeline = make_pipeline(StandardScaler(), classifier)
grid = {"mlpclassifier__hidden_layer_sizes": [(4,), (16,)] if options.quick else [(4,), (16,), (64,), (32, 16)],
        "mlpclassifier__alpha": [1e-4, 1.0] if options.quick else [1e-4, 1.0, 10.0, 100.0]}
search = GridSearchCV(pipeline, grid, cv=3 if options.quick else 5)
search.fit(X_train, y_train)
print(f"best of {len(search.cv_results_['params'])}: {search.best_params_}")
print(f"accuracy in cross-validation {search.best_score_:.4f}, on the test part {search.score(X_test, y_test):.4f}")

# %%
sizes, alphas = grid.values()
scores = np.empty((len(sizes), len(alphas)))
for params, score in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"]):
    alpha, size = params["mlpclassifier__alpha"], params["mlpclassifier__hidden_layer_sizes"]
    scores[sizes.index(size), alphas.index(alpha)] = score
figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
image = axes[0].imshow(scores, cmap="cividis", aspect="auto")
for (i, j), score in np.ndenumerate(scores):
    axes[0].text(j, i, f"{score:.3f}", ha="center", va="center",
                 color="black" if image.norm(score) > 0.5 else "white")
axes[0].set_xticks(range(len(alphas)), [f"{alpha:g}" for alpha in alphas])
axes[0].set_yticks(range(len(sizes)), ["-".join(map(str, size)) for size in sizes])
axes[0].set(xlabel="alpha", ylabel="hidden layers", title="accuracy in cross-validation")
figure.colorbar(image, ax=axes[0])
bp.plot.confusion_matrix(y_test, search.predict(X_test), ax=axes[1])
save(figure, options.out / "grid_search.png")
