"""Tests of the hosted sign-in."""
