"""Hosting panels, one file each."""
