"""scikit-learn: estimators of all families, tables, text, searches; and what skops can't hold."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier, LGBMRegressor
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import Birch, KMeans
from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.decomposition import NMF, PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LassoCV, LogisticRegression, PoissonRegressor, Ridge, SGDClassifier
from sklearn.manifold import TSNE
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, NuSVR
from tree_data import ROWS, classes, table, target
from xgboost import XGBClassifier, XGBRegressor
from zoo_case import Made, model, wrong

X = table()
BIRDS = np.array(["tern", "gull", "auk"])[classes(X)]
HABITS = [f"the {bird} dives {k % 7} times" for k, bird in enumerate(BIRDS)]
RANDOM: dict[str, Any] = {"random_state": 0}


def frame() -> pd.DataFrame:
    """A table of numbers with gaps, text, categories, whole numbers and dates' parts."""
    places = np.array(["cliff", "beach", "dune"])
    return pd.DataFrame(
        {
            "length": X[:, 0],
            "weight": np.where(X[:, 1] > 1.5, np.nan, X[:, 1]),
            "place": places[np.arange(ROWS) % 3],
            "size": pd.Categorical(np.array(["s", "m", "l"])[np.arange(ROWS) % 3]),
            "eggs": np.arange(ROWS) % 5,
        }
    )


FRAME = frame()


def columns() -> Any:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return make_column_transformer(
        (numbers, ["length", "weight"]),
        (OneHotEncoder(), ["place", "size"]),
        remainder="passthrough",
    )


def asked(estimator: Any, x: Any = X, *methods: str) -> Made:
    """The model with what its user asks by default, or by `methods`."""
    names = methods or tuple(
        name
        for name in ("predict", "predict_proba", "decision_function")
        if callable(getattr(estimator, name, None))
    )
    options = {"methods": methods} if methods else {}
    return Made(estimator, x, lambda: {name: getattr(estimator, name)(x) for name in names}, options)


@model("a pipeline on a table: imputation, scaling, one-hot, logistic regression", quick=False)
def skl_table() -> Made:
    return asked(make_pipeline(columns(), LogisticRegression(max_iter=500)).fit(FRAME, BIRDS), FRAME)


@model("histogram boosting on a table, by a selector of columns")
def skl_selected() -> Made:
    pick = make_column_selector(dtype_include=["float64", "int64"])
    chosen = make_column_transformer((OrdinalEncoder(), ["place", "size"]), ("passthrough", pick))
    return asked(
        make_pipeline(chosen, HistGradientBoostingClassifier(max_iter=10, **RANDOM)).fit(FRAME, BIRDS), FRAME
    )


@model("XGBoost inside a pipeline on a table")
def skl_xgboost() -> Made:
    last = XGBClassifier(n_estimators=8, n_jobs=1, **RANDOM)
    return asked(make_pipeline(columns(), last).fit(FRAME, classes(X)), FRAME)


@model("LightGBM inside a pipeline on a table")
def skl_lightgbm() -> Made:
    last = LGBMRegressor(n_estimators=8, n_jobs=1, verbose=-1, **RANDOM)
    return asked(make_pipeline(columns(), last).fit(FRAME, target(X)), FRAME)


@model("CatBoost inside a pipeline on a table")
def skl_catboost() -> Made:
    last = CatBoostClassifier(iterations=8, verbose=0, allow_writing_files=False, random_seed=0)
    return asked(make_pipeline(columns(), last).fit(FRAME, BIRDS), FRAME)


@model("calibrated probabilities of LightGBM")
def calibrated() -> Made:
    leaves = LGBMClassifier(n_estimators=8, n_jobs=1, verbose=-1, **RANDOM)
    return asked(CalibratedClassifierCV(leaves, cv=3).fit(X, classes(X)))


@model("an XGBoost regressor for each target")
def multi_output_wrapper() -> Made:
    y = np.stack([target(X), target(-X)], 1)
    return asked(MultiOutputRegressor(XGBRegressor(n_estimators=8, n_jobs=1, **RANDOM)).fit(X, y))


@model("a stack of XGBoost and LightGBM")
def stacked() -> Made:
    boosted = XGBRegressor(n_estimators=8, n_jobs=1, **RANDOM)
    leaves = LGBMRegressor(n_estimators=8, n_jobs=1, verbose=-1, **RANDOM)
    return asked(StackingRegressor([("xgb", boosted), ("lgb", leaves)], Ridge(), cv=3).fit(X, target(X)))


@model("a random forest of all cores, string classes")
def skl_forest() -> Made:
    return asked(RandomForestClassifier(20, n_jobs=-1, **RANDOM).fit(X, BIRDS))


@model("extra trees, two targets")
def skl_extra_trees() -> Made:
    return asked(ExtraTreesRegressor(8, **RANDOM).fit(X, np.column_stack([target(X), X[:, 1]])))


@model("gradient boosting")
def skl_boosting() -> Made:
    return asked(GradientBoostingClassifier(n_estimators=8, **RANDOM).fit(X, BIRDS))


@model("histogram boosting with missing values")
def skl_missing() -> Made:
    x = table(missing=0.3)
    return asked(HistGradientBoostingRegressor(max_iter=10, **RANDOM).fit(x, target(x)), x)


@model("AdaBoost")
def skl_adaboost() -> Made:
    return asked(AdaBoostClassifier(n_estimators=6, **RANDOM).fit(X, BIRDS))


@model("a vote of three")
def skl_vote() -> Made:
    voters = [("a", LogisticRegression()), ("b", GaussianNB()), ("c", KNeighborsClassifier())]
    return asked(VotingClassifier(voters, voting="soft").fit(X, BIRDS))


@model("a stack")
def skl_stack() -> Made:
    return asked(StackingClassifier([("a", GaussianNB()), ("b", KNeighborsClassifier())]).fit(X, BIRDS))


@model("a grid search over a pipeline")
def skl_search() -> Made:
    grid = {"svc__C": [0.1, 1.0]}
    return asked(GridSearchCV(make_pipeline(StandardScaler(), SVC()), grid, cv=3).fit(X, BIRDS))


@model("a calibrated classifier")
def skl_calibrated() -> Made:
    return asked(CalibratedClassifierCV(GaussianNB(), cv=3).fit(X, BIRDS))


@model("support vectors for regression")
def skl_svr() -> Made:
    return asked(NuSVR().fit(X, target(X)))


@model("nearest neighbours by a ball tree")
def skl_neighbours() -> Made:
    return asked(KNeighborsClassifier(5, algorithm="ball_tree", metric="manhattan").fit(X, BIRDS))


@model("a perceptron of two layers")
def skl_perceptron() -> Made:
    return asked(MLPClassifier((12, 6), max_iter=60, **RANDOM).fit(X, BIRDS))


@model("a Gaussian process")
def skl_process() -> Made:
    return asked(GaussianProcessRegressor(alpha=0.1).fit(X, target(X)))


@model("lasso by cross-validation, on polynomials")
def skl_lasso() -> Made:
    return asked(make_pipeline(PolynomialFeatures(2), StandardScaler(), LassoCV(cv=3)).fit(X, target(X)))


@model("Poisson regression of a logarithm by NumPy's own function")
def skl_poisson() -> Made:
    x = np.abs(X)
    return asked(make_pipeline(FunctionTransformer(np.log1p), PoissonRegressor()).fit(x, x[:, 0]), x)


@model("a transformed target")
def skl_target() -> Made:
    inner = TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1)
    return asked(inner.fit(X, np.abs(target(X))))


@model("discriminant analysis, asked for its logarithms")
def skl_discriminant() -> Made:
    return asked(LinearDiscriminantAnalysis().fit(X, BIRDS), X, "predict_log_proba", "transform")


@model("a choice of features")
def skl_best() -> Made:
    return asked(make_pipeline(SelectKBest(f_classif, k=4), GaussianNB()).fit(X, BIRDS))


@model("several targets at once")
def skl_targets() -> Made:
    both = np.column_stack([BIRDS, np.where(X[:, 1] > 0, "day", "night")])
    several = MultiOutputClassifier(LogisticRegression()).fit(X, both)
    answer = {"predict": several.predict(X)}
    answer |= {f"predict_proba_{k}": table for k, table in enumerate(several.predict_proba(X))}
    return Made(several, X, lambda: answer)


@model("tf-idf of sentences, a linear classifier")
def skl_text() -> Made:
    return asked(make_pipeline(TfidfVectorizer(), SGDClassifier(**RANDOM)).fit(HABITS, BIRDS), HABITS)


@model("a bag of words: a sparse answer")
def skl_words() -> Made:
    bag = CountVectorizer().fit(HABITS)

    def answer() -> Any:
        rows = bag.transform(HABITS)
        parts = {"data": rows.data, "indices": rows.indices, "indptr": rows.indptr}
        return {f"transform.{name}": part for name, part in parts.items()} | {
            "transform.shape": np.array(rows.shape)
        }

    return Made(bag, HABITS, answer)


@model("a sparse table")
def skl_sparse() -> Made:
    x = sparse.csr_matrix(np.where(X > 0, X, 0))
    return asked(Ridge().fit(x, target(X)), x)


@model("components and positive factors side by side")
def skl_union() -> Made:
    x = np.abs(X)
    return asked(FeatureUnion([("a", PCA(2)), ("b", NMF(2, **RANDOM))]).fit(x), x, "transform")


@model("an encoder by the target")
def skl_encoder() -> Made:
    return asked(TargetEncoder(**RANDOM).fit(FRAME[["place"]], target(X)), FRAME[["place"]], "transform")


@model("k-means")
def skl_clusters() -> Made:
    return asked(KMeans(3, n_init=1, **RANDOM).fit(X))


@model("a mixture of Gaussians")
def skl_mixture() -> Made:
    return asked(GaussianMixture(3, **RANDOM).fit(X))


@model("an isolation forest")
def skl_isolation() -> Made:
    return asked(IsolationForest(n_estimators=10, **RANDOM).fit(X))


@model("outliers by their neighbours")
def skl_outliers() -> Made:
    return asked(LocalOutlierFactor(novelty=True).fit(X))


@model("a .skops file")
def skl_file() -> Made:
    forest = RandomForestClassifier(5, **RANDOM).fit(X, BIRDS)
    path = Path(tempfile.mkdtemp(prefix="zoo-")) / "model.skops"
    skops.io.dump(forest, path)
    return Made(path, X, lambda: {"predict": forest.predict(X), "predict_proba": forest.predict_proba(X)})


class Shift(TransformerMixin, BaseEstimator):
    """A transformer of one's own."""

    def fit(self, x: Any, y: Any = None) -> Shift:
        return self

    def transform(self, x: Any) -> Any:
        return x + 1


@wrong("a transformer of one's own in a pipeline", "Shift")
def skl_own_class() -> Made:
    return asked(make_pipeline(Shift(), Ridge()).fit(X, target(X)))


@wrong("a function of one's own in a pipeline", "<lambda>")
def skl_lambda() -> Made:
    return asked(make_pipeline(FunctionTransformer(lambda x: x * 2), Ridge()).fit(X, target(X)))


@wrong("clusters that skops has no form for", "Birch")
def skl_birch() -> Made:
    return asked(Birch(n_clusters=3).fit(X))


@wrong("an embedding that answers no new rows", "no predict")
def skl_embedding() -> Made:
    embedded = TSNE(perplexity=5, **RANDOM).fit(X[:60])
    return Made(embedded, X[:60], lambda: {"transform": embedded.embedding_})
