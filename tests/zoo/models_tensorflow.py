"""Keras and TensorFlow: layers of every kind, texts and tables, classes of one's own, graphs, refusals."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from zoo_case import Made, model, wrong

layers: Any = keras.layers
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(40, 16)).astype(np.float32)
PICTURES = RNG.normal(size=(5, 32, 32, 3)).astype(np.float32)
SERIES = RNG.normal(size=(17, 20, 8)).astype(np.float32)
TOKENS = RNG.integers(0, 100, size=(7, 20)).astype(np.int32)
GRAPH = {"format": "saved_model"}


def called(net: Any, x: Any, **options: Any) -> Made:
    return Made(net, x, lambda: net(x, training=False), options)


def predicted(net: Any, x: Any, **options: Any) -> Made:
    return Made(net, x, lambda: net.predict(x, verbose=0), options)


def settled(net: Any) -> Any:
    """Statistics of its batch norms as training leaves them."""
    rng = np.random.default_rng(1)
    for layer in net.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([w + rng.random(w.shape, np.float32) for w in layer.get_weights()])
    return net


@model("dense layers, batch norm, dropout, softmax; asked by predict")
def tf_dense() -> Made:
    keras.utils.set_random_seed(0)
    stack = [layers.Input((16,)), layers.Dense(64, activation="relu"), layers.BatchNormalization()]
    return predicted(
        settled(keras.Sequential([*stack, layers.Dropout(0.3), layers.Dense(5, "softmax")])), ROWS
    )


@model("trained and compiled; asked by predict")
def tf_compiled() -> Made:
    keras.utils.set_random_seed(0)
    net = keras.Sequential([layers.Input((16,)), layers.Dense(32, activation="elu"), layers.Dense(1)])
    net.compile("adam", "mse")
    net.fit(ROWS, ROWS[:, :1], verbose=0)
    return predicted(net, ROWS)


@model("a residual network of convolutions, depthwise and separable ones")
def tf_residual() -> Made:
    keras.utils.set_random_seed(0)
    taken = layers.Input((32, 32, 3))
    first = layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same", activation="relu")(taken))
    second = layers.SeparableConv2D(16, 3, padding="same")(layers.DepthwiseConv2D(3, padding="same")(first))
    pooled = layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(layers.Add()([first, second])))
    return called(settled(keras.Model(taken, layers.Dense(10)(pooled))), PICTURES)


@model("MobileNetV3 small, of keras.applications, with random weights")
def tf_mobilenet() -> Made:
    keras.utils.set_random_seed(0)
    net = keras.applications.MobileNetV3Small((32, 32, 3), weights=None, classes=10)
    return predicted(settled(net), 128 + 60 * PICTURES)


@model("a U-Net: transposed convolutions, upsampling, skip connections")
def tf_unet() -> Made:
    keras.utils.set_random_seed(0)
    taken = layers.Input((32, 32, 3))
    down = layers.Conv2D(8, 3, padding="same", activation="relu")(taken)
    low = layers.Conv2D(16, 3, strides=2, padding="same", activation="swish")(down)
    up = layers.Conv2DTranspose(8, 2, strides=2)(layers.GroupNormalization(4)(low))
    twice = layers.UpSampling2D(2, interpolation="bilinear")(layers.AveragePooling2D(2)(down))
    return called(keras.Model(taken, layers.Conv2D(1, 1)(layers.Concatenate()([down, up, twice]))), PICTURES)


@model("a bidirectional LSTM, then a GRU")
def tf_recurrent() -> Made:
    keras.utils.set_random_seed(0)
    taken = layers.Input((20, 8))
    bent = layers.GRU(16)(layers.Bidirectional(layers.LSTM(32, return_sequences=True))(taken))
    return called(keras.Model(taken, layers.Dense(3)(bent)), SERIES)


@model("a transformer's block: embedding, attention, layer norm, gelu")
def tf_transformer() -> Made:
    keras.utils.set_random_seed(0)
    taken = layers.Input((20,), dtype="int32")
    tokens = layers.Embedding(100, 32)(taken)
    mixed = layers.LayerNormalization()(tokens + layers.MultiHeadAttention(4, 8)(tokens, tokens))
    bent = layers.Dense(32)(layers.Dense(64, activation="gelu")(mixed))
    return called(
        keras.Model(taken, layers.Dense(100, "softmax")(layers.LayerNormalization()(mixed + bent))), TOKENS
    )


@model("texts: TextVectorization, whose words lie in the file")
def tf_texts() -> Made:
    keras.utils.set_random_seed(0)
    vectors = layers.TextVectorization(output_sequence_length=6)
    vectors.adapt(["the tern and the gull", "an auk, a tern", "rail and crake"])
    taken = layers.Input((), dtype="string")
    bent = layers.Conv1D(8, 3, activation="relu")(layers.Embedding(20, 8)(vectors(taken)))
    net = keras.Model(taken, layers.Dense(2)(layers.GlobalMaxPooling1D()(bent)))
    x = np.array(["a tern", "the crake and the rail", "nothing known"])
    return Made(net, x, lambda: net(tf.constant(x), training=False))


@model("a table as a mapping of columns: categories, buckets and numbers; a mapping of outputs")
def tf_columns() -> Made:
    keras.utils.set_random_seed(0)
    kind, age = layers.Input((1,), dtype="int64", name="kind"), layers.Input((1,), name="age")
    norm = layers.Normalization()
    norm.adapt(np.arange(20, 60, dtype=np.float32)[:, None])
    coded = layers.CategoryEncoding(num_tokens=5)(layers.IntegerLookup(vocabulary=[3, 5, 8, 9])(kind))
    bucket = layers.CategoryEncoding(num_tokens=4)(layers.Discretization([25.0, 35.0, 45.0])(age))
    joined = layers.Concatenate()([coded, bucket, norm(age)])
    outputs = {"risk": layers.Dense(1, "sigmoid")(joined), "group": layers.Dense(3, "softmax")(joined)}
    x = {"kind": np.array([[3], [9], [7]]), "age": np.array([[22.0], [41.5], [58.0]], np.float32)}
    return predicted(keras.Model({"kind": kind, "age": age}, outputs), x)


@model("labels as words: an output of strings")
def tf_words_out() -> Made:
    keras.utils.set_random_seed(0)
    names = layers.StringLookup(vocabulary=["tern", "gull"], invert=True)
    taken = layers.Input((1,), dtype="int64")
    net = keras.Model(taken, names(taken))
    x = np.array([[1], [2], [0]])
    return Made(net, x, lambda: net(x).numpy().astype(str))


@model("mixed precision: float16 inside, float32 at the end")
def tf_mixed() -> Made:
    keras.utils.set_random_seed(0)
    half = {"dtype": "mixed_float16"}
    stack = [layers.Input((16,)), layers.Dense(32, activation="relu", **half), layers.Dense(8, **half)]
    return called(keras.Sequential([*stack, layers.Dense(2, dtype="float32")]), ROWS)


class Gate(keras.Model):  # type: ignore[misc]  # Keras is not installed where types are checked
    """A class of one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = layers.Dense(8), layers.Dense(8, activation="sigmoid")

    def call(self, rows: Any) -> Any:
        return {"gated": self.left(rows) * self.right(rows), "left": self.left(rows)}


def gate() -> Any:
    keras.utils.set_random_seed(0)
    net = Gate()
    net(ROWS)
    return net


@model("a class of one's own, as a graph")
def tf_own_class() -> Made:
    return called(gate(), ROWS, **GRAPH)


@model("a Lambda layer, as a graph")
def tf_lambda_graph() -> Made:
    keras.utils.set_random_seed(0)
    net = keras.Sequential([layers.Input((16,)), layers.Lambda(lambda x: x * x), layers.Dense(3)])
    return called(net, ROWS, **GRAPH)


class Filter(tf.Module):  # type: ignore[misc]  # TensorFlow is not installed where types are checked
    """No Keras: variables, a loop whose length the input decides."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = tf.Variable(RNG.normal(size=(8,)).astype(np.float32))

    @tf.function  # type: ignore[misc]  # likewise
    def smooth(self, series: Any, start: Any) -> Any:
        state = start
        for k in tf.range(tf.shape(series)[1]):
            state = state + tf.nn.sigmoid(self.gain) * (series[:, k] - state)
        return state, tf.reduce_sum(state, axis=-1)


@model("a tf.Module with a loop, by the method that answers")
def tf_module() -> Made:
    net, start = Filter(), np.zeros((17, 8), np.float32)
    return Made(net, (SERIES, start), lambda: net.smooth(SERIES, start), {"method": "smooth"})


@wrong("a class of one's own, as .keras", "not Keras's own")
def tf_own_class_file() -> Made:
    return called(gate(), ROWS)


@wrong("a Lambda layer, as .keras", "Lambda layer")
def tf_lambda() -> Made:
    return called(keras.Sequential([layers.Input((16,)), layers.Lambda(lambda x: x * x)]), ROWS)


@wrong("a Python function inside of a graph", "calls a Python function")
def tf_python() -> Made:
    def bend(x: Any) -> Any:
        return tf.ensure_shape(tf.numpy_function(lambda a: a * 2, [x], tf.float32), [None, 16])

    return called(
        keras.Sequential([layers.Input((16,)), layers.Lambda(bend, output_shape=(16,))]), ROWS, **GRAPH
    )


@wrong("a ragged answer", "can't be stored")
def tf_ragged() -> Made:
    class Ragged(tf.Module):  # type: ignore[misc]  # likewise
        def __call__(self, rows: Any) -> Any:
            return tf.RaggedTensor.from_tensor(rows)

    net = Ragged()
    return Made(net, ROWS, lambda: net(ROWS).to_tensor())


@wrong("noise drawn anew at each call", "random")
def tf_noise() -> Made:
    class Noise(tf.Module):  # type: ignore[misc]  # likewise
        def __call__(self, rows: Any) -> Any:
            return rows + tf.random.normal(tf.shape(rows))

    net = Noise()
    return Made(net, ROWS, lambda: net(ROWS))
