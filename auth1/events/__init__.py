"""Events: one row each in one table, and a JSON line on stdout. types names them all."""
