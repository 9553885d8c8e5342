"""The side-by-side kit: servers, cases, and what is made of the results."""
