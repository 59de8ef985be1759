"""The specification, run: its examples, its names, its promises. Its text is read where it lies, beside the checkout."""
