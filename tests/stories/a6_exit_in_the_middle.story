# A6: a process ends in the middle of a step and says that all is well.
train nano 12 steps on 2 workers
at step 3 in backward: let worker 1 leave
at step 6 in joining: let the keeper leave
expect finished, respawns >= 2, digest = undisturbed
