# A3: the power goes, twice.
train nano 16 steps on 2 workers with run.checkpoint_every=5
at step 7 in committing: kill everything
at step 13 in committed: kill everything
expect finished, restarts = 2, digest = undisturbed
