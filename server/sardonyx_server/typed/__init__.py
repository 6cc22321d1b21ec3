"""Every model's own service at run time: which there are (``services``), what a request asks (``questions``)."""
