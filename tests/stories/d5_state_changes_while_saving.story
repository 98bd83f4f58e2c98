# D5: the disk is slow, steps go on while a checkpoint is being written; what was saved is what was committed.
train nano 24 steps on 2 workers with run.checkpoint_every=4
steps 4 to 20 in writing: disk at 5 MB/s for 1 seconds
at step 19 in committed: kill the supervisor
expect finished, restarts = 1, checkpoints_refused = 0, digest = undisturbed
