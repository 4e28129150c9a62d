"""The ledger: what is done of each date, who works on what, and what came of it."""
