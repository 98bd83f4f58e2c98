# A7: SIGTERM in sending: the last commit is made durable, and the same command goes on.
train nano 12 steps on 2 workers with run.evaluate_every=4 run.checkpoint_every=4
at step 5 in sending: terminate the run
expect finished, stops = 1, digest = undisturbed
