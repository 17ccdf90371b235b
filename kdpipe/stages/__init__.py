"""The stages of the workflow, each a module with a function `run` that is started as a process of its own."""

from kdpipe.environment import forget, hush

# Before a stage's module imports the libraries that would read them.
forget()
hush()
