import unittest

from duration import parse_duration


class ParseTest(unittest.TestCase):
    def test_minutes(self):
        self.assertEqual(parse_duration("90m"), 5400.0)

    def test_parts_add_up(self):
        self.assertEqual(parse_duration("1h30m"), 5400.0)

    def test_spaces(self):
        self.assertEqual(parse_duration("1h 30m"), 5400.0)

    def test_no_unit_is_seconds(self):
        self.assertEqual(parse_duration("90"), 90.0)

    def test_milliseconds(self):
        self.assertEqual(parse_duration("250ms"), 0.25)

    def test_nonsense(self):
        with self.assertRaises(ValueError):
            parse_duration("soon")
