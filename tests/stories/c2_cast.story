# C2: a rounded copy is changed.
train nano 12 steps on 2 workers with run.dtype=bf16
at step 4: flip bit 14 in 1 cast result on worker 0
expect finished, findings >= 1, digest = undisturbed
