"""Size and cost of the systems of the two sources, measured, and the tables of their pages.

``python -m research.systems measure`` writes ``research/systems/systems.json``; ``python -m research.systems pages``
puts it into ``docs/systems``.
"""
