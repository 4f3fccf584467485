"""The checks of a configuration, and the words in which problems are reported."""
