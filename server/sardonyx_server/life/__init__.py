"""The life of a version in a worker: wished for, loaded, proven, ready, drained, gone.

A source states everything that is wished for; a pure policy says the next step; a manager takes it. A version that
fails any step never replaces the one that serves.
"""
