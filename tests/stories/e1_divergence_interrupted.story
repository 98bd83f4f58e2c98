# E1: the same, while who goes back is killed and the run is stopped. The second process goes back again, and ends no other way.
train nano 40 steps on 2 workers
from step 3: poison the batch
at step 1 in joining, up to 3 times: kill the keeper
at step 1 in forward: kill every worker on the trusted CPU too
at step 2 in judging, up to 2 times: terminate the run
expect waiting, stops = 2, rollbacks >= 2, respawns >= 4
