"""What every generated package holds as it stands here: these modules are copied, and know nothing of sardonyx.

``access`` is where a client calls and as whom, ``row`` and ``columns`` make messages of one row and of many, ``errors``
is what calls that are not answered raise.
"""
