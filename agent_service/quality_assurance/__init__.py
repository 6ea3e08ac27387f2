"""Looking at a finished site as a visitor."""
