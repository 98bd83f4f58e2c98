# E2: the text is changed, cut and removed while the run goes on: what it trains on was read before.
train nano 16 steps on 2 workers
at step 3: flip a bit in the data
at step 5: truncate the data
at step 7: remove the data
expect finished, findings = 0, respawns = 0, digest = undisturbed
