"""A soak: everything that can go wrong, for some minutes, under load; and then whether every promise held.

    make soak
    make soak ARGS="--minutes 1 --seed 7"

``session`` leads through it. ``models`` have answers that follow from the request and the version alone, ``callers``
ask for them, ``faults`` and ``acts`` disturb, ``ledger`` judges each request by ``rules``, and at the end ``verdicts``
holds all of it, the monitor's store and the processes' memory to what was promised.
"""
