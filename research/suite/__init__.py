"""The suite: public image sets laid out as MVTec AD is, and one table of what the plain defaults reach on them.

``layout`` writes one set from a clone that the user has made; ``run`` trains and evaluates every model on every set and
writes the table. See docs/suite.md.
"""
