# D1: disk at 10 MB/s for 3 seconds: the run goes on from memory, and catches up.
train nano 20 steps on 2 workers with run.checkpoint_every=4
at step 7 in committing: disk at 10 MB/s for 3 seconds
at step 4 in writing: disk at 10 MB/s for 3 seconds
expect finished, digest = undisturbed
