"""People talk with the characters here."""

VERSION = "0.1.0"
