"""How the values that onnxruntime gives become named arrays.

The probe and the training process share it. It imports NumPy only when it is called.
"""

from typing import Any, List, Tuple

from timeproof_probe.arrays import to_plain


def flatten(name: str, value: Any) -> List[Tuple[str, Any, str]]:
    """Flatten what onnxruntime gives for one graph output; each with the type it was made from, or "".

    An array stays; a sequence's items are `name[0]`, `name[1]`, …; an optional without a value gives
    nothing; ZipMap's list of maps becomes one array for each key, `name_key`, with a value for each row.

    Raises:
        TypeError: something in it is no array of numbers or strings.
    """
    import numpy

    if value is None:
        return []
    if isinstance(value, dict):
        return [part for key in value for part in flatten("{}_{}".format(name, key), value[key])]
    if not isinstance(value, list):
        array, made_from = to_plain(value)
        return [(name, array, made_from)]
    if not value or not all(isinstance(row, dict) and list(row) == list(value[0]) for row in value):
        return [part for k, item in enumerate(value) for part in flatten("{}[{}]".format(name, k), item)]
    columns = []
    for key in value[0]:
        # A map's values come as Python floats; in the graph they are float32.
        column = numpy.array([row[key] for row in value])
        narrow = column.astype(numpy.float32) if column.dtype == numpy.float64 else column
        same = numpy.array_equal(narrow.astype(column.dtype), column)
        array, _ = to_plain(narrow if same else column)
        columns.append(("{}_{}".format(name, key), array, "map"))
    return columns
