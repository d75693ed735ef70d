"""The commands of `smartbackup`, one file a subject."""
