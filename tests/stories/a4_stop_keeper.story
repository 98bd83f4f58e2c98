# A4: the keeper is stopped.
train nano 12 steps on 2 workers
at step 5 in applying: stop the keeper for 4 seconds
expect finished, respawns >= 1, digest = undisturbed
