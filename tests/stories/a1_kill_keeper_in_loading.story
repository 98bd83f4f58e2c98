# A1: the keeper dies while it loads the checkpoint of the supervisor before.
train nano 12 steps on 2 workers with run.checkpoint_every=4
at step 6 in committed: kill the supervisor
steps 0 to 12 in loading, up to 1 time: kill the keeper
expect finished, restarts >= 1, respawns >= 1, digest = undisturbed
