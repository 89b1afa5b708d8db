"""The plan: its model, how it is read, what is wrong with it, what it is bound to. No database is opened here."""
