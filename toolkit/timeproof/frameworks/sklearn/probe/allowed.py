"""Which types, and which functions, a .skops file may make: those of the libraries, never anybody's own.

The list is not skops's: it is the same for every release of skops, and is held before skops reads the file.
Nothing is imported here.
"""

from typing import Iterable, List, Tuple

from .schema import is_dotted

PACKAGES = ("sklearn", "numpy", "scipy", "xgboost", "lightgbm", "catboost")
# Modules of these packages that do more than calculate: they read files, load libraries, start processes.
_NEVER = (
    "sklearn.datasets",
    "sklearn.externals",
    "sklearn.experimental",
    "numpy.ctypeslib",
    "numpy.distutils",
    "numpy.f2py",
    "numpy.lib",
    "numpy.testing",
    "scipy.datasets",
    "scipy.io",
    "scipy._lib",
    "xgboost.dask",
    "xgboost.spark",
    "xgboost.testing",
    "xgboost.tracker",
    "lightgbm.dask",
    "lightgbm.libpath",
    "catboost.dev_utils",
    "catboost.utils",
)
_PLAIN = frozenset(
    "builtins." + name
    for name in (
        *("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list"),
        *("range", "set", "slice", "str", "tuple", "NoneType"),
    )
) | frozenset(
    (
        *("collections.OrderedDict", "collections.defaultdict", "collections.Counter"),
        *("functools.partial", "operator.itemgetter"),
    )
)
_FUNCTION_MODULES = (
    "sklearn.decomposition",
    "sklearn.feature_selection",
    "sklearn.gaussian_process",
    "sklearn.metrics",
    "sklearn.preprocessing",
    "scipy.special",
)
_LIKE_NUMPY = ("scipy._lib.array_api_compat",)
_NUMPY_FUNCTIONS = frozenset(
    (
        *("abs", "absolute", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "around"),
        *("asarray", "cbrt", "ceil", "clip", "cos", "cosh", "cumsum", "deg2rad", "degrees", "diff"),
        *("divide", "exp", "exp2", "expm1", "fabs", "floor", "hypot", "isfinite", "isinf", "isnan", "log"),
        *("log10", "log1p", "log2", "logical_not", "max", "maximum", "mean", "median", "min", "minimum"),
        *("multiply", "nan_to_num", "negative", "power", "rad2deg", "radians", "ravel", "reciprocal", "rint"),
        *("round", "sign", "sin", "sinh", "sqrt", "square", "std", "subtract", "sum", "tan", "tanh", "trunc"),
        *("true_divide", "var", "copy", "reshape", "squeeze", "transpose", "amax", "amin"),
    )
)
_FUNCTIONS = ("FunctionNode",)
# scikit-learn 1.4 to 1.7 call the module of their losses so.
LOSSES = "_loss"
# The parts of skops that may make something: one that a later release adds is not known here.
_LOADERS = frozenset(
    (
        *("DictNode", "DefaultDictNode", "ListNode", "SetNode", "TupleNode", "BytesNode", "BytearrayNode"),
        *("SliceNode", "FunctionNode", "PartialNode", "TypeNode", "ConstructorFromReduceNode", "ObjectNode"),
        *("OperatorFuncNode", "NdArrayNode", "MaskedArrayNode", "RandomStateNode", "RandomGeneratorNode"),
        *("DTypeNode", "SparseMatrixNode", "TreeNode", "LossNode", "SGDNode"),
    )
)


def name_of(kind: Tuple[str, str, str]) -> str:
    """Spell what a node makes as the metadata lists it: `sklearn.tree._tree.Tree`."""
    return "{}.{}".format(kind[1], kind[2])


def refused(kinds: Iterable[Tuple[str, str, str]]) -> List[Tuple[str, str]]:
    """Give what may not be made: (name, why), in the order of `kinds`."""
    reasons = ((name_of(kind), why_refused(*kind)) for kind in kinds)
    return [(name, why) for name, why in reasons if why]


def why_refused(loader: str, module: str, name: str) -> str:
    """Say why a node may not be made, within a sentence; empty where it may."""
    if loader not in _LOADERS:
        return "skops makes it by {}, which runs a method or is not known here".format(loader)
    full = "{}.{}".format(module, name)
    if not is_dotted(module) or not is_dotted(name) or "." in name:
        return "it has no name by which it can be imported"
    if loader == "OperatorFuncNode":
        return "" if full == "operator.itemgetter" else "it calls what the file names"
    if full in _PLAIN:
        return "it is a type, not a function" if loader in _FUNCTIONS else ""
    if loader not in _FUNCTIONS and module == LOSSES and name.startswith("Cy"):
        return ""
    package = module.partition(".")[0]
    if package not in PACKAGES:
        noun = "function" if loader in _FUNCTIONS else "class"
        return "it is no {} of {}".format(noun, ", ".join(PACKAGES))
    if loader in _FUNCTIONS and _within(module, _LIKE_NUMPY):  # a spline holds its asarray
        package = "numpy"
    elif _within(module, _NEVER):
        return "its module does more than calculate"
    if loader in _FUNCTIONS:
        if package == "numpy":
            return "" if name in _NUMPY_FUNCTIONS else "it is not among the functions that only calculate"
        return (
            "" if _within(module, _FUNCTION_MODULES) else "it is not among the functions that only calculate"
        )
    return ""


def _within(module: str, packages: Iterable[str]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)
