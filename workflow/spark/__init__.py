"""Where Spark runs, and what it is asked to do."""
