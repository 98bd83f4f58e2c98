# A6: abort().
train nano 12 steps on 2 workers
at step 3 in sending: abort worker 1
at step 6 in applying: abort the keeper
expect finished, respawns >= 2, digest = undisturbed
