# A2, G1: a second resume is the same run as the first.
train nano 16 steps on 2 workers with run.checkpoint_every=4
at step 6 in committed: kill the supervisor
at step 11 in committing: kill the supervisor
expect finished, restarts = 2, digest = undisturbed
