# D1: disk full for 2 seconds: the run goes on from memory, and catches up.
train nano 20 steps on 2 workers with run.checkpoint_every=4
at step 7 in committing: disk full for 2 seconds
at step 12 in writing: disk full for 2 seconds
expect finished, digest = undisturbed
