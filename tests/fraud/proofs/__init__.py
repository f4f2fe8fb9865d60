"""Tests of proof of work and captchas."""
