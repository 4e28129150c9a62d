"""Right on every rerun: crashes, races and sick services; `--full` for the full forms."""
