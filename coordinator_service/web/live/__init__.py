"""The live page: feeds that follow the log, shared by all who view the same, and the page that shows them."""
