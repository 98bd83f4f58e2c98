# D3: the newest checkpoint is damaged (truncate), then the supervisor dies: an older one is taken.
train nano 28 steps on 2 workers with run.checkpoint_every=10
at step 19 in committed: truncate the newest checkpoint
at step 20 in committing: kill the supervisor
expect finished, restarts = 1, checkpoints_refused >= 1, digest = undisturbed
