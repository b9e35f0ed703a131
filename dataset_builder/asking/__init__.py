"""Asking a model that writes: many questions, a journal of answers, and what it costs."""
