"""Names and coined terms: found, reviewed, taken out, put back."""
