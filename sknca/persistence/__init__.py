"""Fitted estimators as files: to open again without pickle, and to serve without torch."""

from ._estimators import load, save
from ._onnx import export_onnx

__all__ = ["export_onnx", "load", "save"]
