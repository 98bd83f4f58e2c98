# A1: a worker dies while it is in sending.
train nano 12 steps on 2 workers
at step 5 in sending: kill worker 1
expect finished, respawns >= 1, quarantined = 0, digest = undisturbed
