"""The servers that the tests run on: started when a test first asks for them, gone with the tests."""
