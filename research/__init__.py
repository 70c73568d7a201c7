"""What made a figure of the documentation: data sets laid out, suites. Not in the wheel."""
