"""In CI a skipped test is a failure: what did not run proves nothing."""

import os
from collections.abc import Generator, Iterator

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling, Scheduling

from tests.cluster import Cluster

IN_CI = os.environ.get("CI") == "true"
SHARING_NOTHING = (
    "tests/line/test_crashes.py",
    "tests/mutation/test_mutants.py",
    "tests/simulation/test_sweeps.py",
    "tests/simulation/test_sweeps_of_moves.py",
)
"""Files of many long tests that need no common server: one worker alone would have hours to do with them."""


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if IN_CI and report.skipped:
        report.outcome = "failed"
        vars(report).pop("wasxfail", None)  # with it left, pytest prints "failed" and exits 0
        report.longrepr = f"skipped in CI, where a skip is a failure: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped or expected-to-fail test into a failed one."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a module that skips itself while it is collected into a failed one."""
    report = yield
    _refuse_skip(report)
    return report


class _ByFile(LoadFileScheduling):  # type: ignore[misc] # xdist says nothing of its types here
    def _split_scope(self, nodeid: str) -> str:
        return nodeid if nodeid.startswith(SHARING_NOTHING) else str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """The tests of a file go to one worker, unless they share nothing."""
    return _ByFile(config, log)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server, for all tests that ask for one."""
    made = Cluster()
    yield made
    made.end()
