"""A runner for `manage.py test`: nothing is sent in tests."""

from __future__ import annotations

from typing import Any

from django.test.runner import DiscoverRunner, ParallelTestSuite

from ..delivery.dry_run import dry_run_mode


def _start_dry_run(*arguments: object) -> None:
    dry_run_mode.start()


class _ParallelTestSuite(ParallelTestSuite):
    """The suite of `--parallel`: starts the dry run in processes that are not forked."""

    process_setup = _start_dry_run


class TestRunner(DiscoverRunner):
    """Django's test runner, with a dry run around the tests: ``TEST_RUNNER = "passerby.django.test.TestRunner"``.

    See `passerby.testing.dry_run`; within a test `passerby.testing.capture_events` records the events.
    """

    __test__ = False  # for pytest, to which the name looks like a test
    parallel_test_suite = _ParallelTestSuite

    def setup_test_environment(self, **options: Any) -> None:
        """Start the dry run."""
        super().setup_test_environment(**options)
        dry_run_mode.start()

    def teardown_test_environment(self, **options: Any) -> None:
        """Stop the dry run."""
        dry_run_mode.stop()
        super().teardown_test_environment(**options)
