# A2: the supervisor dies while a checkpoint is being written.
train nano 12 steps on 2 workers with run.checkpoint_every=4
steps 4 to 12 in writing, up to 1 time: kill the supervisor
expect finished, restarts = 1, digest = undisturbed
