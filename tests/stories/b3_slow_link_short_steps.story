# B3: half a second on a link, of every frame, also of those that were asked for again; and a link that loses each answer once. Both are named,
# and nobody waits for them longer than it takes to know.
train nano 80 steps on 3 workers
from step 3, every time: delay the answer of worker 1 by 0.5 seconds
from step 20: lose the answer of worker 2
expect finished, named worker 1 within 20 steps, named worker 2 within 20 steps, quarantined = 0, digest = undisturbed
