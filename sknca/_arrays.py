"""What users give as arrays."""

from typing import Any

import torch


def as_array(X: Any) -> Any:
    """A torch tensor as a NumPy array of the same dtype, without a copy if it is on the CPU; all
    else as it is, for scikit-learn to read. (To that, a tensor's float32 is no float32.)
    """
    if not isinstance(X, torch.Tensor):
        return X
    X = X.float() if X.dtype == torch.bfloat16 else X  # which NumPy does not have
    return X.numpy(force=True)
