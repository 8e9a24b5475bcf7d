"""The script that the type checkers read."""

import ast
import inspect
from pathlib import Path

import pytest
from versions import needs_exporter

import sknca
import sknca.functional
import sknca.metrics
import sknca.plotting
from ecosystem import user_script


@needs_exporter
def test_it_runs(capsys):
    user_script.main()
    assert "SNNLoss(" in capsys.readouterr().out


@pytest.mark.parametrize("module", [sknca, sknca.functional, sknca.metrics, sknca.plotting])
def test_it_uses_every_public_name(module):
    tree = ast.parse(Path(user_script.__file__).read_text())
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert set(module.__all__) <= used


def test_signatures_are_short():
    signature = inspect.signature(sknca.SNNLEmbedding.fit)
    assert str(signature).startswith("(self, X: 'ArrayLike', y: 'ArrayLike | None' = None")
