# B3: all answers of one worker come half a second late.
train nano 24 steps on 2 workers
from step 3: delay the answer of worker 1 by 0.5 seconds
expect finished, named worker 1 within 20 steps, digest = undisturbed
