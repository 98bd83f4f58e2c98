# D3: the newest checkpoint is damaged (remove), then the supervisor dies: an older one is taken.
train nano 20 steps on 2 workers with run.checkpoint_every=4
at step 10 in committed: remove the newest checkpoint
at step 11 in committing: kill the supervisor
expect finished, restarts = 1, checkpoints_refused >= 0, digest = undisturbed
