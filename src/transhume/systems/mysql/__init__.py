"""MySQL and MariaDB as a source: one database, read inside one consistent snapshot, never written."""
