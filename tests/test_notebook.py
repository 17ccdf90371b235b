"""The notebook of the docs is stored without outputs, runs anywhere, and finds what its text says."""

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs/library.ipynb"
# What the last cell of the test prints of the names of the notebook.
FOUND = "import json; print(json.dumps({'table': table, 'loss': frame['loss'].dropna().tolist()}))"
# A cell may wait for a busy machine.
SECONDS = 1200


def read_notebook() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def outputs_of(notebook: Any, kind: str) -> list[Any]:
    """Return the outputs of a kind of all cells."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [output for cell in cells for output in cell.outputs if output.output_type == kind]


def test_it_is_stored_without_outputs() -> None:
    notebook = read_notebook()
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert not any(cell.outputs or cell.execution_count or cell.metadata for cell in code)
    assert {*notebook.metadata} == {"kernelspec", "language_info"}


@pytest.mark.slow
def test_it_runs(tmp_path: Path) -> None:
    notebook = read_notebook()
    notebook.cells.append(nbformat.v4.new_code_cell(FOUND))
    NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert not [*tmp_path.iterdir()]

    found = json.loads(notebook.cells[-1].outputs[-1].text)
    teacher, pruned, distilled = (found["table"][name] for name in ("teacher", "pruned", "distilled"))
    # How much pruning loses depends on the rounding of the processor that has trained the teacher.
    assert 0.6 < pruned["accuracy"] < teacher["accuracy"] + 0.03
    assert distilled["accuracy"] > teacher["accuracy"] - 0.03
    assert distilled["parameters"] == pruned["parameters"] < 0.6 * teacher["parameters"]
    assert found["loss"][-1] < found["loss"][0]
    results = [output.data for output in outputs_of(notebook, "execute_result")]
    assert results[-1]["text/plain"] == "True"
    assert sum("image/png" in output.data for output in outputs_of(notebook, "display_data")) == 1
    # Bars are widgets where ipywidgets is installed, and else texts.
    shown = str(outputs_of(notebook, "stream") + outputs_of(notebook, "display_data"))
    assert all(f"{what}: " in shown for what in ("evaluate", "prune", "cache", "distill"))
