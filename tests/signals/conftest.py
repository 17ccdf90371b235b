"""Values to compare, as the tests of losses have them."""

from tests.losses.conftest import real_rows, wave

__all__ = ["real_rows", "wave"]
