"""Proofs that let a doubtful request through: solved proof of work, or a captcha.

redeem   which proof a request needs, and whether it has one
work     proof of work: make and verify
captcha  tokens of captchas, checked at their providers
schemas  what a caller sends as proof
"""
