"""The exit codes of the commands, for scripts."""

DONE = 0  # all is well, nothing is left
FAILED = 1  # it could not be done
MISUSED = 2  # the command was called wrongly, as argparse says it
FOUND = 3  # it was done, and something is left or was found that a person should look at
