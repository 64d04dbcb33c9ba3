"""A runner for `manage.py test`: tests tell nobody."""

from __future__ import annotations

from typing import Any

from django.test.runner import DiscoverRunner, ParallelTestSuite

from ..delivery.dry_run import rehearsal


def _rehearse(*arguments: object) -> None:
    rehearsal.start()


class _ParallelTestSuite(ParallelTestSuite):
    """What `--parallel` runs: begins the rehearsal in processes that are not forked from the one where it is on."""

    process_setup = _rehearse


class TestRunner(DiscoverRunner):
    """Django's own runner, with a rehearsal around the tests: ``TEST_RUNNER = "passerby.django.test.TestRunner"``.

    See `passerby.testing.rehearse`; within a test `passerby.testing.listen` says what is told.
    """

    __test__ = False  # for pytest, which takes the name for a test
    parallel_test_suite = _ParallelTestSuite

    def setup_test_environment(self, **options: Any) -> None:
        """Begin the rehearsal."""
        super().setup_test_environment(**options)
        rehearsal.start()

    def teardown_test_environment(self, **options: Any) -> None:
        """End it."""
        rehearsal.stop()
        super().teardown_test_environment(**options)
