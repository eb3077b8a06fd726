"""A skip in CI fails the run, wherever the skip is written."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"

SKIPS = {
    "call": "import pytest\ndef test_it():\n    pytest.skip('no reason')\n",
    "mark": "import pytest\n@pytest.mark.skip\ndef test_it(): ...\n",
    "module": "import pytest\npytest.skip('no reason', allow_module_level=True)\n",
    "import": "import pytest\npytest.importorskip('no_such_module')\ndef test_it(): ...\n",
    "xfail": "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n",
}


SPREAD = {"alone": (), "by a worker": ("-p", "xdist.plugin", "-n", "1", "--dist", "loadfile")}


def _run(folder: Path, source: str, ci: str, *how: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(CONFTEST, folder)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *how, str(folder)]
    # Without the plugins that it does not need: to import them takes most of its time.
    environment = os.environ | {"CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("how", SPREAD.values(), ids=SPREAD)
@pytest.mark.parametrize("source", SKIPS.values(), ids=SKIPS)
def test_skip_fails_in_ci(tmp_path: Path, source: str, how: tuple[str, ...]) -> None:
    """Every way to leave a test out ends in a failed run that says why, wherever the test would have run."""
    done = _run(tmp_path, source, "true", *how)
    assert done.returncode not in (0, 5), done.stdout
    assert "skipped in CI" in done.stdout


def test_skip_is_allowed_elsewhere(tmp_path: Path) -> None:
    """On a developer's machine a skip stays a skip."""
    assert _run(tmp_path, SKIPS["call"], ci="").returncode == 0
