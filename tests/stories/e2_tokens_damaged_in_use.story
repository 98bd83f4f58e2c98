# E2: the ids that the run made of the text are changed, cut and removed while it goes on: each time it is found before a sample is made of
# them, and they are made again.
train nano 16 steps on 2 workers
at step 3: flip a bit in the tokens
at step 6: truncate the tokens
at step 9: remove the tokens
expect finished, findings >= 3, respawns = 0, digest = undisturbed
