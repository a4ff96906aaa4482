"""The parts that tests start keep their folders until their tests end, and no longer."""

import subprocess
import sys
from pathlib import Path

from tests.engine import home_of, remove_abandoned, started

_CLEAN = """
import sys
from pathlib import Path
from tests.engine import remove_abandoned
remove_abandoned(Path(sys.argv[1]))
"""


def _cleaned_by_another(home: Path) -> None:
    subprocess.run([sys.executable, "-c", _CLEAN, str(home)], check=True)


def test_a_folder_stays_while_its_service_is_stopped() -> None:
    with home_of("starting") as home:
        _cleaned_by_another(home)
        with started(["sleep", "60"], home):
            _cleaned_by_another(home)
        _cleaned_by_another(home)
        assert home.is_dir()
    assert not home.exists()


def test_what_nobody_holds_any_more_is_removed(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    remove_abandoned(tmp_path / "home")  # not locked yet: its test is about to
    assert (tmp_path / "home").is_dir()
    (tmp_path / "home" / "lock").touch()
    remove_abandoned(tmp_path / "home")
    assert not (tmp_path / "home").exists()
