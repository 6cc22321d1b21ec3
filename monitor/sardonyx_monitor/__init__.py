"""The monitor: what models do in practice, and how right they are.

Nouns in the order in which data meets them: ``receiver`` (spans and outcomes come in), ``store`` (where they are kept),
``statistics`` (what they say), ``views`` (what a page needs), ``web`` (the pages). Beside that way, ``catalog`` reads
what the registry promises.
"""
