"""Risk of a request.

line_types  line types that phonenumbers knows without a lookup
assess      rules -> Risk; velocity limits of a request
"""
