# B4: nothing of one worker arrives for some steps.
train nano 16 steps on 2 workers
steps 5 to 8, every time: lose the answer of worker 1
expect finished, digest = undisturbed
