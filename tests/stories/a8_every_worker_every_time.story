# A8: every device dies of this step; the trusted CPU does not.
train nano 12 steps on 2 workers
at step 6 in backward, every time: crash every worker
expect finished, digest = undisturbed
