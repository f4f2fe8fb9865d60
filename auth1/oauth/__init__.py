"""The token endpoint. handlers exchanges grants for tokens."""
