"""From what people thought of a character's replies to rows that she learns from."""
