"""The order in which two workers take the test files."""

import pytest

# The demo takes minutes in one file: started last, one worker would wait for the other.
_LONGEST_FIRST = ("tests/studies/test_demo.py", "tests/studies/test_shop.py", "tests/studies/test_proof.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((k for k, name in enumerate(_LONGEST_FIRST) if item.nodeid.startswith(name)), 9))
