-- The postgres image wants a password for its superuser, and compose.yaml has only Auth1's. Without a password the
-- superuser cannot log in over the network; inside the container it still can: docker compose exec postgres psql -U postgres
alter role postgres password null;
