# A1: a worker dies while it is in forward.
train nano 12 steps on 2 workers
at step 5 in forward: kill worker 1
expect finished, respawns >= 1, quarantined = 0, digest = undisturbed
