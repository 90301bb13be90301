"""Environments of several years, built; and models trained in their own containers, by docker alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from timeproof.errors import InterpreterAbsent
from timeproof.images.tags import tag
from timeproof.runs import image_provider
from timeproof.runs.environment_provider import from_lock_folder
from timeproof.store.layout import Archive
from timeproof.store.schema.v1 import EnvironmentRecord

LOCKFILES = Path(__file__).parents[2] / "lockfiles"
NAMES = sorted(folder.name for folder in LOCKFILES.iterdir() if folder.name != "digits")
# Built by every run of the tests: small wheels, two of three frameworks' habits, the oldest interpreter.
CHEAP = ("lightgbm-2.2.3", "lightgbm-4.0.0", "xgboost-2.1.4")
# What an environment is called after, and the framework that replays there.
FRAMEWORK = {
    "lightgbm": "lightgbm",
    "xgboost": "xgboost",
    "onnxruntime": "onnx",
    "sklearn": "sklearn",
    "torch": "pytorch",
    "tensorflow": "tensorflow",
    "catboost": "catboost",
    "transformers": "transformers",
}
ALL = "TIMEPROOF_TESTS_ALL_ENVIRONMENTS"

_DATA = """
import numpy as np
x = np.random.RandomState(0).rand(300, 5).astype(np.float32)
y = (x[:, 0] + x[:, 1] * x[:, 2] > 0.8).astype(int) + (x[:, 3] > 0.7)
np.save("/made/x.npy", x[:40])
"""
_TRAIN = {
    "lightgbm": _DATA
    + """
import lightgbm
how = {"objective": "multiclass", "num_class": 3, "num_leaves": 7, "num_threads": 1, "verbose": -1}
lightgbm.train(how, lightgbm.Dataset(x, y), 5).save_model("/made/model.txt")
print(lightgbm.__version__)
""",
    "sklearn": _DATA
    + """
import pandas, sklearn, skops.io
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
columns = make_column_transformer((StandardScaler(), [0, 1]), remainder="passthrough")
labels = np.array(["auk", "gull", "tern"])[y]
model = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=5)).fit(x, labels)
skops.io.dump(model, "/made/model.skops")
print(sklearn.__version__)
""",
    "xgboost": _DATA
    + """
import xgboost
how = {"objective": "multi:softprob", "num_class": 3, "max_depth": 3, "nthread": 1}
xgboost.train(how, xgboost.DMatrix(x, y), 5).save_model("/made/model.json")
print(xgboost.__version__)
""",
    "catboost": _DATA
    + """
import catboost
how = {"loss_function": "MultiClass", "iterations": 5, "depth": 3, "thread_count": 1, "verbose": 0}
how["allow_writing_files"] = False
catboost.train(catboost.Pool(x, y), how).save_model("/made/model.cbm")
print(catboost.__version__)
""",
    # A folder with its tokenizer; the inputs are texts, so that both are proved.
    "transformers": """
import numpy as np, tokenizers, torch, transformers
texts = ["the old lake keeps its cold water", "a model lasts as long as its answer"]
np.save("/made/x.npy", np.array(texts))
trained = tokenizers.BertWordPieceTokenizer()
trained.train_from_iterator(texts, vocab_size=90, show_progress=False)
tokenizer = transformers.BertTokenizerFast(tokenizer_object=trained._tokenizer)
tokenizer.save_pretrained("/made/model.folder")
torch.manual_seed(0)
shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
config = transformers.BertConfig(vocab_size=90, max_position_embeddings=32, **shape)
transformers.BertForSequenceClassification(config).save_pretrained("/made/model.folder")
print(transformers.__version__)
""",
}

_TRAIN["tensorflow"] = (
    _DATA
    + """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, tensorflow
keras.utils.set_random_seed(0)
hidden = keras.layers.Dense(16, activation="relu")
model = keras.Sequential([keras.layers.Input((5,)), hidden, keras.layers.Dense(3, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(x, y, verbose=0)
model.save("/made/model.keras")
print(tensorflow.__version__)
"""
)
_TRAIN["sklearn"] = (
    _DATA
    + """
import skops.io, sklearn
from sklearn.ensemble import GradientBoostingClassifier
model = GradientBoostingClassifier(n_estimators=5, max_depth=3, random_state=0).fit(x, y)
skops.io.dump(model, "/made/model.skops")
print(sklearn.__version__)
"""
)
TRAINED = frozenset(_TRAIN)
_NET = """
import numpy as np, torch
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(5, 16), torch.nn.GELU(), torch.nn.Linear(16, 3)).eval()
x = torch.rand(40, 5)
np.save("/made/x.npy", x.numpy())
"""
# Programs that need no class: an environment with torch makes them itself, too.
_TRAIN["torch_export"] = (
    _NET
    + """
batch = torch.export.Dim("batch")
torch.export.save(torch.export.export(net, (x,), dynamic_shapes=({0: batch},)), "/made/model.pt2")
print(torch.__version__.partition("+")[0])
"""
)
_TRAIN["torchscript"] = (
    _NET
    + """
torch.jit.script(net).save("/made/model.pt")
print(torch.__version__.partition("+")[0])
"""
)
PROGRAMS = tuple(name for name in _TRAIN if name not in TRAINED)


def built(archive: Archive, name: str, engine: object) -> EnvironmentRecord:
    """Build an environment of `lockfiles/`, and put its image into the engine.

    Skips where its interpreter can't be had, and where it is large and was not asked for.
    """
    if name not in CHEAP and os.environ.get(ALL) != "1":
        pytest.skip(f"{name} is built where {ALL}=1 (make environments)")
    try:
        record = from_lock_folder(archive, LOCKFILES / name)
    except InterpreterAbsent as error:
        pytest.skip(error.message)
    image_provider.provide(engine, archive, record)  # type: ignore[arg-type]  # a real one
    return record


def trained(record: EnvironmentRecord, framework: str, folder: Path) -> tuple[Path, Path, str]:
    """Train a small model in an environment's container: (model file, inputs, the version that made it)."""
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    command = ["docker", "run", "--rm", "--network", "none", "--pull", "never", "-v", f"{folder}:/made"]
    command += ["--user", f"{os.getuid()}:{os.getgid()}", "--entrypoint", "/opt/env/bin/python3"]
    command += [tag(record.folder), "-s", "-B", "-W", "ignore", "-c", _TRAIN[framework]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (model,) = folder.glob("model.*")
    return model, folder / "x.npy", done.stdout.strip().splitlines()[-1]
