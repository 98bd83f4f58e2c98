# A6: memory is refused.
train nano 12 steps on 2 workers
at step 4 in forward: exhaust the memory of worker 0
at step 8 in applying: exhaust the memory of the keeper
expect finished, respawns >= 2, digest = undisturbed
