"""Tests of networks, countries of addresses and disposable domains."""
