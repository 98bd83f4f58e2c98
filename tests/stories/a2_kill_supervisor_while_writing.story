# A2, A3: everything dies while a checkpoint is being written, which takes its time.
train nano 16 steps on 2 workers with run.checkpoint_every=4
at step 8 in writing: disk at 0.2 MB/s for 5 seconds
at step 9 in committing: kill everything
expect finished, restarts = 1, digest = undisturbed
