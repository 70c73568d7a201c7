"""The paper's printed figures, and tables that put them beside ours."""
