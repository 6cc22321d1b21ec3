"""Every model's own service at run time: which there are, what requests ask, and the proof of both.

``services`` knows which there are, ``questions`` what a request asks, ``parts`` how much it may be, ``proof`` whether a
version's service reads what the Open Inference Protocol reads.
"""
