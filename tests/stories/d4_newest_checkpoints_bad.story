# D4: the newest three checkpoints are damaged.
train nano 24 steps on 2 workers with run.checkpoint_every=3 run.keep_last=6
at step 14 in committed: flip a bit in the newest checkpoint
at step 15 in committing: kill the supervisor
at step 17 in committed: truncate the newest checkpoint
at step 18 in committing: kill the supervisor
expect finished, restarts = 2, checkpoints_refused >= 2, digest = undisturbed
