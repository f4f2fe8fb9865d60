"""Tests of allow and block lists."""
