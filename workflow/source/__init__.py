"""The RandomUser API as a client sees it."""
