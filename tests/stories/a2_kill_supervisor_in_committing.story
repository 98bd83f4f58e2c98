# A2: the supervisor dies in committing; the same command goes on.
train nano 12 steps on 2 workers with run.checkpoint_every=4
at step 6 in committing: kill the supervisor
expect finished, restarts = 1, digest = undisturbed
