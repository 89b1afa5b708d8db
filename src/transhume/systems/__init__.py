"""The systems by URL scheme: `SYSTEMS` is the whole list; a driver is imported when its scheme is used."""
