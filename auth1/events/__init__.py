"""Facts in the past tense: a row each in one table, and a JSON line on stdout. types names them all."""
