"""The bytes of one source: of a file, a member of an archive, a record or an object of a store."""
