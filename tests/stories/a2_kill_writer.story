# A2: whoever writes a checkpoint dies in the middle.
train nano 12 steps on 2 workers with run.checkpoint_every=4
every step, up to 2 times: kill the writer
expect finished, digest = undisturbed
