"""Real OpenID Connect clients log in through Auth1. `just oidc-clients` installs them and runs these tests."""
