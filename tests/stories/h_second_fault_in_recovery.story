# H: a second fault strikes the recovery from the first.
train nano 16 steps on 2 workers
at step 5 in backward: kill worker 1
at step 5 in joining: kill the keeper
at step 5 in preparing, up to 1 time: kill a worker
at step 5 in committing: kill the supervisor
expect finished, respawns >= 2, restarts = 1, digest = undisturbed
