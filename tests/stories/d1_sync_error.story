# D1: disk sync error for 1 calls: the run goes on from memory, and catches up.
train nano 20 steps on 2 workers with run.checkpoint_every=4
at step 7 in committing: disk sync error for 1 calls
at step 12 in writing: disk sync error for 1 calls
expect finished, digest = undisturbed
