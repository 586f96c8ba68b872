"""What makes those pages of this folder that are made of the code."""
