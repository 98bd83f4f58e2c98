# A4: a worker is stopped and never continued.
train nano 12 steps on 2 workers
at step 5 in sending: stop worker 1
expect finished, respawns >= 1, digest = undisturbed
