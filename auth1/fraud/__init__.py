"""Risk of a request.

assess  rules -> Risk; velocity limits of a request
"""
