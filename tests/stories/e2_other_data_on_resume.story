# E2: the text is changed while the run goes on. Nothing comes of it until the run is started again: it is refused, with the file's name.
train nano 16 steps on 2 workers
at step 4: flip a bit in the data
at step 8 in committed: kill the supervisor
expect refused, restarts = 1, findings = 0
