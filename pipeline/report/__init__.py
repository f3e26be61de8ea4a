"""What a run leaves for its readers: `summary.json` and the terminal's last lines."""
