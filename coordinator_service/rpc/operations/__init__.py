"""What clients may ask for, one noun a file: how a request is checked and read, and how its answer is written."""
