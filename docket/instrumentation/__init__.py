"""How a docket tells what it does."""
