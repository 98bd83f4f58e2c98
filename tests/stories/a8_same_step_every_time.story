# A8: one worker dies whenever it comes to this step: its device is to blame, the others finish.
train nano 12 steps on 2 workers
at step 6 in backward, every time: kill worker 1
expect finished, respawns >= 1, digest = undisturbed
