"""A result on paper: one module for each output, one function that escapes for each sink."""
