"""Every model's own service at run time: which there are (``services``), what a request asks (``questions``), and
``proof`` that it reads what the Open Inference Protocol reads.
"""
