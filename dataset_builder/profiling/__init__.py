"""What her lines tell about a character."""
