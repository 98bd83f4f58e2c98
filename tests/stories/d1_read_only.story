# D1: read-only disk for 2 seconds: the run goes on from memory, and catches up.
train nano 20 steps on 2 workers with run.checkpoint_every=4
at step 7 in committing: read-only disk for 2 seconds
at step 12 in writing: read-only disk for 2 seconds
expect finished, digest = undisturbed
