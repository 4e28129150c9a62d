"""What people ask of the pipeline as a whole: run, plan, compare, trace, verify."""
