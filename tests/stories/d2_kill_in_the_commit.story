# D2: the supervisor dies on each side of the journal's line, several steps in a row.
train nano 16 steps on 2 workers with run.checkpoint_every=3
steps 4 to 7 in committing: kill the supervisor
steps 9 to 12 in committed: kill the supervisor
expect finished, restarts = 8, digest = undisturbed
