"""Warnings that point at the user's line."""

import sys
import warnings

#: Packages whose lines a reader of a warning cannot change: this one, and what calls it.
_INSIDE = ("sknca", "torch", "sklearn", "joblib", "copy", "pickle")


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, at the first line outside the package that led here.

    Python 3.12 has `skip_file_prefixes` for it.
    """
    # Of those that are imported: others cannot be on the way.
    files = [getattr(sys.modules.get(name), "__file__", None) for name in _INSIDE]
    inside = tuple(file.removesuffix("__init__.py") for file in files if file)
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(inside):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
