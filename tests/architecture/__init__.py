"""The rules of the house, read from the syntax trees of src/procession: nothing is imported, nothing is run."""
