"""Warnings that point at the user's line."""

import os
import sys
import warnings

import joblib
import sklearn

#: Whose lines nobody who reads a warning can change: this package's, and those of what calls it
#: on the way.
_INSIDE = (
    *(os.path.dirname(path) + os.sep for path in (__file__, sklearn.__file__, joblib.__file__)),
    *(os.path.join(os.path.dirname(os.__file__), name) for name in ("copy.py", "pickle.py")),
)


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, at the first line outside the package that led here.

    Python 3.12 has `skip_file_prefixes` for it.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INSIDE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
