"""Fitted estimators as files: saved and loaded without pickle, or exported to run without torch."""

from ._estimators import load, save
from ._onnx import export_onnx

__all__ = ["export_onnx", "load", "save"]
