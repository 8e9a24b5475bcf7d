"""matplotlib is optional, and imported where something is drawn."""

import subprocess
import sys

import numpy as np
import pytest

from sknca.plotting import EmbeddingDisplay, EntanglementDisplay, LossCurveDisplay

PLOTS = {
    "EmbeddingDisplay.from_estimator": lambda: EmbeddingDisplay.from_estimator(None, None, None),
    "EmbeddingDisplay.from_embedding": lambda: EmbeddingDisplay.from_embedding(None, None),
    "EmbeddingDisplay.plot": EmbeddingDisplay(np.zeros((2, 2)), np.arange(2)).plot,
    "LossCurveDisplay.from_estimator": lambda: LossCurveDisplay.from_estimator(None),
    "LossCurveDisplay.plot": LossCurveDisplay(np.zeros(2)).plot,
    "EntanglementDisplay.from_estimator": lambda: EntanglementDisplay.from_estimator(
        None, None, None
    ),
    "EntanglementDisplay.plot": EntanglementDisplay({"input": 1.0}).plot,
}


@pytest.mark.parametrize("name", PLOTS)
def test_the_error_without_it(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=f"^{name} requires matplotlib"):
        PLOTS[name]()


def test_importing_the_displays_does_not_import_it():
    code = "import sys, sknca.plotting; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
