"""Fixtures that the whole suite shares, and the switch that lets nothing be skipped."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from testimages.build import Built, build_case
from testimages.cases import load_case
from testimages.values import value_of
from tests.browser import Browser, own_browser
from tests.engine import Docker, Registry, Unavailable, own_engine, own_registry
from tests.starting import or_skip

if TYPE_CHECKING:  # most runs need none of them
    from scanner.request import Detection
    from scanner.store.database import Store
    from tests.registries import MemoryRegistry

REQUIRE_ALL = "LEAKSCAN_REQUIRE_ALL"
ENGINE_FILES = (
    "test_builder.py", "test_testimages.py", "test_fixes.py", "test_engine_cli.py", "test_engine_source.py",
    "test_fuzz_engine.py", "test_own_image.py", "test_story.py",
)  # fmt: skip
SCAN_SECONDS = 300.0

# A change is judged by the same examples each time; `make properties` draws others.
settings.register_profile("same", derandomize=True)
settings.register_profile("drawn", max_examples=500)
settings.load_profile("same")

Leakscan = Callable[..., "subprocess.CompletedProcess[str]"]
Builder = Callable[[str, str], Built]


class FilesTogether(LoadFileScheduling):  # type: ignore[misc]
    """Files of tests go to the processes of pytest-xdist whole; those that need the engine all to one."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "engine" if file.endswith(ENGINE_FILES) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FilesTogether:
    """See to it that one engine serves the whole session. (Groups by mark do not work with pytest 9.2.)"""
    return FilesTogether(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:  # noqa: ARG001
    """Make a skipped test a failed one where everything is required."""
    report = yield
    return fail_if_skipped(report)  # type: ignore[return-value]


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:  # noqa: ARG001
    """Make a skipped module a failed one where everything is required."""
    report = yield
    return fail_if_skipped(report)  # type: ignore[return-value]


def fail_if_skipped(report: object) -> object:
    """Turn a report of a skip into one of a failure, if LEAKSCAN_REQUIRE_ALL is set."""
    if isinstance(report, pytest.TestReport | pytest.CollectReport) and report.skipped and os.environ.get(REQUIRE_ALL):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{REQUIRE_ALL} is set and this was skipped: {reason}"
    return report


@pytest.fixture(scope="session")
def engine() -> Iterator[Docker]:
    """A Docker Engine of the tests' own. Skips with the reason where none can be started."""
    with or_skip(own_engine()) as docker:
        yield docker


@pytest.fixture
def registry() -> Iterator[MemoryRegistry]:
    """A registry in memory."""
    from tests.registries import memory_registry

    with memory_registry() as found:
        yield found


@pytest.fixture(scope="session")
def real_registry(engine: Docker) -> Iterator[Registry]:
    """A registry on loopback that asks for a password. Skips with the reason where none can be started."""
    with or_skip(own_registry(engine, "reader", value_of("registry", "password", "password"))) as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for one file. Skips with the reason where there is none."""
    with or_skip(own_browser()) as started:
        yield started


@pytest.fixture(scope="session")
def built(engine: Docker) -> Builder:
    """Build a case of testimages by name and builder, each once a session."""
    done: dict[tuple[str, str], Built] = {}

    def build(case: str, builder: str) -> Built:
        if (case, builder) not in done:
            try:
                done[case, builder] = build_case(engine, load_case(case), builder)
            except Unavailable as error:
                pytest.skip(str(error))
        return done[case, builder]

    return build


@pytest.fixture(scope="session")
def rules() -> Iterator[Detection]:
    """The detectors, compiled once."""
    from scanner import detection

    with tempfile.TemporaryDirectory(prefix="leakscan-tests-") as cache:
        yield detection.load({**os.environ, "XDG_CACHE_HOME": cache})


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of real tools, unpacked once. Skips where LEAKSCAN_SHARED names no folder that has them."""
    archive = Path(os.environ.get("LEAKSCAN_SHARED", ""), "samples", "samples.tar.xz")
    if not archive.is_file():
        pytest.skip("LEAKSCAN_SHARED names no folder of samples")
    folder = tmp_path_factory.mktemp("samples")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    [inside] = folder.rglob("engine20")
    return inside.parent


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    from scanner.store.database import open_store

    engine = open_store(f"sqlite:///{tmp_path}/store.sqlite3")
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def services_compile_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Detectors are compiled once for all services that `serving` starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEAKSCAN_TEST_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def leakscan() -> Iterator[Leakscan]:
    """Run the program as a user does; its state and caches live as long as the session."""
    with tempfile.TemporaryDirectory(prefix="leakscan-tests-") as home:
        own = {"XDG_STATE_HOME": f"{home}/state", "XDG_CACHE_HOME": f"{home}/cache", "NO_COLOR": "1"}

        def run(
            *arguments: str | Path, env: Mapping[str, str] | None = None, prefix: tuple[str, ...] = ()
        ) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*prefix, sys.executable, "-m", "scanner", *map(str, arguments)],
                env=os.environ | own | dict(env or {}),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=SCAN_SECONDS,
            )

        yield run
