"""Schema revisions, applied by `Database.migrate()`."""
