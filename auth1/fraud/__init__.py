"""Is this request worth a message?

lines     line types that phonenumbers knows without asking anybody
assess    rules -> Risk; the velocity limits of a request
"""
