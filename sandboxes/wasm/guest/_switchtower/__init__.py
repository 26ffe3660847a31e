"""The guest's own rooms: what stands between a program and the host."""

# Where the program's code says that it is.
PROGRAM = "<program>"
# The working directory; what lies below it and below /tmp is the program's own.
HOME = "/home/user"
