"""What the command line shows: tables and sentences for people, plain data for scripts."""
