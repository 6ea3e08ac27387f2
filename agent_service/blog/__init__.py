"""The example blog: posts about coordination, and the script that draws their images."""
