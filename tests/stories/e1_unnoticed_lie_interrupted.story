# E1: the same; going back is interrupted, and later the supervisor dies and all steps are made again by what the journal says in the end.
train nano 24 steps on 2 workers with run.checkpoint_every=100
verify off
at step 6: flip a high bit in every adamw result on the keeper
at step 4 in judging, up to 3 times: kill the keeper
at step 4 in forward: kill every worker on the trusted CPU too
at step 17 in committed: kill the supervisor
expect finished, restarts = 1, rollbacks >= 1, respawns >= 3, digest = undisturbed
