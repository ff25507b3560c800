"""The names that a pickled table may ask for, and what each stands for."""

# What pickle.dump writes for a DataFrame of texts, numbers and categories, from pandas 1.0 to 3.1,
# protocols 2 to 5: the name in the file -> the part of a table that it stands for.
ALLOWED = {
    "pandas.DataFrame": "frame",
    "pandas.core.frame.DataFrame": "frame",
    "pandas.core.internals.managers.BlockManager": "manager",
    "pandas._libs.internals._unpickle_block": "block",
    "pandas.core.indexes.base._new_Index": "new_index",
    "pandas.Index": "index",
    "pandas.core.indexes.base.Index": "index",
    "pandas.RangeIndex": "index",
    "pandas.core.indexes.range.RangeIndex": "index",
    "pandas.core.indexes.numeric.Int64Index": "index",
    "pandas.StringDtype": "string_dtype",
    "pandas.core.arrays.string_.StringDtype": "string_dtype",
    "pandas.arrays.ArrowStringArray": "arrow_strings",
    "pandas.core.arrays.string_arrow.ArrowStringArray": "arrow_strings",
    "pandas.core.arrays.string_arrow.ArrowStringArrayNumpySemantics": "arrow_strings",
    "pandas.arrays.StringArray": "backed",
    "pandas.core.arrays.string_.StringArray": "backed",
    "pandas.core.arrays.string_.StringArrayNumpySemantics": "backed",
    "pandas._libs.arrays.__pyx_unpickle_NDArrayBacked": "backed",
    "pandas.Categorical": "backed",
    "pandas.core.arrays.categorical.Categorical": "backed",
    "pandas.CategoricalDtype": "categories",
    "pandas.core.dtypes.dtypes.CategoricalDtype": "categories",
    "pandas.CategoricalIndex": "index",
    "pandas.core.indexes.category.CategoricalIndex": "index",
    "pandas.NA": "missing",
    "pandas._libs.missing.NA": "missing",
    "numpy.ndarray": "ndarray",
    "numpy.dtype": "dtype",
    "pyarrow.lib._restore_array": "arrow_array",
    "pyarrow.lib.chunked_array": "arrow_chunks",
    "pyarrow.lib.py_buffer": "arrow_buffer",
    "pyarrow.lib.type_for_alias": "arrow_type",
    "builtins.slice": "slice",
    "builtins.bytearray": "bytes",
    "builtins.bytes": "bytes",
    "_codecs.encode": "bytes",
}
for _home in ("numpy.core", "numpy._core"):  # before and after numpy 2
    ALLOWED[f"{_home}.multiarray._reconstruct"] = "array"
    ALLOWED[f"{_home}.multiarray.scalar"] = "scalar"
    ALLOWED[f"{_home}.numeric._frombuffer"] = "array_of_buffer"
for _kind, _module in (("Integer", "integer"), ("Floating", "floating"), ("Boolean", "boolean")):
    ALLOWED[f"pandas.arrays.{_kind}Array"] = "masked"
    ALLOWED[f"pandas.core.arrays.{_module}.{_kind}Array"] = "masked"
_TYPES = {
    "integer": [f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)],
    "floating": ["Float32", "Float64"],
    "boolean": ["Boolean"],
}
for _module, _types in _TYPES.items():
    for _type in _types:
        ALLOWED[f"pandas.{_type}Dtype"] = "masked_dtype"
        ALLOWED[f"pandas.core.arrays.{_module}.{_type}Dtype"] = "masked_dtype"
