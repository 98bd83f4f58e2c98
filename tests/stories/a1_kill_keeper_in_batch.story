# A1: the keeper dies while it is in batch; the state is still mapped.
train nano 12 steps on 2 workers
at step 5 in batch: kill the keeper
expect finished, respawns >= 1, quarantined = 0, digest = undisturbed
