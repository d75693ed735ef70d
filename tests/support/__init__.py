"""What several test folders share: real servers and sites, started privately and stopped by their own process id."""
