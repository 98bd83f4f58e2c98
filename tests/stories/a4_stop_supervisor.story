# A4: the supervisor is stopped for a while: nobody is to be blamed for the time.
train nano 12 steps on 2 workers
at step 5 in committing: stop the supervisor for 4 seconds
expect finished, quarantined = 0, digest = undisturbed
