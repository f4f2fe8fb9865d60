"""Tests of what all HTML pages have in common."""
