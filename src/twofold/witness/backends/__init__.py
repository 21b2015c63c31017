"""Ways to keep the record: one file a backend; `directory` chooses for a path."""
