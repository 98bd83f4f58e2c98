# E2: the same with a text that is gone.
train nano 16 steps on 2 workers
at step 4: remove the data
at step 8 in committed: kill the supervisor
expect refused, restarts = 1, findings = 0
