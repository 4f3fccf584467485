"""Answers of commands: tables for people, JSON for programs, and exit codes for scripts."""
