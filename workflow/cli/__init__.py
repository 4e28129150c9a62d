"""The command line `workflow`."""
