"""Files, local or remote: written whole or not at all, and told apart by the digest of their content."""
