"""The exit codes of the commands, for scripts."""

DONE = 0  # done, nothing is left
FAILED = 1
MISUSED = 2  # wrong usage, as argparse has it
FOUND = 3  # done, but something is left or was found that needs attention
