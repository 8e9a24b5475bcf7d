"""Files of figures: what a script measured, from which the tables of the pages are made."""

import datetime
import json
import os
import platform
from importlib.metadata import version


def table(columns, rows):
    """A table in Markdown. `columns` has the format of each column by its heading, such as
    {"fit time": "{seconds:.1f} s"}, and each of `rows` the values by name.
    """
    cells = [[form.format_map(row) for form in columns.values()] for row in rows]
    head, *lines = (
        " ".join(f"| {cell}".rstrip() for cell in line) + " |\n" for line in [list(columns), *cells]
    )
    return "".join([head, "|" + "---|" * len(columns) + "\n", *lines])


def write_figures(path, columns, rows):
    """Write a table and what it was measured with. `docs/tables.py` puts it into the pages."""
    figures = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processors": os.cpu_count(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("numpy", "scikit-learn", "torch", "sknca")},
        "columns": columns,
        "rows": [
            {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in row.items()}
            for row in rows
        ],
    }
    path.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
