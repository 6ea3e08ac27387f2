"""The simulator: core and shell, unchanged, under virtual time, with everything that happens derived from one seed."""
