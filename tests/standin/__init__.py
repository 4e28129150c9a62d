"""The stand-in for the RandomUser API, always as a process of its own on a free port."""
