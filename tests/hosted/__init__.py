"""Tests of the hosted login."""
