# D4: the newest checkpoint is bad, twice: the one before is loaded, and what came after is made again.
train nano 36 steps on 2 workers with run.checkpoint_every=10 run.keep_last=6
at step 18 in committed: flip a bit in the newest checkpoint
at step 19 in committing: kill the supervisor
at step 28 in committed: truncate the newest checkpoint
at step 29 in committing: kill the supervisor
expect finished, restarts = 2, checkpoints_refused >= 2, digest = undisturbed
