"""What a coordinator serves by HTTP: health, metrics, and whatever is added to the page."""
