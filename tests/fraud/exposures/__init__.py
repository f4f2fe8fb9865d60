"""Tests of the fraud rules: policy, lists, decisions and simulation."""
