"""The patent's claims: the switch of each, a picture of it, and what it changes.

``python -m research.claims pictures docs/claims`` draws them, ``python -m research.claims measure --out FOLDER`` trains
with and without each, ``python -m research.claims page`` puts both into ``docs/claims.md``.
"""
