"""The inbox of `auth1 dev`."""
