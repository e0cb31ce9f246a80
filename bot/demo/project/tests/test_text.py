import unittest

from duration import format_duration


class FormatTest(unittest.TestCase):
    def test_largest_units_first(self):
        self.assertEqual(format_duration(5400), "1h30m")

    def test_nothing(self):
        self.assertEqual(format_duration(0), "0s")
