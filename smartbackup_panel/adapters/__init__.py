"""Talk to the outside, one small file each."""
