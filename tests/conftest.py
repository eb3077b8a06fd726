"""In CI a skipped test is a failure: what did not run proves nothing."""

import os
from collections.abc import Generator, Iterator

import pytest

from tests.cluster import Cluster

IN_CI = os.environ.get("CI") == "true"


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


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server, for all tests that ask for one."""
    made = Cluster()
    yield made
    made.end()
