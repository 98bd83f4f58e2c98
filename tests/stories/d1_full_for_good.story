# D1: the disk stays full and the run is killed; the next start finds it empty again.
train nano 16 steps on 2 workers with run.checkpoint_every=4
at step 6: disk full
at step 10 in committed: kill the supervisor
expect finished, restarts = 1, digest = undisturbed
