"""Sets Smart Backup up: the quickstart of a checkout and the sample sites that it shows."""
