"""Programs and tasks that show one thing each; every one of them is run by the tests."""
